//! The files of layers, read and hashed in other threads while they are sent.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use fs_err::File;

use super::blob::Checked;
use crate::image::Descriptor;

/// The bytes that are read at once.
const CHUNK: u64 = 128 << 10;

/// Reads a layer's file from its start, and compares it with its descriptor before it gives out the last bytes.
pub(super) struct LayerReader {
    path: PathBuf,
    /// The file, once it is open.
    file: Option<File>,
    checked: Checked,
}

impl LayerReader {
    pub(super) fn new(path: &Path, descriptor: &Descriptor) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            checked: Checked::new(descriptor),
        }
    }

    /// The number of bytes that it has given out.
    pub(super) fn passed(&self) -> u64 {
        self.checked.passed()
    }

    /// Whether it has given out all bytes.
    pub(super) fn is_complete(&self) -> bool {
        self.checked.is_complete()
    }

    /// The next bytes.
    ///
    /// # Errors
    /// The file cannot be read, or is not the layer's.
    pub(super) async fn next(mut self) -> Result<(Self, Bytes), String> {
        let read = move || {
            let chunk = self.read().map_err(|error| error.to_string())?;
            self.checked.pass(&chunk)?;
            Ok((self, Bytes::from(chunk)))
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| error.to_string())?
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path)?),
        };
        let mut chunk = Vec::new();
        file.take(CHUNK).read_to_end(&mut chunk)?;
        Ok(chunk)
    }
}
