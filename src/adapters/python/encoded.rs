//! Paths and words as parts of URLs.

use std::{fmt::Write as _, path::Path};

/// A `file:` URL of an absolute path, encoded so that both installers read it.
pub(super) fn file_url(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let parts: Vec<String> = path
        .as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .map(encoded)
        .collect();
    format!("file://{}", parts.join("/"))
}

/// A part of a URL, in which only letters, digits and `._-~` stand as they are.
pub(super) fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"._-~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
