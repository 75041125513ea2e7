//! Streams that are compressed by zstd.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// The decompressed bytes of all frames of a zstd stream. A layer may have several, and some that hold no data.
pub struct Frames<R> {
    reader: R,
    decoder: FrameDecoder,
    has_begun: bool,
}

impl<R: BufRead> Frames<R> {
    /// Of what a reader gives.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            decoder: FrameDecoder::new(),
            has_begun: false,
        }
    }

    /// Begins the next frame, if there is one.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.reader.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let skipped = match self.decoder.init(&mut self.reader) {
                Ok(()) => {
                    self.has_begun = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => u64::from(length),
                Err(error) => return Err(io::Error::other(error)),
            };
            io::copy(&mut (&mut self.reader).take(skipped), &mut io::sink())?;
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            while self.has_begun && self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.reader, one);
                decoded.map_err(io::Error::other)?;
            }
            if self.has_begun && self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if !self.begin()? {
                return Ok(0);
            }
        }
    }
}
