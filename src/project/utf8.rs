//! Decoding of files that must be UTF-8.

use std::path::Path;

use super::place::{Defect, Place};
use crate::code::Code;

/// Bytes that are not UTF-8, and where they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    /// The first byte that is not UTF-8; for UTF-16, the beginning.
    pub place: Place,
    /// What is there instead.
    pub found: OtherEncoding,
}

/// What a file holds instead of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtherEncoding {
    /// The whole file is UTF-16, as its byte-order mark says.
    #[error("the file is UTF-16")]
    Utf16,
    /// A byte that is not valid UTF-8 at its place.
    #[error("the byte 0x{0:02x} is not UTF-8")]
    Byte(u8),
}

impl OtherEncoding {
    /// UTF-16, if the file begins with its byte-order mark.
    #[must_use]
    pub fn beginning(bytes: &[u8]) -> Option<Self> {
        let marks: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];
        let is_utf_16 = marks.iter().any(|mark| bytes.starts_with(mark));
        is_utf_16.then_some(Self::Utf16)
    }

    /// The same as a [`Defect`], with the usual cure as a hint.
    #[must_use]
    pub fn defect(self, code: Code, place: Place) -> Defect {
        Defect::new(code, place, self.to_string()).hint("save it as UTF-8")
    }
}

impl NotUtf8 {
    /// The same as a [`Defect`], with the usual cure as a hint.
    #[must_use]
    pub fn defect(self, code: Code) -> Defect {
        self.found.defect(code, self.place)
    }
}

/// The text of a file; a byte-order mark is kept.
///
/// # Errors
/// The bytes are not UTF-8.
pub fn decode<'b>(file: &Path, bytes: &'b [u8]) -> Result<&'b str, NotUtf8> {
    if let Some(found) = OtherEncoding::beginning(bytes) {
        let place = Place::of_line(file, 1);
        return Err(NotUtf8 { place, found });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let valid = String::from_utf8_lossy(valid);
        NotUtf8 {
            place: Place::of_offset(file, &valid, valid.len()),
            found: OtherEncoding::Byte(rest[0]),
        }
    })
}

/// A text without its byte-order mark.
#[must_use]
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        let error = decode(Path::new("f"), bytes).unwrap_err();
        error.defect(Code::E011).to_string()
    }

    #[test]
    fn the_first_byte_that_is_no_text_is_told_by_its_place() {
        assert_eq!(
            said(b"a\n\xc3\xbc\xe9b\xff"),
            "f:2:2: the byte 0xe9 is not UTF-8"
        );
        assert_eq!(said(b"\x80"), "f:1:1: the byte 0x80 is not UTF-8");
        // A character that is cut off is invalid too.
        assert_eq!(said(b"a\xc3"), "f:1:2: the byte 0xc3 is not UTF-8");
        assert_eq!(
            said(b"\xef\xbb\xbfa\xff"),
            "f:1:2: the byte 0xff is not UTF-8"
        );
    }

    #[test]
    fn utf_16_is_told_by_its_mark() {
        assert_eq!(said(b"\xff\xfea\0"), "f:1:1: the file is UTF-16");
        assert_eq!(said(b"\xfe\xff\0a"), "f:1:1: the file is UTF-16");
    }

    #[test]
    fn a_text_keeps_its_mark_until_it_is_taken_away() {
        let text = decode(Path::new("f"), b"\xef\xbb\xbfa").unwrap();
        assert_eq!((text, without_mark(text)), ("\u{feff}a", "a"));
        assert_eq!(without_mark("a"), "a");
        assert_eq!(decode(Path::new("f"), b"").unwrap(), "");
    }
}
