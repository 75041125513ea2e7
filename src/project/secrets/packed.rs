//! What the first bytes of a file say of how it is packed.

/// What can be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    Zip,
    Gzip,
    Zstd,
    Tar,
    /// Nothing here unpacks it: the name of what packs so.
    Other(&'static str),
}

/// The first bytes of what nothing here unpacks.
const OTHERS: [(&[u8], &str); 16] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (b"LZIP\x01", "lzip"),
    (b"\x1f\x9d", "compress"),
    (b"\x1f\xa0", "compress"),
    (b"\xff\x06\0\0sNaPpY", "snappy"),
    (b"MSCF\0\0\0\0", "cab"),
    (b"!<arch>\ndebian-binary", "Debian's package format"),
    (b"\xed\xab\xee\xdb", "rpm"),
    (b"hsqs", "squashfs"),
    (b"xar!", "xar"),
];

/// Skippable frames, with which a zstd stream may begin, differ in the first byte.
const SKIPPED: &[u8] = b"\x2a\x4d\x18";

/// How a file is packed that begins with these bytes; `None` if it is not, as far as they tell.
pub(super) fn packed(beginning: &[u8]) -> Option<Packed> {
    let begins = |magic: &[u8]| beginning.starts_with(magic);
    let is_skipped = || matches!(beginning, [first, rest @ ..] if first & 0xf0 == 0x50 && rest.starts_with(SKIPPED));
    if begins(b"PK\x03\x04") {
        Some(Packed::Zip)
    } else if begins(&[0x1f, 0x8b, 8]) {
        Some(Packed::Gzip)
    } else if begins(b"\x28\xb5\x2f\xfd") || is_skipped() {
        Some(Packed::Zstd)
    } else if is_tar(beginning) {
        Some(Packed::Tar)
    } else {
        let mut others = OTHERS.iter().filter(|(magic, _)| begins(magic));
        let other = others.find(|(_, name)| match *name {
            "bzip2" => beginning.get(4..10) == Some(b"1AY&SY"),
            "compress" => beginning
                .get(2)
                .is_some_and(|bits| matches!(bits & 0x7f, 9..=16)),
            _ => true,
        });
        let other = other.map(|(_, name)| *name);
        other
            .or_else(|| is_lzma(beginning).then_some("lzma"))
            .map(Packed::Other)
    }
}

/// The header of its first file has a sum that is right.
fn is_tar(beginning: &[u8]) -> bool {
    let Some(header) = beginning.first_chunk::<512>() else {
        return false;
    };
    let written = String::from_utf8_lossy(&header[148..156]);
    let written = written.trim_matches(|letter: char| letter == '\0' || letter == ' ');
    let Ok(written) = u32::from_str_radix(written, 8) else {
        return false;
    };
    let sum = |range: std::ops::Range<usize>| -> u32 {
        header[range].iter().map(|byte| u32::from(*byte)).sum()
    };
    header[0] != 0 && written == sum(0..148) + 8 * u32::from(b' ') + sum(156..512)
}

/// It has no mark of its own: properties that everybody uses, a size of a dictionary, a length, and a zero.
fn is_lzma(beginning: &[u8]) -> bool {
    let Some(header) = beginning.first_chunk::<14>() else {
        return false;
    };
    let dictionary = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    let length = &header[5..13];
    let is_length = length == [0xff; 8] || length[5..] == [0; 3];
    header[0] == 0x5d
        && dictionary.is_power_of_two()
        && dictionary >= 4096
        && is_length
        && header[13] == 0
}
