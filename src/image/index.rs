use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image as oci;

use super::{
    Descriptor, Digest, Family, ImageError, Platform,
    fields::{Fields, bytes, json},
    manifest::{check_schema, missing},
};

const WHAT: &str = "index";

/// An image index: manifests, each for a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageIndex {
    /// The manifests, in the index's order.
    pub entries: Vec<Descriptor>,
}

/// The platform of an entry that is an image; attestations have the platform `unknown/unknown`.
fn platform_of(entry: &Descriptor) -> Option<&Platform> {
    entry
        .platform
        .as_ref()
        .filter(|platform| platform.os != "unknown")
}

impl ImageIndex {
    /// Parses an index.
    ///
    /// # Errors
    /// It is another kind of document, or of an unknown schema.
    pub fn parse(index: &[u8]) -> Result<Self, ImageError> {
        let fields: Fields = json(index, WHAT)?;
        check_schema(&fields, WHAT)?;
        Self::of(&fields)
    }

    pub(super) fn of(fields: &Fields) -> Result<Self, ImageError> {
        let entries = fields.get("manifests", WHAT)?;
        let entries = entries.ok_or_else(|| missing("manifests", WHAT))?;
        Ok(Self { entries })
    }

    /// The bytes of an index over manifests, sorted by platform.
    ///
    /// # Errors
    /// An entry has no platform, or two have the same.
    pub fn assemble(family: Family, entries: &[Descriptor]) -> Result<Vec<u8>, ImageError> {
        let mut ordered: BTreeMap<&Platform, &Descriptor> = BTreeMap::new();
        for entry in entries {
            let platform = platform_of(entry);
            let none = || ImageError::EntryWithoutPlatform(entry.digest.clone());
            let platform = platform.ok_or_else(none)?;
            if ordered.insert(platform, entry).is_some() {
                return Err(ImageError::PlatformTwice(platform.clone()));
            }
        }
        let manifests: Result<Vec<_>, _> = ordered.into_values().map(Descriptor::to_oci).collect();
        let index = oci::ImageIndexBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(family.index())
            .manifests(manifests?)
            .build();
        let index = index.map_err(|error| ImageError::Json {
            what: WHAT,
            because: serde::ser::Error::custom(error),
        })?;
        bytes(&index, WHAT)
    }

    /// The entry for a platform; the first if there are several.
    ///
    /// # Errors
    /// There is none; the error lists the platforms of the index.
    pub fn choose(&self, platform: &Platform) -> Result<&Descriptor, ImageError> {
        let mut entries = self.entries.iter();
        let found = entries.find(|entry| entry.platform.as_ref() == Some(platform));
        found.ok_or_else(|| ImageError::PlatformMissing {
            wanted: platform.clone(),
            platforms: self
                .entries
                .iter()
                .filter_map(platform_of)
                .cloned()
                .collect(),
        })
    }

    /// The digests by platform, without entries such as attestations that are for none.
    #[must_use]
    pub fn by_platform(&self) -> BTreeMap<Platform, Digest> {
        let mut found = BTreeMap::new();
        for entry in &self.entries {
            if let Some(platform) = platform_of(entry) {
                // Of several entries for a platform, [`Self::choose`] takes the first.
                found
                    .entry(platform.clone())
                    .or_insert_with(|| entry.digest.clone());
            }
        }
        found
    }
}

