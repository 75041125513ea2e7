use std::{fmt, str::FromStr};

use super::Digest;

/// A registry and a repository in it, without tag or digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// Host, and port where one was written: `docker.io` where none was.
    pub registry: String,
    /// The path in the registry: `library/NAME` for a short name of Docker Hub.
    pub path: String,
}

/// An image's reference as the distribution grammar has it, short names of Docker Hub written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Where the image lies.
    pub repository: Repository,
    /// The tag, at most 128 characters.
    pub tag: Option<String>,
    /// The digest of the manifest or index.
    pub digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    /// What was written, without a password.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Whether `text` is a tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = text.bytes();
    text.len() <= 128
        && bytes.next().is_some_and(word)
        && bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

impl Repository {
    /// The reference of `tag` in this repository.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> Reference {
        Reference {
            repository: self.clone(),
            tag: Some(tag.to_owned()),
            digest: None,
        }
    }

    /// The reference of the manifest `digest` in this repository.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Reference {
        Reference {
            repository: self.clone(),
            tag: None,
            digest: Some(digest.clone()),
        }
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let reference: Reference = text.parse()?;
        match reference {
            Reference {
                repository,
                tag: None,
                digest: None,
            } => Ok(repository),
            _ => Err(wrong(text, "a repository is wanted, without tag or digest")),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(wrong(text, &format!("leave out `{scheme}://`")));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => match digest.parse() {
                Ok(digest) => (rest, Some(digest)),
                Err(_) if rest.contains(':') && digest.contains('/') => {
                    return Err(wrong(
                        "***",
                        "user and password have no place in it: run `docker login`",
                    ));
                }
                Err(error) => return Err(wrong(text, &format!("{error}"))),
            },
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !tag.contains(']') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(wrong(
                text,
                &format!("`{tag}` is not a tag (letters, digits, `_`, `.`, `-`, at most 128)"),
            ));
        }
        let repository = parse_name(text, name)?;
        Ok(Self {
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

fn parse_name(text: &str, name: &str) -> Result<Repository, ReferenceError> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_domain(first) => (normal_domain(first), path.to_owned()),
        Some(_) => ("docker.io".to_owned(), name.to_owned()),
        None => ("docker.io".to_owned(), format!("library/{name}")),
    };
    let path = match (registry.as_str(), path.contains('/')) {
        ("docker.io", false) => format!("library/{path}"),
        _ => path,
    };
    if !valid_host(&registry) {
        return Err(wrong(
            text,
            &format!("`{registry}` is not a host name with an optional port"),
        ));
    }
    if path.len() > 255 {
        return Err(wrong(text, "the repository is longer than 255 characters"));
    }
    if let Some(component) = path.split('/').find(|component| !is_component(component)) {
        let lower = component.to_ascii_lowercase();
        let reason = if lower != component && is_component(&lower) {
            format!("a repository has no upper case: write `{lower}`")
        } else if component.is_empty() {
            "a part of the repository is empty".to_owned()
        } else {
            format!(
                "`{component}` is not a part of a repository (lower-case letters and digits, with `.`, `_`, `__` or `-` between)"
            )
        };
        return Err(wrong(text, &reason));
    }
    Ok(Repository { registry, path })
}

/// As the distribution grammar tells a host from a path: a dot, a colon, `localhost` or upper case.
fn is_domain(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn normal_domain(domain: &str) -> String {
    if domain == "index.docker.io" {
        "docker.io".to_owned()
    } else {
        domain.to_owned()
    }
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_is_valid = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let name_is_valid = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(label),
    };
    port_is_valid && name_is_valid
}

/// `[a-z0-9]+` parts joined by one of `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = component.bytes().next().is_some_and(alphanumeric)
        && component.bytes().last().is_some_and(alphanumeric);
    let separators =
        component.split(|character: char| alphanumeric(u8::try_from(character).unwrap_or(b'!')));
    ends && separators.filter(|part| !part.is_empty()).all(|separator| {
        matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    })
}

fn wrong(text: &str, reason: &str) -> ReferenceError {
    ReferenceError {
        text: text.to_owned(),
        reason: reason.to_owned(),
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.repository)?;
        self.tag
            .iter()
            .try_for_each(|tag| write!(formatter, ":{tag}"))?;
        self.digest
            .iter()
            .try_for_each(|digest| write!(formatter, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, Option<String>, bool) {
        let Reference {
            repository,
            tag,
            digest,
        } = text.parse().unwrap();
        (repository.registry, repository.path, tag, digest.is_some())
    }

    #[test]
    fn parts_are_those_of_the_distribution_grammar() {
        let digest = Digest::of(b"x");
        let table = [
            ("debian", "docker.io", "library/debian", None),
            (
                "debian:bookworm-slim",
                "docker.io",
                "library/debian",
                Some("bookworm-slim"),
            ),
            (
                "apache/spark:4.1.4-python3",
                "docker.io",
                "apache/spark",
                Some("4.1.4-python3"),
            ),
            ("docker.io/debian", "docker.io", "library/debian", None),
            (
                "index.docker.io/library/debian:1",
                "docker.io",
                "library/debian",
                Some("1"),
            ),
            ("localhost/a", "localhost", "a", None),
            ("localhost:5000/a/b:t", "localhost:5000", "a/b", Some("t")),
            (
                "127.0.0.1:5000/penguins/job:unbuilt",
                "127.0.0.1:5000",
                "penguins/job",
                Some("unbuilt"),
            ),
            ("[::1]:5000/a:b", "[::1]:5000", "a", Some("b")),
            (
                "registry.example/a__b/c-d--e.f:X_1.2-3",
                "registry.example",
                "a__b/c-d--e.f",
                Some("X_1.2-3"),
            ),
        ];
        for (text, registry, path, tag) in table {
            assert_eq!(
                parts(text),
                (
                    registry.to_owned(),
                    path.to_owned(),
                    tag.map(str::to_owned),
                    false
                ),
                "{text}"
            );
            assert!(parts(&format!("{text}@{digest}")).3, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        let table = [
            ("", "empty"),
            ("http://reg:5000/x", "leave out `http://`"),
            ("reg.example/Team/job", "write `team`"),
            ("reg.example/a//b", "empty"),
            ("reg.example/a:", "not a tag"),
            ("reg.example/a:b@sha256:12", "not a digest"),
            ("reg.example:99999/a", "not a host name"),
            ("a_-b/c", "not a part"),
            ("reg.example/-a", "not a part"),
        ];
        for (text, reason) in table {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
        let error = "user:secret@reg.example/a"
            .parse::<Reference>()
            .unwrap_err()
            .to_string();
        assert!(
            !error.contains("secret") && error.contains("docker login"),
            "{error}"
        );
    }

    #[test]
    fn printing_parses_back() {
        for text in [
            "docker.io/library/debian:x",
            "a.example:1/b/c",
            "[::1]:5000/a:b",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
        assert!("a.example/b:c".parse::<Repository>().is_err());
    }
}
