//! Direct references: a wheel or a source distribution by its path, or by its URL with a hash, or a commit, in the place of
//! a version on an index.

use std::path::{Component, Path, PathBuf};

use super::{
    Requirement,
    file_place::{FilePlace, WrongPlace, is_wheel},
    from_source::{
        git, is_of_version_control, is_source_distribution, name_of_source, nameless, of_source,
    },
    load::reason,
    masked,
    pieces::{Wrong, decoded, extras, marker, name_length, refuse_credentials, unpinnable},
};
use crate::{
    code::Code,
    image::Digest,
    project::{
        place::Place,
        wheel::{WheelName, normalise},
    },
};

/// Parses `name @ LOCATION ; marker`, or a location alone, which begins at `start`.
pub(super) fn parse(text: &str, start: usize) -> Result<Requirement, Wrong> {
    let body = &text[start..];
    let (name, found_extras, at) = named(text, start)?;
    let rest = &text[at..];
    let end = [" ;", "\t;"]
        .iter()
        .filter_map(|sign| rest.find(sign))
        .min();
    let end = end.or_else(|| (!rest.contains("://")).then(|| rest.find(';')).flatten());
    let (location, tail) = rest.split_at(end.unwrap_or(rest.len()));
    let location = location.trim();
    let condition = match tail.trim_start().strip_prefix(';') {
        Some(condition) => Some(marker(condition, text.len() - condition.len())?),
        None => None,
    };
    if is_of_version_control(location) {
        let (found, place) = git(location, at)?;
        let Some(name) = name.or(found) else {
            return Err(nameless(&format!("git+{}", place.repository), at));
        };
        return Ok(of_source(
            name,
            found_extras,
            condition,
            FilePlace::Git(place),
            Vec::new(),
        ));
    }
    let (place, hashes) = place_of(location, at)?;
    let file = place.file_name();
    if is_source_distribution(&file) {
        let Some(name) = name.or_else(|| name_of_source(&file)) else {
            return Err(nameless(location, at));
        };
        return Ok(of_source(name, found_extras, condition, place, hashes));
    }
    let Ok(wheel) = file.parse::<WheelName>() else {
        return Err(no_wheel(body, &file, start));
    };
    if name.as_ref().is_some_and(|name| *name != wheel.name) {
        let message = format!("`{}` is no wheel of `{}`", file, name.unwrap_or_default());
        return Err(Wrong::new(Code::E169, at, message).hint("correct the name or the file"));
    }
    Ok(Requirement {
        name: wheel.name,
        extras: found_extras,
        specifiers: vec![format!("=={}", wheel.version)],
        marker: condition,
        hashes,
        index: None,
        direct: Some(place),
        place: Place::of_line("", 1),
    })
}

/// The name and the extras before an `@`, and the offset behind it; none for a location alone.
fn named(text: &str, start: usize) -> Result<(Option<String>, Vec<String>, usize), Wrong> {
    let end = start + name_length(&text[start..]);
    let name = &text[start..end];
    let has_extras = text[end..].trim_start().starts_with('[');
    if name.is_empty() || !(has_extras || text[end..].trim_start().starts_with('@')) {
        return Ok((None, Vec::new(), start));
    }
    let (found, after) = extras(text, end)?;
    match text[after..].trim_start().strip_prefix('@') {
        Some(rest) => Ok((
            Some(normalise(name)),
            found,
            text.len() - rest.trim_start().len(),
        )),
        None => Ok((None, Vec::new(), start)),
    }
}

/// The place and the hashes of a location.
fn place_of(location: &str, offset: usize) -> Result<(FilePlace, Vec<Digest>), Wrong> {
    let (before, fragment) = location.split_once('#').unwrap_or((location, ""));
    let mut hashes = Vec::new();
    for part in fragment.split('&') {
        match part.split_once('=') {
            Some(("sha256", hex)) => {
                let text = format!("sha256:{}", hex.to_ascii_lowercase());
                let wrong = || {
                    Wrong::new(
                        Code::E048,
                        offset,
                        "the URL's `sha256` has no 64 hex digits",
                    )
                };
                hashes.push(text.parse().map_err(|_| wrong())?);
            }
            Some((algorithm @ ("md5" | "sha1" | "sha224" | "sha384" | "sha512"), _)) => {
                let message = format!("a hash of `{algorithm}` is not taken");
                let wrong = Wrong::new(Code::E048, offset, message);
                return Err(wrong.hint("write the SHA-256 of the file: `#sha256=…`"));
            }
            _ => {}
        }
    }
    if let Some(rest) = before.strip_prefix("file:") {
        let path = rest
            .strip_prefix("//localhost")
            .or(rest.strip_prefix("//"))
            .unwrap_or(rest);
        return Ok((FilePlace::File(PathBuf::from(decoded(path))), hashes));
    }
    if before.contains("://") {
        if !before.starts_with("https://") && !before.starts_with("http://") {
            return Err(unpinnable(&masked(location), offset));
        }
        refuse_credentials(before, offset)?;
        return Ok((FilePlace::Url(before.to_owned()), hashes));
    }
    Ok((FilePlace::File(PathBuf::from(before)), hashes))
}

