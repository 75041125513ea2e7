//! Names of images as scripts and Dockerfiles write them, of which a part may be known only when they run.

use super::variables::UNKNOWN;
use crate::image::{Reference, Repository};

/// Where Docker's hub and others keep what everybody uses.
const HUBS: [&str; 7] = [
    "apache/",
    "library/",
    "bitnami/",
    "bitnamilegacy/",
    "jupyter/",
    "spark-operator/",
    "kubeflow/",
];

/// The name of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ImageName {
    /// Its repository; `None` where a part of it is not known.
    pub(super) repository: Option<Repository>,
    /// The last part of the repository.
    pub(super) last: String,
    /// The tag, with [`UNKNOWN`] for what is not known of it.
    pub(super) tag: Option<String>,
}

impl ImageName {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.split('@').next().unwrap_or_default();
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (text, None),
        };
        let repository: Option<Repository> = name.parse().ok();
        let last = name.rsplit('/').next().unwrap_or(name).to_owned();
        let is_known = repository.is_some() || name.contains(UNKNOWN) && !last.contains(UNKNOWN);
        (is_known && !last.is_empty()).then_some(Self {
            repository,
            last,
            tag,
        })
    }

    pub(super) fn of(reference: &Reference) -> Self {
        let path = &reference.repository.path;
        Self {
            last: path.rsplit('/').next().unwrap_or(path).to_owned(),
            repository: Some(reference.repository.clone()),
            tag: reference.tag.clone(),
        }
    }

    /// Whether both may be names of one image: where not all of a repository is known, its last part decides.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        match (&self.repository, &other.repository) {
            (Some(one), Some(other)) => one == other,
            _ => self.last == other.last,
        }
    }

    /// Its repository as people write it, or what is known of it.
    pub(super) fn shown(&self) -> String {
        let Some(repository) = &self.repository else {
            return self.last.clone();
        };
        short(&repository.to_string()).to_owned()
    }

    /// What comes before the last part, with the host.
    pub(super) fn prefix(&self) -> Option<String> {
        let repository = self.repository.as_ref()?;
        Some(match repository.path.rsplit_once('/') {
            Some((path, _)) => format!("{}/{path}", repository.registry),
            None => repository.registry.clone(),
        })
    }

    /// What a tag has before its version: `orders` of `orders-1.4`, and of `orders-$(VERSION)`.
    pub(super) fn tag_head(&self) -> Option<&str> {
        let tag = self.tag.as_deref()?;
        let mut head = tag;
        while let Some((before, last)) = head.rsplit_once(['-', '_']) {
            let is_version = last.contains(UNKNOWN)
                || last.starts_with(|first: char| first.is_ascii_digit())
                || last.len() >= 7 && last.bytes().all(|byte| byte.is_ascii_hexdigit())
                || last.starts_with('v') && last[1..].starts_with(|of: char| of.is_ascii_digit())
                || ["latest", "dev", "stable", "snapshot", "SNAPSHOT", "unbuilt"].contains(&last);
            if !is_version {
                break;
            }
            head = before;
        }
        let first = head.chars().next()?;
        let is_name = first.is_ascii_alphabetic() && !head.contains(UNKNOWN);
        let is_common = [
            "latest", "main", "master", "dev", "stable", "prod", "unbuilt",
        ]
        .contains(&head);
        let is_version =
            head.starts_with('v') && head[1..].starts_with(|of: char| of.is_ascii_digit());
        (is_name && !is_common && !is_version).then_some(head)
    }

    /// Whether it is an image that many use and that nobody makes for one project.
    pub(super) fn is_public(&self) -> bool {
        let Some(Repository { registry, path }) = &self.repository else {
            return false;
        };
        let is_hub = [
            "docker.io",
            "ghcr.io",
            "gcr.io",
            "quay.io",
            "registry.k8s.io",
        ];
        is_hub.contains(&registry.as_str()) && HUBS.iter().any(|hub| path.starts_with(hub))
            || [
                "public.ecr.aws",
                "mcr.microsoft.com",
                "nvcr.io",
                "registry.k8s.io",
                "datamechanics",
            ]
            .contains(&registry.as_str())
    }
}

/// A reference without what Docker adds to short names.
pub(super) fn short(reference: &str) -> &str {
    let rest = reference.strip_prefix("docker.io/").unwrap_or(reference);
    rest.strip_prefix("library/").unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_may_begin_with_the_name_of_an_image() {
        for (text, wanted) in [
            ("h.example/spark:orders-1.4.2", Some("orders")),
            ("h.example/spark:orders-daily-\u{1}", Some("orders-daily")),
            ("h.example/spark:base", Some("base")),
            ("h.example/spark:orders-0123abc", Some("orders")),
            ("h.example/spark:1.4.2", None),
            ("h.example/spark:v1.4", None),
            ("h.example/spark:latest", None),
            ("h.example/spark:\u{1}", None),
            ("h.example/spark", None),
        ] {
            let name = ImageName::parse(text).unwrap();
            assert_eq!(name.tag_head(), wanted, "{text}");
        }
        let partly = ImageName::parse("\u{1}/orders:\u{1}").unwrap();
        assert!(partly.may_be(&ImageName::parse("h.example/acme/orders:2").unwrap()));
        assert_eq!(ImageName::parse("\u{1}"), None);
    }
}
