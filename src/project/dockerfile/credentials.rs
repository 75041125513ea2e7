//! Secrets that are written into a Dockerfile: every instruction stays in the image for everybody who pulls it.

use super::{Dockerfile, unwrapped, words};
use crate::{
    code::Code,
    project::{
        place::Defect,
        secrets::{SecretRule, allow_line},
    },
};

/// The ends of the last words of names whose values are secrets: `DB_PASSWORD`, `PGPASSWORD`.
const SECRET: [&str; 6] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "APIKEY",
];

/// Pairs of last words that only together tell a secret: `API_KEY`, but not `SORT_KEY`.
const KEYS: [&str; 4] = ["API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "SECRET_KEY"];

impl Dockerfile {
    /// The secrets that stand in `ENV`, as defaults of `ARG`, and in URLs anywhere, each with the rule that finds it. No
    /// message has a value.
    #[must_use]
    pub fn written_secrets(&self) -> Vec<(SecretRule, Defect)> {
        let mut defects = Vec::new();
        for instruction in &self.instructions {
            let (keyword, arguments) = unwrapped(instruction);
            if let Some(host) = host_behind_password(&arguments) {
                let message = format!(
                    "`{}` writes the password of a URL of `{host}` into the image",
                    instruction.keyword
                );
                let hint = "take it out of the URL and mount a file for it: `RUN --mount=type=secret,id=netrc …`, where it is `/run/secrets/netrc`, and `secrets.netrc = { file = \"~/.netrc\" }` for the image; then change it, for it was written down";
                let start = instruction.span.start;
                let hint = self.or_allow(hint, SecretRule::UrlPassword);
                let defect = self.defect(Code::E112, start, message).hint(hint);
                defects.push((SecretRule::UrlPassword, defect));
                continue;
            }
            let pairs = match &*keyword {
                "ENV" => words::environment(&arguments, self.escape),
                "ARG" => words::assignments(&arguments, self.escape),
                _ => continue,
            };
            let secrets = pairs.into_iter().filter(|(name, value)| {
                let value = value.as_deref().unwrap_or_default();
                is_secret(name) && is_literal(&words::unquoted(value, self.escape))
            });
            defects.extend(secrets.map(|(name, _)| {
                let message = format!("`{keyword} {name}=…` writes a secret into the image");
                let hint = format!(
                    "mount it: `RUN --mount=type=secret,id={0} …` and `secrets.{0} = {{ env = \"{name}\" }}` for the image; then change it, for it was written down",
                    name.to_ascii_lowercase()
                );
                let defect = self.defect(Code::E112, instruction.span.start, message);
                let hint = self.or_allow(&hint, SecretRule::BuildVariable);
                (SecretRule::BuildVariable, defect.hint(hint))
            }));
        }
        defects
    }

    fn or_allow(&self, hint: &str, rule: SecretRule) -> String {
        let allow = allow_line(&self.file.to_string_lossy(), rule);
        format!("{hint}; if it is none, {allow}")
    }

    /// Whether the name of a build argument that the Dockerfile takes says that its value is a secret.
    #[must_use]
    pub fn is_secret_argument(&self, name: &str, value: &str) -> bool {
        self.takes(name) && is_secret(name) && is_literal(value)
    }

    /// The text, in which what is not UTF-8 was replaced.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let last = name.rsplit('_').next().unwrap_or_default();
    let is_pair = |key: &str| name == *key || name.ends_with(&format!("_{key}"));
    SECRET.iter().any(|end| last.ends_with(end)) || KEYS.iter().any(|key| is_pair(key))
}

/// The host of the first URL that holds a password which is written out.
fn host_behind_password(text: &str) -> Option<&str> {
    text.match_indices("://").find_map(|(start, mark)| {
        let before = text[..start].to_ascii_lowercase();
        if !before.ends_with("http") && !before.ends_with("https") {
            return None;
        }
        let rest = &text[start + mark.len()..];
        let end = rest.find(|character: char| {
            character.is_ascii_whitespace() || "/\"'`,;)}<>?#".contains(character)
        });
        let authority = &rest[..end.unwrap_or(rest.len())];
        let (user, host) = authority.rsplit_once('@')?;
        // A bracket is part of an address, or stands around the URL.
        let host = match host.find(']') {
            Some(end) if host.starts_with('[') => &host[..=end],
            Some(end) => &host[..end],
            None => host,
        };
        let (_, password) = user.split_once(':')?;
        let is_written = !password.is_empty() && !password.contains(['$', '*', '{', '%', ']']);
        (is_written && !host.is_empty()).then_some(host)
    })
}

/// Whether a value can be a secret: it is written out, and no path, number, yes or no.
fn is_literal(value: &str) -> bool {
    let is_word = ["true", "false", "yes", "no", "none", "null", "on", "off"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word));
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    !is_word && !is_number && !value.starts_with('/') && !value.contains('$')
}
