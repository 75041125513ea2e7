//! gzip on all cores, whose bytes depend on nothing but the input.
//!
//! The input is cut into pieces of one size. Each is compressed by itself, to a gzip member, and the members follow each
//! other in the order of the pieces: the number of threads and the sizes of the writes play no part.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Mutex, PoisonError, mpsc},
    thread::{self, Scope},
};

use libdeflater::{CompressionLvl, Compressor};

/// The level of libdeflate: a constant of the format, because another level makes other layers of the same files.
///
/// Of the levels that are eight times as fast as `zip -r`, it is the one with a margin.
pub const LEVEL: i32 = 1;

/// The number of uncompressed bytes in every member but the last: a constant of the format, like [`LEVEL`].
///
/// Smaller members compress worse (by 1.5 % at 128 KiB), and larger ones leave cores without work in small layers.
pub const MEMBER: usize = 1 << 20;

/// One thread reads and hashes, which feeds about three that compress. More would only use memory.
const MOST_THREADS: usize = 8;

/// Calls `write` with a writer, and writes the compressed form of what is written there to `output`.
///
/// The bytes in memory are bounded: at most two pieces for each thread.
///
/// # Errors
/// Those of `write` and of `output`.
pub fn compress<T, E: From<io::Error>>(
    output: &mut dyn Write,
    threads: usize,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let (sender, receiver) = mpsc::channel();
    let pieces = Mutex::new(receiver);
    thread::scope(|scope| {
        let mut members = Members {
            scope,
            pieces: &pieces,
            sender,
            threads: threads.clamp(1, MOST_THREADS),
            spawned: 0,
            piece: Vec::new(),
            waiting: VecDeque::new(),
            output,
        };
        let result = write(&mut members)?;
        members.finish()?;
        Ok(result)
    })
}

/// As many threads as the machine has cores for.
#[must_use]
pub fn usual_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A piece of the input, and where its member is wanted.
struct Piece {
    bytes: Vec<u8>,
    member: mpsc::Sender<io::Result<Vec<u8>>>,
}

/// Cuts what is written into pieces, and writes their members in order.
struct Members<'scope, 'env, 'o> {
    scope: &'scope Scope<'scope, 'env>,
    pieces: &'scope Mutex<mpsc::Receiver<Piece>>,
    /// The threads end when it is dropped.
    sender: mpsc::Sender<Piece>,
    threads: usize,
    spawned: usize,
    /// The piece that is not complete yet.
    piece: Vec<u8>,
    /// The members that are being made, the first one first.
    waiting: VecDeque<mpsc::Receiver<io::Result<Vec<u8>>>>,
    output: &'o mut dyn Write,
}

impl Members<'_, '_, '_> {
    /// Gives the piece to a thread. If each has two already, the first member is waited for.
    fn send(&mut self) -> io::Result<()> {
        if self.spawned < self.threads {
            let pieces = self.pieces;
            self.scope.spawn(move || work(pieces));
            self.spawned += 1;
        }
        if self.waiting.len() >= 2 * self.threads {
            self.write_first()?;
        }
        let (member, wanted) = mpsc::channel();
        let bytes = std::mem::take(&mut self.piece);
        let sent = self.sender.send(Piece { bytes, member });
        sent.map_err(io::Error::other)?;
        self.waiting.push_back(wanted);
        Ok(())
    }

    fn write_first(&mut self) -> io::Result<()> {
        let Some(wanted) = self.waiting.pop_front() else {
            return Ok(());
        };
        let member = wanted.recv().map_err(io::Error::other)??;
        self.output.write_all(&member)
    }

    fn finish(mut self) -> io::Result<()> {
        if self.spawned == 0 {
            // A single piece, which may be empty, is no work for threads.
            let member = member(&mut compressor(), &self.piece)?;
            self.output.write_all(&member)?;
        } else if !self.piece.is_empty() {
            self.send()?;
        }
        while !self.waiting.is_empty() {
            self.write_first()?;
        }
        self.output.flush()
    }
}

