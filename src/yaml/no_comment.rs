//! Where a comment behind a value would not be one, so that no mark can stand there.

use std::{ops::Range, path::Path};

/// Why no comment can stand behind a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoComment {
    /// JSON has none.
    Json,
    /// In Java's and Spark's properties, a `#` behind a value is a part of it.
    Properties,
    /// The line goes on behind a backslash, which would no longer be at its end.
    Continued,
    /// It is a part of a text in double quotes.
    Escaped,
}

/// A block scalar of several lines, with the key that it is the value of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) span: Range<usize>,
    pub(super) key: String,
}

impl NoComment {
    /// What is wrong with a mark there.
    pub(super) fn of_mark(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => (
                "JSON has no comments: this mark makes the text unreadable",
                "remove it, and tell the place of the image's kind by `[[places]]`, or keep the text as YAML",
            ),
            Self::Properties => (
                "in properties a `#` behind a value is a part of the value, and so is this mark",
                "remove it, and name the image outside of the text, as `spec.image` of a SparkApplication",
            ),
            Self::Continued => (
                "behind the backslash this mark ends the command",
                "give the value a line of its own that does not go on: `IMAGE=REFERENCE  # sparkpack: IMAGE`",
            ),
            Self::Escaped => (
                "in quotes a `#` is a part of the text, and so is this mark",
                "write the text as a block scalar (`|`), with the value on a line of its own: `IMAGE=REFERENCE  # sparkpack: IMAGE`",
            ),
        }
    }

    /// Another way than a mark for the reference `reference` of `image`.
    #[must_use]
    pub fn instead(self, image: &str, reference: &str) -> String {
        match self {
            Self::Json => "JSON has no comments for a mark: tell the place of the image's kind by `[[places]]`, keep the text as YAML, or fill it in from `sparkpack tags`".to_owned(),
            Self::Properties => "in properties a mark would be a part of the value: name the image outside of the text, as `spec.image` of a SparkApplication".to_owned(),
            Self::Continued => format!(
                "a mark would end the command there: write `IMAGE={reference}  # sparkpack: {image}` on a line before it, and use the variable"
            ),
            Self::Escaped => format!(
                "write the text as a block scalar (`|`), with a line `IMAGE={reference}  # sparkpack: {image}` of its own, or put `# sparkpack: ignore` behind the quotes"
            ),
        }
    }
}

/// Why no comment can stand on the line of the byte `offset`, outside of everything that says otherwise.
pub(super) fn no_comment(
    file: &Path,
    text: &str,
    blocks: &[Block],
    offset: usize,
) -> Option<NoComment> {
    let line = line_at(text, offset);
    let command = line.split(" #").next().unwrap_or_default();
    // The innermost block is the last that holds the byte.
    let block = blocks
        .iter()
        .rev()
        .find(|block| block.span.contains(&offset));
    if let Some(block) = block {
        let inner = text.get(block.span.clone()).unwrap_or_default();
        return of_text(&block.key, inner, command);
    }
    let name = file.file_name()?.to_str()?;
    let is_yaml = has_ending(name, &[".yml", ".yaml"]);
    if is_yaml {
        return None;
    }
    of_text(name, text, command)
}

fn of_text(name: &str, text: &str, command: &str) -> Option<NoComment> {
    let is_json = looks_like_json(Path::new(name), text);
    let is_properties =
        has_ending(name, &[".properties", "spark-defaults.conf"]) || is_properties(text);
    let is_continued = command.trim_end().ends_with('\\');
    match (is_json, is_properties, is_continued) {
        (true, ..) => Some(NoComment::Json),
        (_, true, _) => Some(NoComment::Properties),
        (_, _, true) => Some(NoComment::Continued),
        _ => None,
    }
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Whether a text is meant as JSON, even a broken one: by its name, or since it begins like that and not like a template.
fn looks_like_json(name: &Path, text: &str) -> bool {
    if name
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return true;
    }
    let inside = text.trim_start().strip_prefix(['{', '[']);
    inside.is_some_and(|inside| {
        !inside.starts_with(['{', '%', '['])
            && inside.trim_start().starts_with(['"', '{', '[', '}', ']'])
    })
}

/// Whether every line of a text sets a property, and one has a name with dots: `spark.executor.cores=2`.
fn is_properties(text: &str) -> bool {
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let mut has_dots = false;
    let are_all = lines.all(|line| {
        let end = line.find(|end: char| end == '=' || end == ':' || end.is_whitespace());
        let (name, value) = line.split_at(end.unwrap_or(line.len()));
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        has_dots |= name.contains('.');
        // `a.b: c` may be YAML, which has comments.
        is_name && !value.is_empty() && !value.starts_with(": ")
    });
    are_all && has_dots
}

fn line_at(text: &str, offset: usize) -> &str {
    let start = text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let length = text[offset..].find(['\n', '\r']);
    &text[start..length.map_or(text.len(), |length| offset + length)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_texts_have_no_comments_behind_values() {
        let properties = "# c\nspark.a=b\nspark.kubernetes.container.image X\n";
        for (file, text, expected) in [
            ("a.yaml", "a: X\n", None),
            ("a.yaml", "a: {b: X}\n", None),
            ("a.json", "{\"a\": \"X\"}\n", Some(NoComment::Json)),
            ("a", "[\"X\"]\n", Some(NoComment::Json)),
            ("spark-defaults.conf", "a X\n", Some(NoComment::Properties)),
            ("a.txt", properties, Some(NoComment::Properties)),
            ("a.conf", "{\"a\": 1}\nX", Some(NoComment::Json)),
            ("a.tpl", "{{ a }}\n{{- b }}\nX\n", None),
            ("a.toml", "[a]\na = \"X\"\n", None),
            ("a.sh", "run X \\\n  b\n", Some(NoComment::Continued)),
            ("a.sh", "run X \\ # c\n  b\n", Some(NoComment::Continued)),
            ("a.sh", "run X\n", None),
            ("a.py", "run(X)\n", None),
        ] {
            let at = text.find('X').unwrap();
            assert_eq!(
                no_comment(Path::new(file), text, &[], at),
                expected,
                "{text}"
            );
            let block = Block {
                span: 0..text.len(),
                key: file.to_owned(),
            };
            let within = no_comment(Path::new("f.yaml"), text, &[block], at);
            assert_eq!(within, expected, "{text}");
        }
    }
}
