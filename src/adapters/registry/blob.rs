//! Blobs to be uploaded, and the progress of their uploads.

use std::path::PathBuf;

use bytes::Bytes;

use crate::image::{Descriptor, Digest, Hasher, LayerFile, Repository};

/// A new layer of more bytes is asked for before it is sent.
const WORTH_A_QUESTION: u64 = 1 << 20;

/// A blob to be uploaded.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its digest and size.
    pub descriptor: Descriptor,
    /// Where its bytes come from.
    pub source: BlobSource,
    /// Repositories that have it. Those of the same registry can give it away, so that nothing has to be sent.
    pub mounts: Vec<Repository>,
    /// Whether it is sent without asking for it first, because it was only just made.
    pub is_new: bool,
}

/// Where the bytes of a blob come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobSource {
    /// A file on this machine.
    File(PathBuf),
    /// Memory.
    Bytes(Bytes),
    /// Another repository: it is mounted from there if it is the same registry, and else copied.
    Registry(Repository),
}

/// What happens with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobProgress<'a> {
    /// The blob.
    pub descriptor: &'a Descriptor,
    /// How far it is.
    pub state: BlobState,
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// This number of bytes was sent. It is smaller than before if the upload had to be started again.
    Sending(u64),
    /// The repository has it now, because it was sent.
    Sent,
    /// The repository has it now, because another one gave it away.
    Mounted,
    /// The repository had it before.
    There,
}

impl From<LayerFile> for Blob {
    fn from(file: LayerFile) -> Self {
        let size = file.layer.descriptor.size;
        Self {
            descriptor: file.layer.descriptor,
            source: BlobSource::File(file.file),
            mounts: Vec::new(),
            // It may be a layer that another machine has made: then the question is cheaper than the bytes.
            is_new: file.is_new && size <= WORTH_A_QUESTION,
        }
    }
}

/// Counts and hashes bytes that pass, and compares them with a descriptor before the last ones are let through.
pub(super) struct Checked {
    digest: Digest,
    size: u64,
    passed: u64,
    hasher: Hasher,
}

impl Checked {
    pub(super) fn new(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            passed: 0,
            hasher: Hasher::default(),
        }
    }

    /// The number of bytes that have passed.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether all bytes have passed.
    pub(super) fn is_complete(&self) -> bool {
        self.passed == self.size
    }

    /// Lets bytes pass; empty ones are the end.
    ///
    /// # Errors
    /// They are not the descriptor's.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.passed += bytes.len() as u64;
        self.hasher.update(bytes);
        let Self { size, passed, .. } = self;
        if *passed > *size || bytes.is_empty() && *passed < *size {
            let more = if *passed > *size {
                "more than "
            } else {
                "only "
            };
            let passed = if *passed > *size { *size } else { *passed };
            return Err(format!(
                "it has {more}{passed} bytes, and {size} are wanted"
            ));
        }
        if *passed < *size {
            return Ok(());
        }
        let digest = std::mem::take(&mut self.hasher).finish();
        if digest == self.digest {
            return Ok(());
        }
        Err(format!(
            "it has the digest {digest}, and {} is wanted",
            self.digest
        ))
    }
}
