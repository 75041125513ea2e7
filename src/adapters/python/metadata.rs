//! What a wheel says of itself.

use std::{borrow::Cow, io::Read as _, path::Path};

/// The part of a wheel's `METADATA` that a resolver needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The values of `Requires-Dist`.
    pub needs: Vec<String>,
}

/// The most bytes of a `METADATA`.
const LARGEST: u64 = 4 << 20;

/// What the wheel in a file says of itself.
///
/// # Errors
/// It is no wheel: why.
pub fn metadata_of(wheel: &Path) -> Result<Metadata, String> {
    let named = |error: &dyn std::fmt::Display| {
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        format!("`{name}` is no wheel: {error}")
    };
    let file = fs_err::File::open(wheel).map_err(|error| named(&error))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| named(&error))?;
    let names = archive.file_names().filter_map(Result::ok);
    let names: Vec<String> = names.map(Cow::into_owned).collect();
    let is_it = |name: &&String| {
        name.split_once('/')
            .is_some_and(|(folder, file)| folder.ends_with(".dist-info") && file == "METADATA")
    };
    let name = names.iter().find(is_it);
    let name = name.ok_or_else(|| named(&"it has no METADATA"))?;
    let member = archive.by_name(name).map_err(|error| named(&error))?;
    let mut text = Vec::new();
    let read = member.take(LARGEST).read_to_end(&mut text);
    read.map_err(|error| named(&error))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The headers end at the first empty line.
fn parse(text: &str) -> Metadata {
    let headers = text.lines().take_while(|line| !line.trim().is_empty());
    let needs = headers.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("Requires-Dist");
        is_it.then(|| value.trim().to_owned())
    });
    Metadata {
        needs: needs.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needs_are_among_the_headers_only() {
        let text = "Metadata-Version: 2.1\r\nName: x\r\nrequires-dist: six (>=1)\r\nRequires-Dist: a; extra == \"b\"\r\n\r\nRequires-Dist: text\r\n";
        assert_eq!(parse(text).needs, ["six (>=1)", "a; extra == \"b\""]);
    }

    #[test]
    fn what_is_no_wheel_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x-1-py3-none-any.whl");
        fs_err::write(&file, "no zip").unwrap();
        let error = metadata_of(&file).unwrap_err();
        assert!(
            error.starts_with("`x-1-py3-none-any.whl` is no wheel"),
            "{error}"
        );
    }
}
