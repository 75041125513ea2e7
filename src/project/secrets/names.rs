//! What a file's name says of what is in it.

use super::{
    SecretRule,
    hit::Hit,
    placeholders::{is_no_password, is_placeholder},
    value::{literal, value_after},
};

/// A kind of file whose passwords stand where only such files have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamedKind {
    /// Any other file.
    Other,
    /// The variables of an environment.
    Env,
    /// `.netrc`.
    Netrc,
    /// `.pgpass`.
    Pgpass,
    /// `.pypirc`.
    Pypirc,
    /// `.databrickscfg`.
    Databricks,
}

impl NamedKind {
    /// The kind of the file at a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let is_sample = ["example", "sample", "template", "dist", "tpl", "tmpl"]
            .iter()
            .any(|word| name.split(['.', '-', '_']).any(|part| part == *word));
        match name.as_str() {
            ".env" | ".envrc" => Self::Env,
            _ if name.starts_with(".env.") && !is_sample => Self::Env,
            ".netrc" | "_netrc" | "netrc" => Self::Netrc,
            ".pgpass" | "pgpass.conf" => Self::Pgpass,
            ".pypirc" => Self::Pypirc,
            ".databrickscfg" => Self::Databricks,
            _ => Self::Other,
        }
    }

    /// The number by which the cache keeps it.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// What is found in the first bytes of a file because of its name.
pub(super) fn hits(kind: NamedKind, text: &[u8]) -> Vec<Hit> {
    match kind {
        NamedKind::Other => Vec::new(),
        NamedKind::Env => env(text).into_iter().collect(),
        NamedKind::Netrc => named(text, SecretRule::Netrc, &[b"password"]),
        NamedKind::Pypirc => named(text, SecretRule::Pypirc, &[b"password"]),
        NamedKind::Databricks => named(
            text,
            SecretRule::DatabricksToken,
            &[b"password", b"client_secret"],
        ),
        NamedKind::Pgpass => pgpass(text),
    }
}

/// The first variable of the file; a file without one holds nothing.
fn env(text: &[u8]) -> Option<Hit> {
    let mut start = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let trimmed = line.trim_ascii();
        if !trimmed.is_empty() && !trimmed.starts_with(b"#") && trimmed.contains(&b'=') {
            let value = start + memchr::memchr(b'=', line)? + 1;
            return Some(Hit {
                rule: SecretRule::EnvFile,
                value: value..start + line.len(),
            });
        }
        start += line.len() + 1;
    }
    None
}

/// The values of these names that are written out.
fn named(text: &[u8], rule: SecretRule, names: &[&[u8]]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for name in names {
        for at in memchr::memmem::find_iter(text, name) {
            let value = value_after(text, at + name.len()).map(|start| literal(text, start));
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                continue;
            };
            if !is_placeholder(&text[value.clone()]) {
                hits.push(Hit { rule, value });
            }
        }
    }
    hits
}

/// `host:port:database:user:password`.
fn pgpass(text: &[u8]) -> Vec<Hit> {
    let (mut hits, mut start) = (Vec::new(), 0);
    for line in text.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line
            .trim_ascii_end()
            .splitn(5, |byte| *byte == b':')
            .collect();
        if let [.., password] = fields.as_slice()
            && fields.len() == 5
            && !line.starts_with(b"#")
            && !is_no_password(password)
        {
            let end = start + line.trim_ascii_end().len();
            hits.push(Hit {
                rule: SecretRule::Pgpass,
                value: end - password.len()..end,
            });
        }
        start += line.len() + 1;
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_files_follow_from_their_names() {
        for (path, kind) in [
            ("a/.env", NamedKind::Env),
            (".env.production", NamedKind::Env),
            (".env.example", NamedKind::Other),
            (".env.sample", NamedKind::Other),
            (".env.local.template", NamedKind::Other),
            ("my.env.py", NamedKind::Other),
            ("home/.netrc", NamedKind::Netrc),
            ("_netrc", NamedKind::Netrc),
            ("netrc.py", NamedKind::Other),
        ] {
            assert_eq!(NamedKind::of(path), kind, "{path}");
        }
    }
}
