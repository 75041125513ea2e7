use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::ImageError;

/// A JSON object whose values keep their exact bytes until they are set.
///
/// An image that is built on another keeps fields of the parent that this program does not know. A duplicate key is
/// refused, because programs disagree on which of its values counts.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.contains_key(&key) {
                        return Err(A::Error::custom(format!("duplicate field `{key}`")));
                    }
                    fields.insert(key, value);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Parses `what`, which errors name.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|because| ImageError::Json { what, because })
}

/// Serialises `what`; equal values give equal bytes.
pub(super) fn bytes<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value).map_err(|because| ImageError::Json { what, because })
}

impl Fields {
    /// The value of a key, in the type that the caller needs; `null` counts as missing.
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

    /// Whether a key has a value; `null` counts as missing.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|raw| raw.get() != "null")
    }

    /// The values of some keys, for types that would refuse a document because of its other keys.
    pub(super) fn only(&self, keys: &[&str]) -> Result<Map<String, Value>, serde_json::Error> {
        let found = keys
            .iter()
            .filter_map(|key| Some((*key, self.0.get(*key)?)));
        found
            .map(|(key, raw)| Ok((key.to_owned(), serde_json::from_str(raw.get())?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fields, String> {
        json(text.as_bytes(), "config").map_err(|error: ImageError| error.to_string())
    }

    #[test]
    fn what_means_different_things_to_different_programs_is_refused() {
        let error = read(r#"{"os": "linux", "b": 1, "os": "windows"}"#).unwrap_err();
        assert!(
            error.starts_with("the config is none: duplicate field `os`"),
            "{error}"
        );
        assert!(read("[]").unwrap_err().contains("expected an object"));
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let fields = read(r#"{"n": 1.50, "a": {"x":  [1]}, "none": null}"#).unwrap();
        let written = bytes(&fields, "config").unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            r#"{"a":{"x":  [1]},"n":1.50,"none":null}"#
        );
        assert!(fields.has("a") && !fields.has("none") && !fields.has("b"));
        let some = fields.only(&["none", "n", "b"]).unwrap();
        assert_eq!(
            Value::Object(some),
            serde_json::json!({"n": 1.5, "none": null})
        );
    }
}