/// What is said of a location that is no wheel.
fn no_wheel(body: &str, file: &str, start: usize) -> Wrong {
    if is_wheel(file) {
        let message = format!("`{file}` is not a wheel's file name");
        let wrong = Wrong::new(Code::E169, start, message);
        return wrong.hint("give the file its own name back: NAME-VERSION-PYTHON-ABI-PLATFORM.whl");
    }
    unpinnable(&masked(body), start)
}

/// Looks for the wheel of a direct reference that stands in `file` of the project in `root`. Returns its path relative to
/// `root`, if it is a file.
pub(super) fn look(
    root: &Path,
    file: &Path,
    requirement: &mut Requirement,
) -> Result<Option<PathBuf>, WrongPlace> {
    let path = match requirement.direct.clone() {
        Some(FilePlace::File(path)) => path,
        Some(FilePlace::Url(url)) if requirement.hashes.is_empty() => {
            let url = masked(&url);
            return Err(WrongPlace {
                code: Code::E168,
                message: format!("`{url}` has no hash: whoever serves it can replace it"),
                hint: format!(
                    "write `{} @ {url}#sha256=…`, with what `sha256sum` prints for the file that you trust",
                    requirement.name
                ),
            });
        }
        Some(FilePlace::Url(_) | FilePlace::Git(_)) | None => return Ok(None),
    };
    let found = inside(root, file, &path)?;
    let absolute = root.join(&found);
    let wrong = |error: &std::io::Error| WrongPlace {
        code: Code::E169,
        message: format!("`{}` cannot be read: {}", found.display(), reason(error)),
        hint:
            "correct the path, which is taken from the project's folder, or from that of this file"
                .to_owned(),
    };
    if !absolute.is_file() {
        return Err(wrong(&std::io::Error::other("there is no such file")));
    }
    // A link may lead out of the project.
    let ends = [root, &absolute].map(fs_err::canonicalize);
    if let [Ok(root), Ok(file)] = ends
        && !file.starts_with(root)
    {
        return Err(outside(&path));
    }
    let opened = fs_err::File::open(&absolute).map_err(|error| wrong(&error))?;
    let digest = Digest::of_reader(&mut std::io::BufReader::new(opened));
    let digest = digest.map_err(|error| wrong(&error))?;
    if !requirement.hashes.is_empty() && !requirement.hashes.contains(&digest) {
        return Err(WrongPlace {
            code: Code::E048,
            message: format!(
                "`{}` has another hash than is written here: {digest}",
                found.display()
            ),
            hint: "find out who changed the file, or correct the hash".to_owned(),
        });
    }
    requirement.hashes = vec![digest];
    requirement.direct = Some(FilePlace::File(absolute));
    Ok(Some(found))
}

fn outside(written: &Path) -> WrongPlace {
    WrongPlace {
        code: Code::E169,
        message: format!("`{}` is not a file of the project", written.display()),
        hint: "copy the wheel into the project, and write its path there: `./wheels/NAME.whl`"
            .to_owned(),
    }
}

/// The path relative to the project's folder of what is written in `file`: taken from that folder, as pip is mostly run
/// there, or else from the file's own.
fn inside(root: &Path, file: &Path, written: &Path) -> Result<PathBuf, WrongPlace> {
    let outside = || outside(written);
    if written.is_absolute() {
        let found = written.strip_prefix(root).map_err(|_| outside())?;
        return plain(Path::new(""), found).ok_or_else(outside);
    }
    let own = file.parent().unwrap_or(Path::new(""));
    let candidates = [Path::new(""), own].map(|from| plain(from, written));
    let mut there = candidates.iter().flatten();
    let found = there.find(|path| root.join(path).is_file());
    let found = found.or(candidates[0].as_ref()).or(candidates[1].as_ref());
    found.cloned().ok_or_else(outside)
}

/// The path without `.` and `..`; none if it leaves the project.
fn plain(from: &Path, path: &Path) -> Option<PathBuf> {
    let mut plain = from.to_owned();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            _ => return None,
        }
    }
    Some(plain)
}
