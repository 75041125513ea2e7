//! Loads a file of requirements: its bytes and its text.

use std::path::Path;

use crate::{
    code::Code,
    project::{
        place::{Defect, Place},
        utf8,
    },
};

/// The bytes of a file, of which there are at most `limit`.
pub(super) fn load(root: &Path, file: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let path = root.join(file);
    let metadata = match fs_err::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err("there is no such file".to_owned());
        }
        Err(error) => return Err(reason(&error)),
    };
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.len() > limit {
        return Err(format!("it has more than {} MiB", limit >> 20));
    }
    fs_err::read(&path).map_err(|error| reason(&error))
}

/// The system's message without the path, which the place already shows.
pub(super) fn reason(error: &std::io::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

pub(super) fn decode<'a>(file: &Path, bytes: &'a [u8]) -> Result<&'a str, Defect> {
    let text = utf8::decode(file, bytes).map_err(|error| error.defect(Code::E040))?;
    let text = utf8::without_mark(text);
    match text.find('\0') {
        Some(offset) => {
            let defect = Defect::new(
                Code::E040,
                Place::of_offset(file, text, offset),
                "a NUL character",
            );
            Err(defect.hint("remove it"))
        }
        None => Ok(text),
    }
}
