//! Parses one logical line of a requirements file; reads no file.

use super::{
    Requirement, direct,
    pieces::{Wrong, extras, marker, masked, name_length, refuse_credentials, unpinnable},
    variables::variables,
};
use crate::{
    code::Code,
    image::Digest,
    project::{place::Place, wheel::normalise},
};

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing: empty, a comment, or an option that changes nothing here.
    Nothing,
    /// A package; its place is filled in by the caller.
    Package(Box<Requirement>),
    /// `-r`: the included file, and the offset of its name in the line.
    Include(String, usize),
    /// `-c`.
    Constrain(String, usize),
    /// `--index-url`, and the offset of the URL in the line.
    Index(String, usize),
}

/// A logical line: the lines of a file joined at continuations, with the places of the pieces.
pub(super) struct Logical {
    pub(super) text: String,
    /// For each piece: its offset in `text`, and its line number from 1.
    pieces: Vec<(usize, usize)>,
}

impl Logical {
    /// All logical lines of `text`, as pip joins them: a comment ends a continuation.
    pub(super) fn of(text: &str) -> Vec<Self> {
        let mut lines = Vec::new();
        let mut current = Self {
            text: String::new(),
            pieces: Vec::new(),
        };
        for (index, raw) in text.split('\n').enumerate() {
            let raw = raw.strip_suffix('\r').unwrap_or(raw);
            current.pieces.push((current.text.len(), index + 1));
            let comment = raw.trim_start().starts_with('#');
            match raw.strip_suffix('\\') {
                Some(continued) if !comment => current.text.push_str(continued),
                _ => {
                    current.text.push_str(if comment { "" } else { raw });
                    let next = Self {
                        text: String::new(),
                        pieces: Vec::new(),
                    };
                    lines.push(std::mem::replace(&mut current, next));
                }
            }
        }
        if !current.pieces.is_empty() {
            lines.push(current);
        }
        lines
    }

    /// The place of the byte at `offset` of the text.
    pub(super) fn place(&self, file: &std::path::Path, offset: usize) -> Place {
        let piece = self.pieces.iter().rev().find(|(start, _)| *start <= offset);
        let (start, line) = piece.copied().unwrap_or((0, 1));
        let before = self.text.get(start..offset).unwrap_or_default();
        let column = before.trim_start_matches('\u{feff}').chars().count() + 1;
        Place {
            file: file.to_owned(),
            line,
            column,
        }
    }
}

/// Parses one logical line.
pub(super) fn line(text: &str) -> Result<Line, Wrong> {
    let text = without_comment(text).trim_end();
    let start = text.len() - text.trim_start().len();
    match &text[start..] {
        "" => Ok(Line::Nothing),
        option if option.starts_with('-') => read_option(text, start),
        _ => package(text, start).map(|found| Line::Package(Box::new(found))),
    }
}

/// The text up to a `#` that begins the line or follows white space.
fn without_comment(text: &str) -> &str {
    let mut before = ' ';
    for (index, character) in text.char_indices() {
        if character == '#' && before.is_whitespace() {
            return &text[..index];
        }
        before = character;
    }
    text
}

