//! Where packages come from: indexes, as they are written. Variables in their URLs are expanded only where they are used,
//! so that nothing of the environment reaches a lock or a fingerprint.

use super::direct::DirectWheel;
use crate::project::{place::Place, wheel::normalise};

/// Where the packages of an image come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageOrigins {
    /// The index that replaces the configured one.
    pub main: Option<PackageIndex>,
    /// Further indexes.
    pub others: Vec<PackageIndex>,
    /// The wheels that come from no index.
    pub direct: Vec<DirectWheel>,
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

/// The public index, which stands for the configured one.
const PUBLIC: [&str; 2] = ["https://index.example/simple", "https://index.example/simple/"];

/// Whether a URL is that of the public index, for which everybody may have configured another one.
pub(super) fn is_public(url: &str) -> bool {
    PUBLIC.contains(&url.trim_end_matches('/'))
}

impl PackageOrigins {
    /// Whether nothing but the configured index is used.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

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
        let same = |index: &&PackageIndex| bare(&index.url) == bare(url);
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

/// A URL without user, password and the slash at its end.
fn bare(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}://{}", rest.trim_end_matches('/'))
}

/// The names of variables in a text, as pip expands them: `${NAME}` in capitals.
pub fn variables(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("${").skip(1);
    let names = parts.filter_map(|part| part.split_once('}').map(|(name, _)| name));
    names.filter(|name| is_variable(name))
}

fn is_variable(name: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(of_name)
}

/// The text with the value of each variable.
///
/// # Errors
/// The name of the first variable that is not set, or is empty.
pub fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        rest = after;
        if let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_variable(name)) {
            let value = value(name).filter(|value| !value.is_empty());
            expanded.push_str(&value.ok_or(name)?);
            rest = after;
        } else {
            expanded.push_str("${");
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Whether a URL holds a user or a password that is written out: variables are none.
pub(super) fn has_credentials(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let Some((login, _)) = rest.rsplit_once('@') else {
        return false;
    };
    let is_variable = |part: &str| {
        expand(part, |_| Some("X".to_owned())).is_ok_and(|it| it.bytes().all(|byte| byte == b'X'))
    };
    match login.split_once(':') {
        // A user alone may be a token.
        None => !is_variable(login) || login.is_empty(),
        Some((_, password)) => !is_variable(password) || password.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_pip_does() {
        let value = |name: &str| match name {
            "HOST" => Some("h.example".to_owned()),
            "P_1" => Some("a$b".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, wanted) in [
            ("https://${HOST}/simple", Ok("https://h.example/simple")),
            ("${HOST}${HOST}", Ok("h.exampleh.example")),
            ("u:${P_1}@x", Ok("u:a$b@x")),
            (
                "$HOST ${host} ${} ${A-B} ${HOST",
                Ok("$HOST ${host} ${} ${A-B} ${HOST"),
            ),
            ("${HOST}${NONE}", Err("NONE")),
            ("${EMPTY}", Err("EMPTY")),
        ] {
            assert_eq!(expand(text, value), wanted.map(str::to_owned), "{text}");
        }
        let names: Vec<&str> = variables("${A}x${b}${C_2}").collect();
        assert_eq!(names, ["A", "C_2"]);
    }

    #[test]
    fn what_is_written_out_is_a_credential_and_a_variable_is_none() {
        for (url, is) in [
            ("https://h.example/simple", false),
            ("https://${HOST}/simple", false),
            ("https://${USER}:${PASS}@h.example/", false),
            ("https://__token__:${TOKEN}@h.example/", false),
            ("https://${TOKEN}@h.example/", false),
            ("https://token@h.example/", true),
            ("https://u:p@h.example/", true),
            ("https://${USER}:p@h.example/", true),
            ("https://u:${P}x@h.example/", true),
            ("https://u:@h.example/", true),
            ("https://u:p@x@h.example/", true),
        ] {
            assert_eq!(has_credentials(url), is, "{url}");
        }
    }
}
