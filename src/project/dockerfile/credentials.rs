//! Secrets that are written into a Dockerfile: `ENV` and `ARG` stay in the image for everybody who pulls it.

use super::{Dockerfile, unwrapped, words};
use crate::{code::Code, project::place::Defect};

/// The last words of names whose values are secrets.
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
    /// The secrets that stand in `ENV` and as defaults of `ARG`. No message has a value.
    pub(super) fn written_secrets(&self) -> Vec<Defect> {
        let mut defects = Vec::new();
        for instruction in &self.instructions {
            let (keyword, arguments) = unwrapped(instruction);
            if !matches!(&*keyword, "ENV" | "ARG") {
                continue;
            }
            let mut pairs = words::assignments(&arguments, self.escape);
            let is_old_form = pairs.first().is_some_and(|(_, value)| value.is_none());
            if keyword == "ENV" && is_old_form {
                let (name, value) = arguments
                    .split_once(|character: char| character.is_ascii_whitespace())
                    .unwrap_or((&arguments, ""));
                pairs = vec![(name.to_owned(), Some(value.trim().to_owned()))];
            }
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
                self.defect(Code::E112, instruction.span.start, message)
                    .hint(hint)
            }));
        }
        defects
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let last = name.rsplit('_').next().unwrap_or_default();
    let is_pair = |key: &str| name == *key || name.ends_with(&format!("_{key}"));
    SECRET.contains(&last) || KEYS.iter().any(|key| is_pair(key))
}

/// Whether a value can be a secret: it is written out, and no path, number, yes or no.
fn is_literal(value: &str) -> bool {
    let is_word = ["true", "false", "yes", "no", "none", "null", "on", "off"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word));
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    !is_word && !is_number && !value.starts_with('/') && !value.contains('$')
}
