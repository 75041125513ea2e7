//! The value of `RUN --mount`: fields of a line of CSV.

/// A secret or an SSH agent that a step mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretMount {
    /// Whether it is an SSH agent (`type=ssh`).
    pub is_ssh: bool,
    /// The ID by which the builder asks for it.
    pub id: String,
    /// Whether the step fails without it.
    pub required: bool,
    /// The instruction's line.
    pub line: usize,
}

/// What a step mounts.
#[derive(Debug, Default)]
pub(super) struct Mount {
    /// Its type in lower case; `None` if a variable chooses it.
    pub(super) kind: Option<String>,
    /// As it is written.
    pub(super) source: String,
    pub(super) from: Option<String>,
    id: String,
    target: String,
    required: bool,
}

impl Mount {
    /// Reads a flag's value without its quotes; `expand` gives a value after expansion, where it is known.
    pub(super) fn parse(text: &str, expand: &dyn Fn(&str) -> Option<String>) -> Self {
        let known = |value: &str| expand(value).unwrap_or_else(|| value.to_owned());
        let mut mount = Self {
            kind: Some("bind".to_owned()),
            ..Self::default()
        };
        for field in fields(text) {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (field.as_str(), None),
            };
            let given = value.unwrap_or_default();
            match key.to_ascii_lowercase().as_str() {
                "type" => mount.kind = expand(given).map(|kind| kind.to_ascii_lowercase()),
                "id" => mount.id = known(given),
                "target" | "dst" | "destination" => mount.target = known(given),
                "required" => {
                    let is_true =
                        |value: &str| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True");
                    mount.required = value.is_none_or(|value| is_true(&known(value)));
                }
                "source" | "src" => given.clone_into(&mut mount.source),
                "from" => mount.from = Some(given.to_owned()),
                _ => {}
            }
        }
        mount
    }

    /// Whether it may be of one of these types.
    pub(super) fn may_be(&self, kinds: &[&str]) -> bool {
        let kind = self.kind.as_deref();
        kind.is_none_or(|kind| kinds.contains(&kind))
    }

    /// The secret or the SSH agent that it is.
    pub(super) fn secret(&self, line: usize) -> SecretMount {
        let is_ssh = self.kind.as_deref() == Some("ssh");
        let default = if is_ssh {
            "default"
        } else {
            file_name(&self.source, &self.target)
        };
        let id = Some(self.id.as_str()).filter(|id| !id.is_empty());
        SecretMount {
            is_ssh,
            id: id.unwrap_or(default).to_owned(),
            required: self.required,
            line,
        }
    }
}

/// The ID of a secret that names none: the file's name of its source, or else of its target.
fn file_name<'a>(source: &'a str, target: &'a str) -> &'a str {
    let path = if source.is_empty() { target } else { source };
    path.rsplit('/').next().unwrap_or(path)
}

/// The fields of a line of CSV. In a quoted one, `""` is a quote.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut();
        match (character, field) {
            ('"', Some(field)) if is_quoted && characters.next_if_eq(&'"').is_some() => {
                field.push('"');
            }
            ('"', Some(field)) if is_quoted || field.is_empty() => is_quoted = !is_quoted,
            (',', _) if !is_quoted => fields.push(String::new()),
            (character, Some(field)) => field.push(character),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<(bool, String, bool)> {
        let mount = Mount::parse(text, &|value| match value {
            "$KIND" => Some("Secret".to_owned()),
            "$ID" => Some("x".to_owned()),
            _ if value.contains('$') => None,
            _ => Some(value.to_owned()),
        });
        let found = mount.may_be(&["secret", "ssh"]).then(|| mount.secret(1))?;
        Some((found.is_ssh, found.id, found.required))
    }

    #[test]
    fn a_secret_is_one_however_it_is_written() {
        let wanted = |is_ssh, id: &str, required| Some((is_ssh, id.to_owned(), required));
        for text in [
            "type=secret,id=x,required",
            "type=Secret,id=x,required=true",
            "TYPE=SECRET,ID=x,Required=1",
            "\"type=secret\",\"id=x\",required",
            "required=T,type=$KIND,id=$ID",
            "type=secret,src=/a/x,required=True",
            "type=secret,target=/a/x,required",
        ] {
            assert_eq!(secret(text), wanted(false, "x", true), "{text}");
        }
        assert_eq!(
            secret("type=secret,id=x,required=0"),
            wanted(false, "x", false)
        );
        assert_eq!(
            secret("type=secret,\"id=a,\"\"b\""),
            wanted(false, "a,\"b", false)
        );
        assert_eq!(secret("type=SSH"), wanted(true, "default", false));
        assert_eq!(secret("type=$NONE,id=x"), wanted(false, "x", false));
        for text in ["target=/x", "type=Bind,target=/x", "type=cache,id=secret"] {
            assert_eq!(secret(text), None, "{text}");
        }
    }
}
