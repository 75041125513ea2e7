//! The indexes that requirements name: with the values of variables and with logins, for the installer alone.

use std::collections::BTreeMap;

use crate::image::Digest;
use crate::project::{
    place::Place,
    requirements::{FilePlace, PackageIndex, PackageOrigins, expand, variables},
};

/// A variable that is not set, or is empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnsetVariable {
    pub(super) name: String,
    /// Where it is written.
    pub(super) place: Place,
}

/// An index with everything that an installer needs.
#[derive(Clone, Debug)]
pub(super) struct OpenIndex {
    pub(super) name: String,
    /// With user and password, if it has any.
    pub(super) url: String,
    /// Whether only packages that name it come from it.
    pub(super) is_explicit: bool,
}

/// A wheel that is named by its place, with a URL that an installer can fetch.
#[derive(Clone, Debug)]
pub(super) struct OpenWheel {
    pub(super) file_name: String,
    hashes: Vec<Digest>,
    url: String,
}

/// The indexes and wheels that requirements name.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenOrigins {
    /// The URL in place of the configured one.
    pub(super) main: Option<String>,
    pub(super) others: Vec<OpenIndex>,
    pub(super) direct: Vec<OpenWheel>,
    /// Values that are never shown, each with what is shown instead; the longest first.
    pub(super) hidden: Vec<(String, String)>,
}

impl OpenOrigins {
    /// The indexes with the values that the process has.
    ///
    /// # Errors
    /// A variable that a URL names is not set.
    pub(super) fn of(
        origins: &PackageOrigins,
        values: &BTreeMap<String, String>,
    ) -> Result<Self, UnsetVariable> {
        let mut open = Self::default();
        for index in &origins.others {
            let url = open.url(index, values)?;
            open.others.push(OpenIndex {
                name: index.name.clone(),
                url,
                is_explicit: index.is_explicit,
            });
        }
        if let Some(main) = &origins.main {
            open.main = Some(open.url(main, values)?);
        }
        open.add_wheels(origins, values)?;
        let hidden = &mut open.hidden;
        hidden.sort_by(|left, right| (right.0.len(), &right.0).cmp(&(left.0.len(), &left.0)));
        hidden.dedup();
        Ok(open)
    }

    /// Adds the wheels that are named by their places.
    ///
    /// # Errors
    /// A variable that a URL names is not set.
    pub(super) fn add_wheels(
        &mut self,
        origins: &PackageOrigins,
        values: &BTreeMap<String, String>,
    ) -> Result<(), UnsetVariable> {
        // A source is fetched where its wheel is built: nobody else needs the variables in its URL.
        let wheels = origins.direct.iter().filter(|file| !file.place.is_source());
        for wheel in wheels {
            let url = match &wheel.place {
                FilePlace::File(path) => super::encoded::file_url(path),
                FilePlace::Url(url) => self.filled(url, &wheel.written, values)?,
                FilePlace::Git(_) => continue,
            };
            self.direct.push(OpenWheel {
                file_name: wheel.file_name.clone(),
                hashes: wheel.hashes.clone(),
                url,
            });
        }
        Ok(())
    }

    /// The URL of a wheel of this file name and with this digest, if it is named by its place.
    pub(super) fn url_of(&self, file_name: &str, sha256: &Digest) -> Option<&str> {
        let mut wheels = self.direct.iter();
        let is_it =
            |wheel: &&OpenWheel| wheel.file_name == file_name && wheel.hashes.contains(sha256);
        wheels.find(is_it).map(|wheel| wheel.url.as_str())
    }

    /// A URL with the values of its variables, which are hidden.
    fn filled(
        &mut self,
        written: &str,
        place: &Place,
        values: &BTreeMap<String, String>,
    ) -> Result<String, UnsetVariable> {
        let value = |name: &str| values.get(name).cloned();
        let unset = |name: &str| UnsetVariable {
            place: place.clone(),
            name: name.to_owned(),
        };
        let url = expand(written, value).map_err(unset)?;
        if url != written {
            self.hide(&url, written);
            for name in variables(written) {
                let value = value(name).unwrap_or_default();
                self.hide(&value, &format!("${{{name}}}"));
            }
        }
        Ok(url)
    }

