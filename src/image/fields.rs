use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use super::ImageError;

/// A JSON object whose values stay as they were written, byte for byte, until one is set.
///
/// An image that is built on another keeps what the other's tools wrote and this program knows nothing of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

/// Reads `what`, which the error names.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|because| ImageError::Json { what, because })
}

/// Writes `what`; equal values become equal bytes.
pub(super) fn bytes<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value).map_err(|because| ImageError::Json { what, because })
}

impl Fields {
    /// The value of a key, in the type that the caller needs; `null` counts as absent.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        key: &str,
        what: &'static str,
    ) -> Result<Option<T>, ImageError> {
        let raw = self.0.get(key).map_or("null", |raw| raw.get());
        json(raw.as_bytes(), what)
    }

    pub(super) fn set<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
        what: &'static str,
    ) -> Result<(), ImageError> {
        let raw = to_raw_value(value).map_err(|because| ImageError::Json { what, because })?;
        self.0.insert(key.to_owned(), raw);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }
}
