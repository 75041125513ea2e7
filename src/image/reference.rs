use std::{fmt, str::FromStr};

use super::Digest;

/// A registry and a repository in it, without tag or digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// The host, with the port if there is one; `docker.io` if no host was written. Empty in a layout, whose names have
    /// none.
    pub registry: String,
    /// The path in the registry: `library/NAME` for a short name of Docker Hub.
    pub path: String,
}

/// An image reference in the grammar of the distribution project, with short names of Docker Hub expanded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The repository.
    pub repository: Repository,
    /// The tag, at most 128 characters.
    pub tag: Option<String>,
    /// The digest of the manifest or index.
    pub digest: Option<Digest>,
}

/// The error that a text is not a reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is not an image reference: {reason}", beginning(text))]
pub struct ReferenceError {
    /// The text, without a password.
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

impl Reference {
    /// The reference of a tag that belongs to this one's: `TAG-SUFFIX`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let tag = self.tag.as_deref().unwrap_or_default();
        self.repository.with_tag(&format!("{tag}-{suffix}"))
    }
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

impl Reference {
    /// The reference of an image in a layout: a name and a tag, without a host.
    ///
    /// # Errors
    /// It is no reference, or it has a host.
    pub fn in_layout(text: &str) -> Result<Self, ReferenceError> {
        let mut reference: Self = text.parse()?;
        let repository = &mut reference.repository;
        if repository.registry != "docker.io" || text.starts_with("docker.io/") {
            return Err(wrong(text, "the name of an image in a layout has no host"));
        }
        repository.registry.clear();
        if let Some(path) = repository.path.strip_prefix("library/")
            && !text.starts_with("library/")
        {
            repository.path = path.to_owned();
        }
        Ok(reference)
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
    if name.len() == 64
        && name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(wrong(text, "64 hex digits are an image ID, not a name"));
    }
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

/// Whether the first part is a host and not a path. As in the distribution grammar, a host has a dot, a colon or upper
/// case, or is `localhost`.
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
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port_is_valid = port.is_none_or(|port| digits(port) && port.parse::<u16>().is_ok());
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
        // The grammar allows neither zones nor an IPv4 address at the end.
        Some(address) => !address.contains('.') && address.parse::<std::net::Ipv6Addr>().is_ok(),
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

/// The text for a message, cut if it is far longer than any reference.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn wrong(text: &str, reason: &str) -> ReferenceError {
    ReferenceError {
        text: text.to_owned(),
        reason: reason.to_owned(),
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registry.is_empty() {
            return formatter.write_str(&self.path);
        }
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
    use proptest::prelude::*;

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

    /// A part of the distribution grammar, as a matcher that tries every way to match.
    enum Grammar {
        One(fn(u8) -> bool),
        Text(&'static str),
        Then(Vec<Grammar>),
        Either(Vec<Grammar>),
        Many(Box<Grammar>),
    }

    use Grammar::{Either, Many, One, Text, Then};

    impl Grammar {
        /// The positions at which a match can end that begins at one of `starts`; bit n stands for position n.
        fn ends(&self, text: &[u8], starts: u128) -> u128 {
            match self {
                One(is_wanted) => text
                    .iter()
                    .enumerate()
                    .filter(|(at, byte)| starts >> at & 1 == 1 && is_wanted(**byte))
                    .fold(0, |ends, (at, _)| ends | 1 << (at + 1)),
                Text(wanted) => (0..=text.len())
                    .filter(|at| {
                        starts >> at & 1 == 1 && text[*at..].starts_with(wanted.as_bytes())
                    })
                    .fold(0, |ends, at| ends | 1 << (at + wanted.len())),
                Then(parts) => parts
                    .iter()
                    .fold(starts, |starts, part| part.ends(text, starts)),
                Either(parts) => parts
                    .iter()
                    .fold(0, |ends, part| ends | part.ends(text, starts)),
                Many(part) => {
                    let mut ends = starts;
                    loop {
                        let more = ends | part.ends(text, ends);
                        if more == ends {
                            return ends;
                        }
                        ends = more;
                    }
                }
            }
        }

        fn matches(&self, text: &str) -> bool {
            self.ends(text.as_bytes(), 1) >> text.len() & 1 == 1
        }
    }

    fn at_least_one(part: fn() -> Grammar) -> Grammar {
        Then(vec![part(), Many(Box::new(part()))])
    }

    fn perhaps(part: Grammar) -> Grammar {
        Either(vec![Text(""), part])
    }

    fn separated(part: fn() -> Grammar, separator: Grammar) -> Grammar {
        Then(vec![part(), Many(Box::new(Then(vec![separator, part()])))])
    }

    /// `DOMAIN/PATH[:TAG][@DIGEST]` with `D` for a digest.
    fn whole_reference() -> Grammar {
        fn hyphen() -> Grammar {
            Text("-")
        }
        fn lower() -> Grammar {
            One(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        }
        fn letters() -> Grammar {
            at_least_one(lower)
        }
        fn component() -> Grammar {
            let separators = vec![Text("."), Text("_"), Text("__"), at_least_one(hyphen)];
            separated(letters, Either(separators))
        }
        fn digit() -> Grammar {
            One(|byte| byte.is_ascii_digit())
        }
        fn letter() -> Grammar {
            One(|byte| byte.is_ascii_alphanumeric())
        }
        fn label() -> Grammar {
            let inner = One(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            Either(vec![
                letter(),
                Then(vec![letter(), Many(Box::new(inner)), letter()]),
            ])
        }
        fn in_address() -> Grammar {
            One(|byte| byte.is_ascii_hexdigit() || byte == b':')
        }
        let address = Then(vec![Text("["), at_least_one(in_address), Text("]")]);
        let host = Either(vec![separated(label, Text(".")), address]);
        let port = perhaps(Then(vec![Text(":"), at_least_one(digit)]));
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let later = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let tag = Then(vec![Text(":"), One(word), Many(Box::new(One(later)))]);
        Then(vec![
            host,
            port,
            Text("/"),
            separated(component, Text("/")),
            perhaps(tag),
            perhaps(Text("@D")),
        ])
    }

    /// The registry and the rest of a text, if the grammar accepts it as a reference.
    fn meaning(grammar: &Grammar, text: &str) -> Option<(String, String)> {
        let (domain, rest) = match text.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.to_lowercase() != first =>
            {
                (first, rest)
            }
            _ => ("docker.io", text),
        };
        let domain = if domain == "index.docker.io" {
            "docker.io"
        } else {
            domain
        };
        let library = if domain == "docker.io" && !rest.contains('/') {
            "library/"
        } else {
            ""
        };
        let rest = format!("{library}{rest}");
        // Stricter than the grammar: the port must be in range, and the address must be valid.
        let port = domain
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'));
        let port_exists = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
        let address = domain
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'));
        let exists = |address: &str| address.parse::<std::net::Ipv6Addr>().is_ok();
        let address_exists = address.is_none_or(|(address, _)| exists(address));
        (grammar.matches(&format!("{domain}/{rest}")) && port_exists && address_exists)
            .then(|| (domain.to_owned(), rest))
    }

    const PIECES: [&str; 24] = [
        "a",
        "b9",
        "0",
        "A",
        "_",
        "__",
        "___",
        "-",
        "--",
        ".",
        "/",
        "/",
        ":",
        ":5000",
        ":70000",
        ":t",
        "@D",
        "localhost",
        "docker.io/",
        "index.docker.io/",
        "r.example/",
        "[::1]",
        "[1::2::3]",
        "é",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// A text is a reference exactly if the grammar accepts it, and has the parts that the grammar finds.
        #[test]
        fn texts_are_read_as_the_grammar_says(pieces in proptest::collection::vec(0..24_usize, 0..7)) {
            static GRAMMAR: std::sync::LazyLock<Grammar> = std::sync::LazyLock::new(whole_reference);
            let text: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
            let digest = Digest::of(b"x").to_string();
            let found = text.replace('D', &digest).parse::<Reference>().ok();
            let found = found.map(|reference| {
                let registry = reference.repository.registry.clone();
                let rest = reference.to_string()[registry.len() + 1..].replace(&digest, "D");
                (registry, rest)
            });
            prop_assert_eq!(found, meaning(&GRAMMAR, &text), "{}", text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A reference that is made of the grammar's parts is parsed into these parts.
        #[test]
        fn parts_come_back(
            registry in "(localhost|[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?[.][a-z]{1,3}|\\[[0-9a-f]{1,4}::[0-9a-f]{1,4}\\])(:[1-9][0-9]{0,3})?",
            path in "[a-z0-9]{1,4}(([._]|__|-{1,3})[a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,4}(([._]|__|-{1,3})[a-z0-9]{1,3}){0,2}){0,3}",
            tag in proptest::option::of("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"),
            with_digest in proptest::bool::ANY,
        ) {
            let reference = Reference {
                repository: Repository { registry, path },
                tag,
                digest: with_digest.then(|| Digest::of(b"x")),
            };
            prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        }
    }
}