/// Checks that an index describes `manifests` correctly and names each of them.
///
/// # Errors
/// It names a manifest that is not given, gives one another size, or lacks one.
pub fn validate_index(index: &[u8], manifests: &[&[u8]]) -> Result<ImageIndex, ImageError> {
    let index = ImageIndex::parse(index)?;
    let mut named = BTreeSet::new();
    for entry in &index.entries {
        let found = manifests
            .iter()
            .find(|manifest| Digest::of(manifest) == entry.digest);
        let found = found.ok_or_else(|| ImageError::ManifestMissing(entry.digest.clone()))?;
        entry.check(found, "manifest")?;
        named.insert(entry.digest.clone());
    }
    let left_out = manifests.iter().map(|manifest| Digest::of(manifest));
    match left_out.into_iter().find(|digest| !named.contains(digest)) {
        Some(digest) => Err(ImageError::EntryMissing(digest)),
        None => Ok(index),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(platform: Option<&str>) -> Descriptor {
        Descriptor {
            platform: platform.map(|platform| platform.parse().unwrap()),
            ..Descriptor::of(Family::Oci.manifest(), manifest(platform).as_bytes())
        }
    }

    fn manifest(platform: Option<&str>) -> String {
        format!("the manifest of {platform:?}")
    }

    #[test]
    fn an_index_is_the_same_in_whatever_order_its_manifests_come() {
        let (amd, arm) = (entry(Some("linux/amd64")), entry(Some("linux/arm64")));
        for family in [Family::Oci, Family::Docker] {
            let index = ImageIndex::assemble(family, &[arm.clone(), amd.clone()]).unwrap();
            let other = ImageIndex::assemble(family, &[amd.clone(), arm.clone()]).unwrap();
            assert_eq!(index, other);
            let read = ImageIndex::parse(&index).unwrap();
            assert_eq!(read.entries, [amd.clone(), arm.clone()]);
            assert_eq!(read.choose(&"linux/arm64".parse().unwrap()).unwrap(), &arm);
            let value: Value = serde_json::from_slice(&index).unwrap();
            assert_eq!(
                value["manifests"][0],
                json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": amd.digest,
                    "size": amd.size, "platform": {"os": "linux", "architecture": "amd64"}})
            );
            assert_eq!(value["schemaVersion"], 2);
            assert_eq!(value["mediaType"], family.index().as_ref());
        }
    }

    #[test]
    fn an_index_is_made_only_of_what_can_be_chosen() {
        let said = |entries: &[Descriptor]| {
            ImageIndex::assemble(Family::Oci, entries)
                .unwrap_err()
                .to_string()
        };
        assert!(said(&[entry(None)]).ends_with("is for no platform"));
        let amd = entry(Some("linux/amd64"));
        assert_eq!(
            said(&[amd.clone(), amd]),
            "two manifests are for `linux/amd64`"
        );
    }

    #[test]
    fn an_index_is_compared_with_its_manifests() {
        let platforms = [Some("linux/amd64"), Some("linux/s390x")];
        let texts = platforms.map(manifest);
        let manifests: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let mut entries = platforms.map(entry);
        let index = ImageIndex::assemble(Family::Oci, &entries).unwrap();
        let read = validate_index(&index, &manifests).unwrap();
        assert_eq!(read.by_platform().len(), 2);
        let said = |index: &[u8], manifests: &[&[u8]]| {
            validate_index(index, manifests).unwrap_err().to_string()
        };
        assert!(said(&index, &manifests[1..]).ends_with("is not there"));
        let extra = [&manifests[..], &[b"another"]].concat();
        assert!(said(&index, &extra).ends_with("is not in the index"));
        entries[0].size += 1;
        let wrong = ImageIndex::assemble(Family::Oci, &entries).unwrap();
        assert!(said(&wrong, &manifests).contains("bytes, its descriptor says"));
    }

    #[test]
    fn the_platforms_entry_is_chosen_and_attestations_are_not() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let index = |platforms: &[(&str, &str, Option<&str>)]| {
            let entry = |(os, architecture, variant): &(&str, &str, Option<&str>)| {
                let name = format!("{os}/{architecture}/{}", variant.unwrap_or(""));
                json!({"digest": digest(&name), "size": 1,
                    "platform": {"os": os, "architecture": architecture, "variant": variant}})
            };
            let entries: Vec<_> = platforms.iter().map(entry).collect();
            let text = json!({"schemaVersion": 2, "manifests": entries}).to_string();
            ImageIndex::parse(text.as_bytes()).unwrap()
        };
        let entries = index(&[
            ("unknown", "unknown", None),
            ("linux", "amd64", Some("v3")),
            ("linux", "amd64", None),
            ("linux", "arm64", Some("v8")),
        ]);
        let chosen = |platform: &str| {
            let entry = entries.choose(&platform.parse().unwrap());
            entry
                .map(|entry| entry.digest.clone())
                .map_err(|error| error.to_string())
        };
        assert_eq!(chosen("linux/amd64"), Ok(digest("linux/amd64/")));
        assert_eq!(chosen("linux/arm64"), Ok(digest("linux/arm64/v8")));
        let error = chosen("linux/s390x").unwrap_err();
        assert_eq!(
            error,
            "there is no image for `linux/s390x`; the platforms are `linux/amd64/v3`, `linux/amd64`, `linux/arm64`"
        );
        assert!(
            index(&[])
                .choose(&Platform::default())
                .unwrap_err()
                .to_string()
                .ends_with("are none")
        );
    }
}