fn read_option(text: &str, start: usize) -> Result<Line, Wrong> {
    let body = &text[start..];
    let long = body.starts_with("--");
    let end = match body.find(|character: char| character == '=' || character.is_whitespace()) {
        Some(end) if long || end <= 2 => end,
        None if long => body.len(),
        _ => body.len().min(2),
    };
    let Some((name, rest)) = body.split_at_checked(end) else {
        return Err(Wrong::new(
            Code::E047,
            start,
            format!("`{body}` is no option"),
        ));
    };
    let value =
        rest.trim_start_matches(|character: char| character == '=' || character.is_whitespace());
    let offset = text.len() - value.len();
    let value = value.trim_matches(['"', '\'']).to_owned();
    match name {
        "--require-hashes" | "--prefer-binary" | "--only-binary" => Ok(Line::Nothing),
        "-r" | "--requirement" | "-c" | "--constraint" | "-i" | "--index-url" | "--pypi-url"
            if value.is_empty() =>
        {
            Err(Wrong::new(
                Code::E047,
                start,
                format!("`{name}` names nothing"),
            ))
        }
        "-r" | "--requirement" | "-c" | "--constraint" => {
            refuse_variables(text, start)?;
            Ok(match name {
                "-r" | "--requirement" => Line::Include(value, offset),
                _ => Line::Constrain(value, offset),
            })
        }
        "-i" | "--index-url" | "--pypi-url" => index(value, offset),
        "-e" | "--editable" => Err(unpinnable(&format!("{name} {}", masked(&value)), start)),
        _ => Err(unhonoured(name, start)),
    }
}

fn index(url: String, offset: usize) -> Result<Line, Wrong> {
    refuse_credentials(&url, offset)?;
    Ok(Line::Index(url, offset))
}

/// Refuses a variable where its value would decide what is locked.
fn refuse_variables(text: &str, start: usize) -> Result<(), Wrong> {
    let Some(name) = variables(&text[start..]).next() else {
        return Ok(());
    };
    let offset = text.find(&format!("${{{name}}}")).unwrap_or(start);
    let message = format!("`${{{name}}}` would make what is locked depend on who runs it");
    Err(Wrong::new(Code::E167, offset, message)
        .hint("write what it stands for: only URLs may have variables"))
}

fn unhonoured(name: &str, offset: usize) -> Wrong {
    let wrong = Wrong::new(
        Code::E043,
        offset,
        format!("the option `{name}` cannot be honoured by a lock"),
    );
    match name {
        "--extra-index-url" => wrong.hint(
            "with two indexes whoever owns the public one can replace a package: name one index by `[mirrors] python`, \
             or set the variable PIP_EXTRA_INDEX_URL if you must",
        ),
        "-f" | "--find-links" => wrong.hint("set the variable PIP_FIND_LINKS instead"),
        "--no-index" => wrong.hint("set the variable PIP_NO_INDEX instead"),
        "--trusted-host" => wrong.hint("set the variable PIP_TRUSTED_HOST, or better `ca` in sparkpack.toml"),
        "--pre" => wrong.hint("pin the pre-release that you want: `name==2.0rc1`"),
        "--no-binary" => wrong.hint("build the wheel once, publish it to an index, and remove the option"),
        _ => wrong.hint("remove it"),
    }
}

pub(super) fn package(text: &str, start: usize) -> Result<Requirement, Wrong> {
    let option = text[start..]
        .find(" --")
        .map_or(text.len(), |found| start + found);
    let body = text[..option].trim_end();
    if is_location(&body[start..]) {
        let mut requirement = direct::parse(body, start)?;
        requirement.hashes.extend(hashes(text, option)?);
        return Ok(requirement);
    }
    refuse_variables(text, start)?;
    let semicolon = body.find(';').unwrap_or(body.len());
    let (head, tail) = body.split_at(semicolon);
    let name_end = start + name_length(&head[start..]);
    let name = &head[start..name_end];
    if name.is_empty() || !name.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        return Err(Wrong::new(
            Code::E047,
            start,
            format!(
                "`{}` does not begin with the name of a package",
                &head[start..]
            ),
        ));
    }
    let (extras, after) = extras(head, name_end)?;
    let specifiers = specifiers(head, after)?;
    let marker = match tail.strip_prefix(';') {
        Some(condition) => Some(marker(condition, semicolon + 1)?),
        None => None,
    };
    let requirement = Requirement {
        name: normalise(name),
        extras,
        specifiers,
        marker,
        hashes: hashes(text, option)?,
        index: None,
        direct: None,
        place: Place::of_line("", 1),
    };
    if !requirement.hashes.is_empty() && requirement.pinned().is_none() {
        return Err(Wrong::new(
            Code::E048,
            start,
            format!("`{name}` has a hash but no version"),
        )
        .hint(format!(
            "pin it: `{name}==…`, or take the hash away: the lock holds it"
        )));
    }
    Ok(requirement)
}

