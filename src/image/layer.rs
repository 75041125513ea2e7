use std::{
    io::{self, Read},
    path::PathBuf,
};

use flate2::read::MultiGzDecoder;
use oci_spec::image::History;

use super::{Compression, Descriptor, Digest, HashedReader, ImageError};

/// A layer to be added above a parent's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The descriptor of the compressed bytes; its media type is of either family.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Its entry in the history. If it has no time, it gets the parent's time of creation.
    pub history: History,
}

/// A layer, and the file on this machine with its compressed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFile {
    /// The layer.
    pub layer: Layer,
    /// The file.
    pub file: PathBuf,
    /// Whether this run has made it. Then a registry can hardly have it.
    pub is_new: bool,
}

impl LayerFile {
    /// A layer that this run has not made.
    #[must_use]
    pub fn there(layer: Layer, file: PathBuf) -> Self {
        Self {
            layer,
            file,
            is_new: false,
        }
    }
}

impl Layer {
    /// A layer of another image, whose history is not looked at.
    #[must_use]
    pub fn of_another(descriptor: Descriptor, diff_id: Digest) -> Self {
        Self {
            descriptor,
            diff_id,
            history: History::default(),
        }
    }

    /// The layer of a gzip blob. `created_by` is the text of its entry in the history, which gets no time.
    #[must_use]
    pub fn gzip(digest: Digest, size: u64, diff_id: Digest, created_by: &str) -> Self {
        let mut history = History::default();
        history.set_created_by(Some(created_by.to_owned()));
        Self {
            descriptor: Descriptor {
                media_type: Compression::Gzip.media_type(),
                digest,
                size,
                platform: None,
            },
            diff_id,
            history,
        }
    }

    /// Reads the compressed bytes to their end, and compares size, digest and diff ID.
    ///
    /// # Errors
    /// One of them differs, or the bytes cannot be decompressed.
    pub fn check(&self, compressed: impl Read) -> Result<(), ImageError> {
        let media_type = &self.descriptor.media_type;
        let wrong = || ImageError::Compression(media_type.to_string());
        let mut hashed = HashedReader::new(compressed);
        let diff_id = match Compression::of(media_type).ok_or_else(wrong)? {
            Compression::None => Digest::of_reader(&mut hashed),
            Compression::Gzip => Digest::of_reader(&mut MultiGzDecoder::new(&mut hashed)),
            Compression::Zstd => return Err(wrong()),
        };
        let rest = io::copy(&mut hashed, &mut io::sink());
        let (size, digest) = hashed.finish();
        // A wrong digest is reported before a failed decompression, which is only its consequence.
        rest.map_err(ImageError::Unpack)?;
        self.descriptor.compare(size, digest, "layer")?;
        let diff_id = diff_id.map_err(ImageError::Unpack)?;
        if diff_id == self.diff_id {
            return Ok(());
        }
        Err(ImageError::OtherDigest {
            what: "layer's tar",
            expected: self.diff_id.clone(),
            actual: diff_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(tar: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(tar).unwrap();
        encoder.finish().unwrap()
    }

    fn layer(compression: Compression, compressed: &[u8], tar: &[u8]) -> Layer {
        Layer {
            descriptor: Descriptor::of(compression.media_type(), compressed),
            diff_id: Digest::of(tar),
            history: History::default(),
        }
    }

    #[test]
    fn a_layer_is_compared_with_its_bytes() {
        let tar = b"a tar".repeat(1000);
        let two_members = [gzip(b"a "), gzip(b"tar")].concat();
        for (compression, compressed, tar) in [
            (Compression::None, &tar, &tar[..]),
            (Compression::Gzip, &gzip(&tar), &tar),
            (Compression::Gzip, &two_members, b"a tar"),
        ] {
            layer(compression, compressed, tar)
                .check(&compressed[..])
                .unwrap();
        }
    }

    #[test]
    fn what_is_wrong_with_a_layer_is_told() {
        let (tar, compressed) = (b"a tar", gzip(b"a tar"));
        let said = |layer: &Layer, bytes: &[u8]| layer.check(bytes).unwrap_err().to_string();
        let right = layer(Compression::Gzip, &compressed, tar);
        let longer = [&compressed[..], b"x"].concat();
        assert!(said(&right, &longer).starts_with("the layer has 26 bytes"));
        let mut damaged = compressed.clone();
        damaged[12] ^= 1;
        assert!(said(&right, &damaged).starts_with("the layer has the digest"));
        let other = layer(Compression::Gzip, &compressed, b"another");
        assert!(said(&other, &compressed).starts_with("the layer's tar has the digest"));
        let no_gzip = layer(Compression::Gzip, tar, tar);
        assert_eq!(said(&no_gzip, tar), "the layer cannot be unpacked");
        let zstd = layer(Compression::Zstd, tar, tar);
        assert!(said(&zstd, tar).ends_with("tar+zstd` cannot be unpacked"));
    }
}
