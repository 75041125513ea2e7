//! Tags and digests that stand neither beside an image nor in it, and that a chart may still take for it: in
//! `global.image`, in a mapping around the image's or within it.

use std::collections::{HashMap, HashSet};

use super::{
    document::NodeId,
    groups::VALUES_KIND,
    image_place::{ImagePlace, ReferenceParts},
    key_name::{KeyName, Role},
    keys::CHART_VALUES,
    siblings::is_digest,
    stray::StrayKind,
    view::Trail,
    walk::Walk,
};
use crate::image::Repository;

/// Words on the way to a value that do not tell which image it is for.
const FOR_ALL: &[&str] = &["default", "defaults", "global"];

/// An image of the project that has a version of its own.
struct Versioned {
    repository: Repository,
    /// The path of the mapping whose keys it is; empty if it is one value.
    mapping: String,
    stem: String,
}

/// A tag or a digest that is no part of an image.
struct Version {
    path: String,
    node: NodeId,
    is_digest: bool,
    value: String,
}

impl Walk<'_, '_> {
    /// Tells the digests and the tags in the project's own form that belong to no image of this document, and may win
    /// over those of one by the names of their keys.
    pub(super) fn far_versions(&mut self) {
        if self.view.document.tags.is_empty() {
            return;
        }
        let places = &self.found.located.places[self.first..];
        let images: Vec<Versioned> = places
            .iter()
            .filter_map(|place| self.versioned(place))
            .collect();
        if images.is_empty() {
            return;
        }
        let versions = self.versions(places);
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        let stems: Vec<String> = versions.iter().map(|of| stem(&of.path)).collect();
        for (index, version) in versions.iter().enumerate() {
            by_name.entry(&stems[index]).or_default().push(index);
            let around = parent(parent(&version.path));
            if !around.is_empty() {
                // A path has a separator before its last key, and a stem has none.
                by_name
                    .entry(&version.path[..=around.len()])
                    .or_default()
                    .push(index);
            }
        }
        let mut told = Vec::new();
        let mut seen = HashSet::new();
        for image in &images {
            let within = [format!("{}.", image.mapping), format!("{}[", image.mapping)];
            let within = within.iter().map(String::as_str);
            let within = within.filter(|_| !image.mapping.is_empty());
            for name in within.chain([image.stem.as_str(), ""]) {
                let Some((name, indices)) = by_name.get_key_value(name) else {
                    continue;
                };
                if !seen.insert((&image.repository, *name)) {
                    continue;
                }
                let is_own = |tag: &str| self.rules.matcher.is_own_tag(&image.repository, tag);
                let versions = indices.iter().map(|index| &versions[*index]);
                let versions = versions.filter(|of| of.is_digest || is_own(&of.value));
                told.extend(versions.map(|version| (image.repository.clone(), version)));
            }
        }
        for (repository, version) in told {
            let kind = if version.is_digest {
                StrayKind::Digest
            } else {
                StrayKind::Tag
            };
            let scalar = self.view.scalar(version.node, Trail::at(&version.path));
            self.add_stray(kind, &repository, scalar);
        }
    }

    /// A place that names an image of the project with a version: its own, or one that is filled in.
    fn versioned(&self, place: &ImagePlace) -> Option<Versioned> {
        if place.kind != VALUES_KIND {
            return None;
        }
        let (mapping, has_version) = match &place.parts {
            ReferenceParts::Values { tag, digest, .. } => {
                (place.path.as_str(), tag.is_some() || digest.is_some())
            }
            ReferenceParts::Reference(scalar) => ("", scalar.value.contains([':', '@'])),
            ReferenceParts::Beside { .. } => ("", true),
            ReferenceParts::Kustomize { .. }
            | ReferenceParts::Tag(_)
            | ReferenceParts::Digest(_) => return None,
        };
        let repository = match place.reference() {
            Some(reference) => reference.repository,
            None => place.fixed_repository()?,
        };
        (has_version && self.rules.matcher.has(&repository)).then(|| Versioned {
            repository,
            mapping: mapping.to_owned(),
            stem: stem(&place.path),
        })
    }

    /// The versions that belong to no place, and do not stand beside an image of others.
    fn versions(&self, places: &[ImagePlace]) -> Vec<Version> {
        // What names no repository, as `{repository: ~, digest: x}`, belongs to whatever its way says.
        let named = places
            .iter()
            .filter(|place| place.left_alone.is_some() || place.reference().is_some());
        let scalars = named.flat_map(|place| place.parts.scalars());
        let known: HashSet<usize> = scalars.map(|scalar| scalar.span.start).collect();
        let others = places.iter().filter(|place| {
            let reference = place.reference();
            reference.is_some_and(|reference| !self.rules.matcher.has(&reference.repository))
        });
        let others: HashSet<&str> = others
            .map(|place| match &place.parts {
                ReferenceParts::Values { .. } => place.path.as_str(),
                _ => parent(&place.path),
            })
            .collect();
        let tags = self.view.document.tags.iter();
        tags.filter_map(|(path, node)| {
            let value = self.view.text_of(*node)?;
            let start = self.view.document.node(*node).spot.start;
            let name = KeyName::of(path);
            let is_meant = matches!(name.role, Role::Tag | Role::Digest | Role::Version);
            let is_other =
                name.is_of_other || known.contains(&start) || others.contains(parent(path));
            if !is_meant || value.is_empty() || is_other {
                return None;
            }
            Some(Version {
                path: path.clone(),
                node: *node,
                is_digest: is_digest(&value),
                value: value.into_owned(),
            })
        })
        .collect()
    }
}

/// What the keys on the way say of an image, apart from those that say that it is one, or for all.
fn stem(path: &str) -> String {
    let in_values = path
        .split(['.', '['])
        .position(|key| CHART_VALUES.contains(&key));
    let path = match in_values {
        Some(keys) => path.splitn(keys + 2, ['.', '[']).last().unwrap_or_default(),
        None => path,
    };
    let stem = KeyName::of(path).stem;
    let words = stem.split('_').filter(|word| !FOR_ALL.contains(word));
    words.collect::<Vec<_>>().join("_")
}

/// The path of the mapping that holds a key.
fn parent(path: &str) -> &str {
    let end = path.rfind(['.', '[']).unwrap_or_default();
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_which_image_it_is_about() {
        for (path, expected) in [
            ("image.digest", ""),
            ("global.image.tag", ""),
            ("job.image", "job"),
            ("jobImageDigest", "job"),
            ("defaultAirflowRepository", "airflow"),
            ("images.airflow.digest", "airflow"),
            ("spec.source.helm.valuesObject.job.image", "job"),
            ("spec.values.tag", ""),
            ("image.source.digest", "source"),
        ] {
            assert_eq!(stem(path), expected, "{path}");
        }
        assert_eq!(parent("a.b.c"), "a.b");
        assert_eq!(parent("a"), "");
    }
}