/// Whether a requirement is a URL, a path or a file instead of a package name.
pub(super) fn is_location(body: &str) -> bool {
    let before_marker = body.split(';').next().unwrap_or_default().trim();
    let file_ends = [".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2"];
    body.contains("://")
        || before_marker.contains('@')
        || before_marker.starts_with(['.', '/', '~'])
        || before_marker.starts_with("file:")
        || before_marker.starts_with("git+")
        || file_ends.iter().any(|end| before_marker.ends_with(end))
        || before_marker
            .split(['=', '<', '>', '!', '~'])
            .next()
            .unwrap_or_default()
            .contains(['/', '\\'])
}

fn specifiers(head: &str, from: usize) -> Result<Vec<String>, Wrong> {
    let whole = head[from..].trim();
    let inner = whole
        .strip_prefix('(')
        .and_then(|open| open.strip_suffix(')'))
        .unwrap_or(whole);
    let offset = head.len() - head[from..].trim_start().len();
    let mut specifiers = Vec::new();
    for part in inner
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let operator = part.len() - part.trim_start_matches(['=', '<', '>', '!', '~']).len();
        let (operator, version) = (&part[..operator], part[operator..].trim());
        let of_version = |byte: u8| byte.is_ascii_alphanumeric() || b"._*+!-".contains(&byte);
        if operator == "=" {
            return Err(Wrong::new(
                Code::E047,
                offset,
                format!("`{part}`: `=` compares nothing"),
            )
            .hint(format!("write `=={version}`")));
        }
        let known = ["==", "===", "~=", "!=", "<=", ">=", "<", ">"].contains(&operator);
        if !known || version.is_empty() || !version.bytes().all(of_version) {
            return Err(Wrong::new(
                Code::E047,
                offset,
                format!("`{part}` is no condition on a version"),
            )
            .hint("write `name==1.0` or `name>=1.0,<2`"));
        }
        specifiers.push(format!("{operator}{version}"));
    }
    specifiers.sort();
    specifiers.dedup();
    Ok(specifiers)
}

fn hashes(text: &str, from: usize) -> Result<Vec<Digest>, Wrong> {
    let mut hashes = Vec::new();
    let mut offset = from;
    while let Some((word, at)) = next_word(text, offset) {
        offset = at + word.len();
        let value = match word.split_once('=') {
            Some(("--hash", value)) => value,
            None if word == "--hash" => {
                let (value, at) = next_word(text, offset).unwrap_or_default();
                offset = at + value.len();
                value
            }
            _ => return Err(unhonoured(word.split('=').next().unwrap_or_default(), at)),
        };
        let digest = value
            .to_ascii_lowercase()
            .parse::<Digest>()
            .map_err(|_| wrong_hash(value, at))?;
        hashes.push(digest);
    }
    Ok(hashes)
}

/// The next word at or after byte `from`, and its offset.
fn next_word(text: &str, from: usize) -> Option<(&str, usize)> {
    let rest = text.get(from..)?.trim_start();
    let word = rest.split_whitespace().next()?;
    Some((word, text.len() - rest.len()))
}

fn wrong_hash(value: &str, offset: usize) -> Wrong {
    match value.split_once(':') {
        Some((algorithm, _)) if algorithm != "sha256" => Wrong::new(
            Code::E048,
            offset,
            format!("a hash of `{algorithm}` is not taken"),
        )
        .hint("write the SHA-256: `--hash=sha256:…`, or leave it out: the lock holds it"),
        _ => Wrong::new(
            Code::E048,
            offset,
            format!("`{value}` is no hash: `sha256:` and 64 hex digits are wanted"),
        ),
    }
}