    fn url(
        &mut self,
        index: &PackageIndex,
        values: &BTreeMap<String, String>,
    ) -> Result<String, UnsetVariable> {
        let url = self.filled(&index.url, &index.place, values)?;
        let Some((user, password)) = login(&index.name, values) else {
            return Ok(url);
        };
        let Some((scheme, rest)) = url
            .split_once("://")
            .filter(|(_, rest)| !rest.contains('@'))
        else {
            return Ok(url);
        };
        let encoded = [&user, &password].map(|part| super::encoded::encoded(part.as_bytes()));
        self.hide(&password, "***");
        self.hide(&encoded[1], "***");
        let login = if password.is_empty() {
            self.hide(&user, "***");
            encoded[0].clone()
        } else {
            encoded.join(":")
        };
        Ok(format!("{scheme}://{login}@{rest}"))
    }

    /// Notes a value that must not be shown. One of few characters is part of many words, but never a secret.
    fn hide(&mut self, value: &str, shown: &str) {
        if value.len() > 3 {
            self.hidden.push((value.to_owned(), shown.to_owned()));
        }
    }
}

/// The user and the password that uv's or Poetry's variables hold for the index of a name.
fn login(name: &str, values: &BTreeMap<String, String>) -> Option<(String, String)> {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() {
            character.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(plain).collect();
    ["UV_INDEX_", "POETRY_HTTP_BASIC_"]
        .iter()
        .find_map(|start| {
            let value = |end: &str| values.get(&format!("{start}{name}_{end}")).cloned();
            let (user, password) = (value("USERNAME"), value("PASSWORD"));
            let is_set = user.is_some() || password.is_some();
            is_set.then(|| (user.unwrap_or_default(), password.unwrap_or_default()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, url: &str) -> PackageIndex {
        PackageIndex {
            name: name.to_owned(),
            url: url.to_owned(),
            is_explicit: true,
            place: Place::of_line("requirements.txt", 1),
        }
    }

    fn open(url: &str, values: &[(&str, &str)]) -> Result<OpenOrigins, UnsetVariable> {
        let origins = PackageOrigins {
            main: None,
            others: vec![index("my-index", url)],
            direct: Vec::new(),
        };
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        OpenOrigins::of(&origins, &values.collect())
    }

    #[test]
    fn variables_and_logins_are_filled_in_and_hidden() {
        let values = [("IDX_HOST", "h.example"), ("IDX_PASS", "canary1")];
        let found = open("https://u:${IDX_PASS}@${IDX_HOST}/simple", &values).unwrap();
        assert_eq!(found.others[0].url, "https://u:canary1@h.example/simple");
        let hidden: Vec<&str> = found
            .hidden
            .iter()
            .map(|(value, _)| value.as_str())
            .collect();
        assert_eq!(
            hidden,
            ["https://u:canary1@h.example/simple", "h.example", "canary1"]
        );
        for (start, password, url) in [
            (
                "UV_INDEX_MY_INDEX",
                "canary 2@",
                "https://u:canary%202%40@h.example/simple",
            ),
            (
                "POETRY_HTTP_BASIC_MY_INDEX",
                "canary3",
                "https://u:canary3@h.example/simple",
            ),
        ] {
            let (user, of_password) = (format!("{start}_USERNAME"), format!("{start}_PASSWORD"));
            let values = [(user.as_str(), "u"), (of_password.as_str(), password)];
            let found = open("https://h.example/simple", &values).unwrap();
            assert_eq!(found.others[0].url, url);
            assert!(found.hidden.iter().any(|(value, _)| value == password));
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_told_by_its_name() {
        for values in [&[][..], &[("IDX_HOST", "")]] {
            let error = open("https://${IDX_HOST}/simple", values).unwrap_err();
            let wanted = UnsetVariable {
                name: "IDX_HOST".to_owned(),
                place: Place::of_line("requirements.txt", 1),
            };
            assert_eq!(error, wanted);
        }
    }
}
