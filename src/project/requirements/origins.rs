//! Where packages come from: indexes, as they are written. Variables in their URLs are expanded only where they are used,
//! so that nothing of the environment reaches a lock or a fingerprint.

use super::file_place::DirectFile;
use crate::project::{place::Place, wheel::normalise};

/// Where the packages of an image come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageOrigins {
    /// The index that replaces the configured one.
    pub main: Option<PackageIndex>,
    /// Further indexes.
    pub others: Vec<PackageIndex>,
    /// The wheels and sources that come from no index.
    pub direct: Vec<DirectFile>,
}

/// A package index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageIndex {
    /// Its name, by which variables hold its user and password; that of a nameless one is made up.
    pub name: String,
    /// As it is written: variables such as `${TOKEN}` are not expanded.
    pub url: String,
    /// Whether only packages that name it come from it.
    pub is_explicit: bool,
    /// Where it is written.
    pub place: Place,
}

/// The public index under its names, which stands for the configured one.
pub(super) const PUBLIC: [&str; 2] = [
    concat!("https://", "pypi", ".org/simple"),
    concat!("https://", "pypi", ".python.org/simple"),
];

/// Whether a URL is that of the public index, for which everybody may have configured another one.
pub(super) fn is_public(url: &str) -> bool {
    PUBLIC.contains(&url.trim_end_matches('/'))
}

impl PackageOrigins {
    /// The index of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&PackageIndex> {
        let name = normalise(name);
        let mut all = self.others.iter().chain(&self.main);
        all.find(|index| normalise(&index.name) == name)
    }

    /// The name of the further index with this URL, which is added if it is new; none for the public or the main one.
    pub(super) fn name_of(
        &mut self,
        url: &str,
        name: Option<&str>,
        place: Place,
    ) -> Option<String> {
        let same = |index: &&PackageIndex| is_same_index(&index.url, url);
        if is_public(url) || self.main.iter().any(|main| same(&main)) {
            return None;
        }
        if let Some(known) = self.others.iter().find(same) {
            return Some(known.name.clone());
        }
        let name = name.map_or_else(|| format!("index-{}", self.others.len() + 1), str::to_owned);
        self.others.push(PackageIndex {
            name: name.clone(),
            url: url.to_owned(),
            is_explicit: true,
            place,
        });
        Some(name)
    }

    /// Lines for a digest.
    pub(super) fn rows(&self) -> impl Iterator<Item = String> {
        let main = self.main.iter().map(|main| format!("index {}", main.url));
        let others = self.others.iter().map(|other| {
            let kind = if other.is_explicit {
                "explicit"
            } else {
                "further"
            };
            format!("index {kind} {} {}", normalise(&other.name), other.url)
        });
        main.chain(others)
    }
}

/// Whether two URLs are one but for a user, a password and the slash at the end.
#[must_use]
pub fn is_same_index(left: &str, right: &str) -> bool {
    let bare = |url: &str| {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("{scheme}://{host}/{}", path.trim_end_matches('/'))
    };
    bare(left) == bare(right)
}