impl Write for Members<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full piece is kept until more is written, so that no empty one follows it.
        if self.piece.len() == MEMBER {
            self.send()?;
        }
        if self.piece.capacity() == 0 && self.spawned > 0 {
            self.piece.reserve_exact(MEMBER);
        }
        let count = bytes.len().min(MEMBER - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes members until there are no more pieces.
fn work(pieces: &Mutex<mpsc::Receiver<Piece>>) {
    let mut compressor = compressor();
    loop {
        // A poisoned lock is safe: receiving leaves nothing half done.
        let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(piece) = next else {
            return;
        };
        // If nobody wants it any more, writing has failed, and the sender is about to be dropped.
        drop(piece.member.send(member(&mut compressor, &piece.bytes)));
    }
}

fn compressor() -> Compressor {
    const PINNED: CompressionLvl = match CompressionLvl::new(LEVEL) {
        Ok(level) => level,
        Err(_) => panic!("libdeflate has no such level"),
    };
    Compressor::new(PINNED)
}

/// The gzip member of a piece.
fn member(compressor: &mut Compressor, piece: &[u8]) -> io::Result<Vec<u8>> {
    let mut member = vec![0; compressor.gzip_compress_bound(piece.len())];
    let size = compressor.gzip_compress(piece, &mut member);
    member.truncate(size.map_err(io::Error::other)?);
    Ok(member)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::{bufread::GzDecoder, read::MultiGzDecoder};
    use proptest::prelude::*;

    use super::*;

    /// Bytes that compress, but not to nothing.
    fn sample(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"abcdefgh"[(state >> 29) as usize]
        };
        std::iter::repeat_with(next).take(size).collect()
    }

    /// The compressed form of `input`, written in parts of `part` bytes.
    fn compressed(input: &[u8], threads: usize, part: usize) -> Vec<u8> {
        let mut output = Vec::new();
        let written = compress(&mut output, threads, |writer| {
            input
                .chunks(part)
                .try_for_each(|part| writer.write_all(part))
        });
        written.unwrap();
        output
    }

    fn read_back(bytes: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut read).unwrap();
        read
    }

    #[test]
    fn threads_and_writes_play_no_part() {
        for size in [
            0,
            1,
            MEMBER - 1,
            MEMBER,
            MEMBER + 1,
            5 * MEMBER,
            9 * MEMBER + 17,
        ] {
            let input = sample(size);
            let one = compressed(&input, 1, MEMBER);
            assert!(read_back(&one) == input, "{size}");
            for (threads, part) in [(2, 4096), (3, 777_777), (99, usize::MAX)] {
                assert!(compressed(&input, threads, part) == one, "{size} {threads}");
            }
        }
    }

    #[test]
    fn every_member_but_the_last_has_the_same_size() {
        let input = sample(2 * MEMBER + 5);
        let output = compressed(&input, 2, 4096);
        let (mut rest, mut sizes) = (&output[..], Vec::new());
        while !rest.is_empty() {
            let mut decoder = GzDecoder::new(rest);
            sizes.push(io::copy(&mut decoder, &mut io::sink()).unwrap());
            rest = decoder.into_inner();
        }
        let whole = MEMBER as u64;
        assert_eq!(sizes, [whole, whole, 5]);
    }

    /// Takes some bytes and then no more, as a full disk does.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let input = sample(20 * MEMBER);
        let written = compress(&mut Full(2 * MEMBER), 2, |writer| writer.write_all(&input));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let read = compress(&mut io::sink(), 2, |writer| {
            writer.write_all(&input)?;
            Err::<(), io::Error>(io::ErrorKind::NotFound.into())
        });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_are_read_back(input in proptest::collection::vec(any::<u8>(), 0..10_000), part in 1_usize..5_000) {
            prop_assert_eq!(read_back(&compressed(&input, 2, part)), input);
        }
    }
}
