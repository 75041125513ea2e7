//! Zip files: their members by the directory at their end, whatever stands before, and the bytes that belong to none.

use std::{
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::Range,
};

use zip::{ZipArchive, read::ZipReadOptions};

use super::{finding::not_unpacked, scan::Scanner};
use crate::image::Frames;

/// The record that ends a zip file, and how far from the end it may begin: its own bytes, and a comment.
const END: &[u8] = b"PK\x05\x06";
const END_REACHES: u64 = 22 + 0xffff;

/// The first bytes of a member.
const MEMBER: &[u8] = b"PK\x03\x04";

/// The length of the header of a member, without its name.
const HEADER: usize = 30;

/// The number of zstd among the ways to pack a member, and the one that it had at first.
const ZSTD: [u16; 2] = [93, 20];

/// Why a member cannot be read at all.
const DAMAGED: &str = "it is damaged";

/// A reader that can begin anew.
pub(super) trait ReadAndSeek: Read + Seek {}
impl<R: Read + Seek> ReadAndSeek for R {}

/// Whether bytes with which a file ends have the record that ends a zip file.
pub(super) fn is_end(bytes: &[u8]) -> bool {
    let reaches = usize::try_from(END_REACHES).unwrap_or(usize::MAX);
    let near = &bytes[bytes.len().saturating_sub(reaches)..];
    memchr::memmem::find(near, END).is_some()
}

/// Whether a file ends as a zip file does.
pub(super) fn has_end(file: &mut dyn ReadAndSeek) -> io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(END_REACHES)))?;
    let mut bytes = Vec::new();
    file.take(END_REACHES).read_to_end(&mut bytes)?;
    Ok(is_end(&bytes))
}

/// Gets the name of a member, and its bytes, or why they cannot be read.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&str, Result<&mut dyn Read, String>);

/// A zip file whose directory was read.
pub(super) struct Zip<'f> {
    archive: ZipArchive<&'f mut dyn ReadAndSeek>,
    /// Where members stand with their headers, and where the bytes of those stand that are not compressed.
    members: Vec<Range<u64>>,
    plain: Vec<Range<u64>>,
}

impl<'f> Zip<'f> {
    /// `None` if it is no zip file, or has no members.
    pub(super) fn open(file: &'f mut dyn ReadAndSeek) -> Option<Self> {
        let archive = ZipArchive::new(file).ok()?;
        (!archive.is_empty()).then_some(Self {
            archive,
            members: Vec::new(),
            plain: Vec::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.archive.len()
    }

    /// Visits the member of this number.
    pub(super) fn visit(&mut self, index: usize, visit: Visit<'_>) {
        let Ok(member) = self.archive.by_index_raw(index) else {
            let name = self.archive.file_names_raw().nth(index);
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            return visit(&name, Err(DAMAGED.to_owned()));
        };
        let name = String::from_utf8_lossy(member.name_raw()).into_owned();
        let header = member.header_start();
        let start = member.data_start().unwrap_or(header);
        let data = start..start.saturating_add(member.compressed_size());
        let method = member.compression();
        let is_encrypted = member.encrypted();
        self.members.push(header..data.end);
        if is_encrypted {
            return visit(&name, Err("it is encrypted".to_owned()));
        }
        if let Some(number) = number(method) {
            if ZSTD.contains(&number) {
                return visit(&name, Ok(&mut Frames::new(BufReader::new(member))));
            }
            return visit(&name, Err(not_unpacked(&way(number))));
        }
        drop(member);
        // A sum that is wrong keeps nobody from reading the bytes.
        let options = ZipReadOptions::new().ignore_crc32(true);
        let Ok(mut member) = self.archive.by_index_with_options(index, options) else {
            return visit(&name, Err(DAMAGED.to_owned()));
        };
        visit(&name, Ok(&mut member));
        if method == zip::CompressionMethod::Stored {
            self.plain.push(data);
        }
    }

    /// Looks at every byte but those of members that are not compressed, which were looked at; and tells whether there is a
    /// member that the directory does not name.
    pub(super) fn rest(self, scanner: &mut Scanner) -> io::Result<bool> {
        let directory = self.archive.central_directory_start();
        let (file, members) = (self.archive.into_inner(), self.members);
        for gap in gaps(self.plain, u64::MAX) {
            file.seek(SeekFrom::Start(gap.start))?;
            scanner.push_all(&mut (&mut *file).take(gap.end - gap.start))?;
            scanner.push(b"\n");
        }
        let mut is_more = false;
        for gap in gaps(members, directory) {
            file.seek(SeekFrom::Start(gap.start))?;
            is_more |= has_member(&mut (&mut *file).take(gap.end - gap.start))?;
        }
        Ok(is_more)
    }
}

/// The number of a way to compress that `zip` itself does not unpack here.
#[expect(
    deprecated,
    reason = "the names for such ways are no patterns, and there are none for some"
)]
fn number(method: zip::CompressionMethod) -> Option<u16> {
    match method {
        zip::CompressionMethod::Unsupported(number) => Some(number),
        _ => None,
    }
}

/// The name of a way to compress.
fn way(number: u16) -> String {
    match number {
        9 => "deflate64".to_owned(),
        12 => "bzip2".to_owned(),
        14 => "lzma".to_owned(),
        95 => "xz".to_owned(),
        number => format!("method {number} of zip files"),
    }
}

/// What lies outside of these ranges, up to an end.
fn gaps(mut ranges: Vec<Range<u64>>, end: u64) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let (mut gaps, mut at) = (Vec::new(), 0);
    for range in ranges {
        if range.start > at {
            gaps.push(at..range.start.min(end));
        }
        at = at.max(range.end);
    }
    if at < end {
        gaps.push(at..end);
    }
    gaps
}

/// Whether bytes that belong to no member have the header of one.
fn has_member(reader: &mut dyn Read) -> io::Result<bool> {
    let mut bytes = Vec::new();
    loop {
        let held = bytes.len();
        reader.take(1 << 20).read_to_end(&mut bytes)?;
        if memchr::memmem::find_iter(&bytes, MEMBER).any(|at| is_header(&bytes[at..])) {
            return Ok(true);
        }
        if bytes.len() == held {
            return Ok(false);
        }
        bytes.drain(..bytes.len().saturating_sub(HEADER));
    }
}

/// The version that unpacks it, how it is compressed, and the length of its name are those of a member.
fn is_header(header: &[u8]) -> bool {
    let short = |at: usize| {
        let two = header.get(at..at + 2);
        two.map_or(0, |two| u16::from_le_bytes([two[0], two[1]]))
    };
    header.len() >= HEADER
        && (10..=63).contains(&(short(4) & 0xff))
        && matches!(short(8), 0..=20 | 93..=99)
        && (1..=4096).contains(&short(26))
}
