//! A stream of chunks, for code that reads: one thread reads what another one fetches.

use std::{
    io::{self, Read},
    panic::resume_unwind,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use bytes::{Buf as _, Bytes};

/// The chunks that are fetched before they are read.
const AHEAD: usize = 16;

/// Runs `read` on the bytes that `fetch` hands to its argument, and returns the results of both. The argument answers
/// `false` once nobody reads any more.
pub(super) fn read_while_fetched<R: Send, F>(
    read: impl FnOnce(&mut dyn Read) -> R + Send,
    fetch: impl FnOnce(&mut dyn FnMut(Bytes) -> bool) -> F,
) -> (R, F) {
    let (sender, receiver) = sync_channel(AHEAD);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            read(&mut Chunks {
                receiver,
                rest: Bytes::new(),
            })
        });
        let fetched = fetch(&mut |chunk| sender.send(chunk).is_ok());
        drop(sender);
        let read = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        (read, fetched)
    })
}

struct Chunks {
    receiver: Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.recv() {
                Ok(chunk) => self.rest = chunk,
                Err(_) => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_chunks_are_read_in_order_and_a_reader_may_stop_early() {
        let feed = |count: usize| {
            move |send: &mut dyn FnMut(Bytes) -> bool| {
                let chunks = (0..count).map(|number| Bytes::from(format!("{number},")));
                chunks.filter(|chunk| send(chunk.clone())).count()
            }
        };
        let (text, sent) = read_while_fetched(|reader| io::read_to_string(reader), feed(4));
        assert_eq!((text.unwrap().as_str(), sent), ("0,1,2,3,", 4));
        let ((), sent) = read_while_fetched(|_| (), feed(1000));
        assert!(sent < 1000, "{sent}");
    }
}
