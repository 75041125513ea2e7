//! Request bodies that are a tar, sent while it is written: a context of any size needs one mebibyte of memory.

use std::{
    io::{self, Write},
    panic,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    package::archive::{ArchiveError, write_tar},
    project::tree::Entry,
};

/// The bytes of one chunk.
const CHUNK: usize = 128 << 10;

/// How many chunks may wait for the daemon.
const WAITING: usize = 8;

/// Calls `exchange` with a body that is a tar of `entries` and `folders`.
///
/// # Errors
/// An input could not be read or has changed. The body then ends with an error, so that no daemon takes the incomplete
/// tar for the whole. A daemon that stops reading is no error here: its answer says why.
pub(super) fn send<T>(
    entries: &[Entry],
    folders: &[&str],
    exchange: impl FnOnce(TarBody) -> T,
) -> (T, Result<(), ArchiveError>) {
    let (writer, body) = pipe();
    let pipe = Closing(Arc::clone(&body.pipe));
    thread::scope(|scope| {
        let written = scope.spawn(move || write(entries, folders, writer));
        let answer = exchange(body);
        drop(pipe);
        let written = written
            .join()
            .unwrap_or_else(|cause| panic::resume_unwind(cause));
        (answer, written)
    })
}

fn write(entries: &[Entry], folders: &[&str], mut writer: ChunkWriter) -> Result<(), ArchiveError> {
    match write_tar(entries, folders, &mut writer) {
        Err(_) if writer.refused => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            writer.pipe.whole.store(true, Ordering::Release);
            Ok(())
        }
    }
}

/// A body that is a tar of `entries` and `folders`, written by a thread of its own, which then calls `written`. The thread
/// ends when the body is dropped.
pub(super) fn begin(
    entries: Arc<[Entry]>,
    folders: Arc<[String]>,
    written: impl FnOnce(Result<(), ArchiveError>) + Send + 'static,
) -> BegunBody {
    let (writer, body) = pipe();
    let closing = Closing(Arc::clone(&body.pipe));
    thread::spawn(move || {
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        written(write(&entries, &folders, writer));
    });
    BegunBody {
        body,
        _closing: closing,
    }
}

/// A body that [`begin`] writes.
pub(super) struct BegunBody {
    body: TarBody,
    _closing: Closing,
}

impl Stream for BegunBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

/// The state that both ends of a pipe share.
struct Pipe {
    receiver: Mutex<Receiver<Bytes>>,
    whole: AtomicBool,
    sent: AtomicU64,
}

/// Closes a pipe when dropped, so that no writer waits for a daemon that has stopped reading.
struct Closing(Arc<Pipe>);

impl Drop for Closing {
    fn drop(&mut self) {
        let receiver = self.0.receiver.lock();
        receiver.unwrap_or_else(PoisonError::into_inner).close();
    }
}

/// The end of the pipe that a tar is written into.
struct ChunkWriter {
    sender: Sender<Bytes>,
    buffer: BytesMut,
    pipe: Arc<Pipe>,
    /// Whether the other end accepts no more bytes.
    refused: bool,
}

/// The end of the pipe that a request reads from.
pub(super) struct TarBody {
    pipe: Arc<Pipe>,
    ended: bool,
}

/// Reports how much of a body was sent.
pub(super) struct Meter(Arc<Pipe>);

fn pipe() -> (ChunkWriter, TarBody) {
    let (sender, receiver) = channel(WAITING);
    let pipe = Arc::new(Pipe {
        receiver: Mutex::new(receiver),
        whole: AtomicBool::new(false),
        sent: AtomicU64::new(0),
    });
    let writer = ChunkWriter {
        sender,
        buffer: BytesMut::with_capacity(CHUNK),
        pipe: Arc::clone(&pipe),
        refused: false,
    };
    (writer, TarBody { pipe, ended: false })
}

impl TarBody {
    /// A meter that outlives the body.
    pub(super) fn meter(&self) -> Meter {
        Meter(Arc::clone(&self.pipe))
    }
}

impl Meter {
    /// Bytes that the request has taken so far.
    pub(super) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }
}

impl Stream for TarBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = {
            let receiver = self.pipe.receiver.lock();
            let mut receiver = receiver.unwrap_or_else(PoisonError::into_inner);
            std::task::ready!(receiver.poll_recv(context))
        };
        Poll::Ready(match next {
            Some(chunk) => {
                let count = chunk.len() as u64;
                self.pipe.sent.fetch_add(count, Ordering::Relaxed);
                Some(Ok(chunk))
            }
            None if self.pipe.whole.load(Ordering::Acquire) => None,
            None => {
                self.ended = true;
                Some(Err(io::Error::other("the tar was cut short")))
            }
        })
    }
}

impl ChunkWriter {
    fn send(&mut self) -> io::Result<()> {
        let chunk = self.buffer.split().freeze();
        self.buffer.reserve(CHUNK);
        if chunk.is_empty() || self.sender.blocking_send(chunk).is_ok() {
            return Ok(());
        }
        self.refused = true;
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == CHUNK {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(future)
    }

    fn received(entries: &[Entry], folders: &[&str]) -> (Vec<io::Result<Bytes>>, bool) {
        let (chunks, written) = send(entries, folders, |body| block_on(body.collect::<Vec<_>>()));
        (chunks, written.is_ok())
    }

    #[test]
    fn what_is_received_is_the_tar() {
        let entries = [
            Entry::in_memory("a/b", vec![7; 3 * CHUNK + 5], true),
            Entry::in_memory("c", "", false),
        ];
        let (chunks, written) = received(&entries, &["empty"]);
        let bytes = chunks.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        let mut tar = Vec::new();
        write_tar(&entries, &["empty"], &mut tar).unwrap();
        assert!(written && bytes.concat() == tar);
    }

    #[test]
    fn a_file_that_changed_is_the_error_and_the_body_has_no_clean_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs_err::write(&file, "one").unwrap();
        let entries = [Entry::of_file("a", &file, false).unwrap()];
        fs_err::write(&file, "two").unwrap();
        let (chunks, written) = received(&entries, &[]);
        assert!(!written && chunks.last().unwrap().is_err());
    }

    #[test]
    fn writing_waits_for_the_reader() {
        let (mut writer, mut body) = pipe();
        let written = Arc::new(AtomicU64::new(0));
        let total = 50 << 20;
        let count = Arc::clone(&written);
        let thread = thread::spawn(move || {
            let block = vec![0; 1 << 16];
            for _ in 0..total / block.len() {
                writer.write_all(&block).unwrap();
                count.fetch_add(block.len() as u64, Ordering::SeqCst);
            }
            writer.pipe.whole.store(true, Ordering::Release);
        });
        thread::sleep(Duration::from_millis(200));
        let bound = (CHUNK * (WAITING + 2)) as u64;
        let mut received = 0;
        while let Some(chunk) = block_on(body.next()) {
            let ahead = written.load(Ordering::SeqCst).saturating_sub(received);
            assert!(ahead <= bound, "{ahead} bytes wait");
            received += chunk.unwrap().len() as u64;
        }
        thread.join().unwrap();
        assert_eq!(
            (received, body.meter().sent()),
            (total as u64, total as u64)
        );
    }

    #[test]
    fn a_reader_that_leaves_ends_the_writing_without_an_error() {
        let entries = [Entry::in_memory("a", vec![0; 64 * CHUNK], false)];
        let ((), written) = send(&entries, &[], drop);
        assert!(written.is_ok());
    }
}
