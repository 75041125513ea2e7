use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest of bytes in OCI notation, `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// The error that a text is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a digest: `sha256:` and 64 lower-case hex digits are wanted")]
pub struct DigestError(pub String);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of fields, each with its length before it, so that bytes which move from one field to another change
    /// the digest.
    #[must_use]
    pub fn of_fields<F: AsRef<[u8]>>(fields: impl IntoIterator<Item = F>) -> Self {
        let mut hasher = Hasher::default();
        for field in fields {
            let field = field.as_ref();
            hasher.update(format!("{}:", field.len()).as_bytes());
            hasher.update(field);
        }
        hasher.finish()
    }

    /// The digest of the rest of `reader`.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn of_reader(reader: &mut impl io::Read) -> io::Result<Self> {
        Ok(Self::with_size(reader)?.1)
    }

    /// The number of bytes that `reader` gives until its end, and their digest.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn with_size(reader: &mut impl io::Read) -> io::Result<(u64, Self)> {
        let mut hasher = Hasher::default();
        let mut size = 0;
        // Larger than the pieces that `io::copy` reads: those calls cost a tenth of the hashing.
        let mut buffer = vec![0; 32 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok((size, hasher.finish())),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The 64 hex digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The first `length` hex digits, for names that people read.
    #[must_use]
    pub fn short(&self, length: usize) -> &str {
        &self.hex()[..length.min(64)]
    }

    /// The whole notation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Computes a [`Digest`] piece by piece.
#[derive(Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(format!("sha256:{}", hex::encode(self.0.finalize())))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(lower_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DigestError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A reader that counts and hashes the bytes read through it.
pub struct HashedReader<R> {
    reader: R,
    size: u64,
    hasher: Hasher,
}

impl<R> HashedReader<R> {
    /// Wraps a reader of which nothing was read yet.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            size: 0,
            hasher: Hasher::default(),
        }
    }

    /// The number of bytes read, and their digest.
    #[must_use]
    pub fn finish(self) -> (u64, Digest) {
        (self.size, self.hasher.finish())
    }
}

impl<R: io::Read> io::Read for HashedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_bytes_is_sha256_in_oci_notation() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::of_reader(&mut &b""[..]).unwrap().as_str(), empty);
        assert_eq!(Digest::of(b"").short(12), "e3b0c44298fc");
    }

    #[test]
    fn fields_are_told_apart_by_their_lengths() {
        assert_eq!(Digest::of_fields(["ab", "", "c"]), Digest::of(b"2:ab0:1:c"));
        assert_ne!(
            Digest::of_fields(["ab", "c"]),
            Digest::of_fields(["a", "bc"])
        );
        assert_ne!(Digest::of_fields(["a"]), Digest::of_fields(["a", ""]));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "sha256:",
            "sha256:AB",
            "md5:00",
            &format!("sha256:{}", "g".repeat(64)),
            &"0".repeat(64),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
