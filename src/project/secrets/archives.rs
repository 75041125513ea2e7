//! Archives: what is in a wheel, a jar or a source distribution is looked at as a file of its own.

use std::{
    cell::Cell,
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom},
};

use flate2::bufread::MultiGzDecoder;

use super::{
    NamedKind, SecretFinding,
    finding::{self, join},
    packed::{Packed, packed},
    scan::{PIECE, Scanner},
    tars,
    zips::{self, ReadAndSeek, Zip},
};
use crate::image::Frames;

/// How far archives are looked into. What lies behind a bound is told.
#[derive(Clone, Copy)]
struct Bounds {
    /// How deep they may lie in one another.
    depth: usize,
    /// How many bytes a file may unpack to, with all that is in it, and how many files it may hold.
    bytes: u64,
    members: usize,
    /// Archives in an archive are read into memory up to this size together.
    memory: u64,
}

const BOUNDS: Bounds = Bounds {
    depth: 10,
    bytes: 16 << 30,
    members: 2_000_000,
    memory: 256 << 20,
};

/// Looks for credentials in a file with this path, and in the files in it if it is an archive.
///
/// # Errors
/// The file cannot be read.
pub fn scan_file(file: impl Read + Seek, path: &str) -> io::Result<Vec<SecretFinding>> {
    Search::new(BOUNDS).file(&mut { file }, NamedKind::of(path), 0)
}

/// A search in a file and in all that is in it.
struct Search {
    bounds: Bounds,
    bytes_left: Cell<u64>,
    members_left: Cell<usize>,
    memory_left: Cell<u64>,
}

/// A reader of what was packed: an error in it ends the bytes, for what stands before it counts too.
struct Unpacked<'r> {
    reader: &'r mut dyn Read,
    left: &'r Cell<u64>,
    is_damaged: bool,
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        match self.reader.read(&mut buffer[..most]) {
            Ok(count) => {
                self.left.set(self.left.get().saturating_sub(count as u64));
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(_) => {
                self.is_damaged = true;
                Ok(0)
            }
        }
    }
}

impl Search {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bytes_left: Cell::new(bounds.bytes),
            members_left: Cell::new(bounds.members),
            memory_left: Cell::new(bounds.memory),
        }
    }

    /// What is in a file.
    fn file(
        &self,
        file: &mut dyn ReadAndSeek,
        kind: NamedKind,
        depth: usize,
    ) -> io::Result<Vec<SecretFinding>> {
        let mut beginning = Vec::new();
        (&mut *file)
            .take(PIECE as u64)
            .read_to_end(&mut beginning)?;
        let is_whole = beginning.len() < PIECE;
        let how = packed(&beginning);
        let is_zip = how == Some(Packed::Zip)
            || if is_whole {
                zips::is_end(&beginning)
            } else {
                zips::has_end(file)?
            };
        if is_zip && depth < self.bounds.depth {
            file.rewind()?;
            if let Some(found) = self.zip(file, depth)? {
                return Ok(found);
            }
        }
        if how == Some(Packed::Tar) && depth < self.bounds.depth {
            file.rewind()?;
            return self.tar(file, depth);
        }
        let mut scanner = Scanner::of_file(&beginning, kind);
        if !is_whole {
            file.seek(SeekFrom::Start(PIECE as u64))?;
            scanner.push_all(file)?;
        }
        let mut found = match how {
            _ if depth >= self.bounds.depth && (is_zip || how.is_some()) => self.too_deep(),
            None | Some(Packed::Tar) => Vec::new(),
            Some(Packed::Zip) => {
                vec![SecretFinding::unsearched(
                    "it is a zip file that is damaged",
                )]
            }
            Some(Packed::Other(name)) => {
                vec![SecretFinding::unsearched(finding::not_unpacked(name))]
            }
            Some(Packed::Gzip) => {
                file.rewind()?;
                let mut reader = MultiGzDecoder::new(BufReader::new(file));
                self.unpacked(&mut reader, NamedKind::Other, depth + 1)
            }
            Some(Packed::Zstd) => {
                file.rewind()?;
                let mut reader = Frames::new(BufReader::new(file));
                self.unpacked(&mut reader, NamedKind::Other, depth + 1)
            }
        };
        join(&mut found, scanner.finished());
        Ok(found)
    }

    fn too_deep(&self) -> Vec<SecretFinding> {
        let depth = self.bounds.depth;
        vec![SecretFinding::unsearched(format!(
            "it is an archive in {depth} others"
        ))]
    }

    /// What is in bytes that were packed. That they cannot be read to their end is told.
    fn unpacked(&self, reader: &mut dyn Read, kind: NamedKind, depth: usize) -> Vec<SecretFinding> {
        let mut unpacked = Unpacked {
            reader,
            left: &self.bytes_left,
            is_damaged: false,
        };
        let found = self.stream(&mut unpacked, kind, depth);
        let is_damaged = unpacked.is_damaged || found.is_err();
        let mut found = found.unwrap_or_default();
        if self.bytes_left.get() == 0 {
            found.push(self.too_much());
        } else if is_damaged {
            found.push(SecretFinding::unsearched(
                "it is damaged, and was searched as far as it can be read",
            ));
        }
        found
    }

    fn too_much(&self) -> SecretFinding {
        let Bounds { bytes, members, .. } = self.bounds;
        SecretFinding::unsearched(format!(
            "what is in it is more than {} GiB, or more than {members} files",
            bytes >> 30
        ))
    }

    /// What is in bytes that come one after the other. An archive is read into memory first.
    fn stream(
        &self,
        reader: &mut dyn Read,
        kind: NamedKind,
        depth: usize,
    ) -> io::Result<Vec<SecretFinding>> {
        let mut bytes = Vec::new();
        reader.take(PIECE as u64).read_to_end(&mut bytes)?;
        let how = packed(&bytes);
        if how == Some(Packed::Tar) && depth < self.bounds.depth {
            return self.tar(&mut bytes.as_slice().chain(reader), depth);
        }
        let is_archive = matches!(how, Some(Packed::Zip | Packed::Gzip | Packed::Zstd));
        let room = self.memory_left.get();
        if is_archive && bytes.len() == PIECE {
            let more = room.saturating_sub(PIECE as u64);
            reader.take(more).read_to_end(&mut bytes)?;
        }
        let length = bytes.len() as u64;
        if bytes.len() < PIECE || is_archive && length < room {
            self.memory_left.set(room.saturating_sub(length));
            let found = self.file(&mut Cursor::new(bytes), kind, depth);
            self.memory_left.set(room);
            return found;
        }
        let mut scanner = Scanner::of_file(&bytes, kind);
        let mut ending = Ending {
            reader,
            bytes: Vec::new(),
        };
        scanner.push_all(&mut ending)?;
        let is_archive = is_archive || zips::is_end(&ending.bytes);
        let mut found = scanner.finished();
        if let Some(Packed::Other(name)) = how {
            found.push(SecretFinding::unsearched(finding::not_unpacked(name)));
        } else if is_archive {
            found.push(SecretFinding::unsearched(
                "it is a large archive in another one",
            ));
        }
        Ok(found)
    }

    /// What is in a zip file; `None` if it is none after all.
    fn zip(
        &self,
        file: &mut dyn ReadAndSeek,
        depth: usize,
    ) -> io::Result<Option<Vec<SecretFinding>>> {
        let Some(mut zip) = Zip::open(file) else {
            return Ok(None);
        };
        let mut found = Vec::new();
        for index in 0..zip.len() {
            if !self.may_go_on() {
                found.push(self.too_much());
                break;
            }
            zip.visit(index, &mut |name, member| {
                found.extend(match member {
                    Ok(reader) => self.member(name, reader, depth),
                    Err(why) => vec![SecretFinding::unsearched(why).within(name)],
                });
            });
        }
        let mut scanner = Scanner::new();
        if zip.rest(&mut scanner)? {
            found.push(SecretFinding::unsearched(
                "it holds a file that its directory does not name, or names twice",
            ));
        }
        join(&mut found, scanner.finished());
        Ok(Some(found))
    }

    /// What is in a tar.
    fn tar(&self, reader: &mut dyn Read, depth: usize) -> io::Result<Vec<SecretFinding>> {
        let mut found = Vec::new();
        let rest = tars::read(reader, &mut |name, member| {
            found.extend(self.member(name, member, depth));
            self.may_go_on()
        })?;
        if !self.may_go_on() {
            found.push(self.too_much());
        }
        join(&mut found, rest);
        Ok(found)
    }

    fn may_go_on(&self) -> bool {
        self.members_left.get() > 0 && self.bytes_left.get() > 0
    }

    /// What is in the name of a member of an archive, and in the member, which may be an archive too.
    fn member(&self, name: &str, reader: &mut dyn Read, depth: usize) -> Vec<SecretFinding> {
        self.members_left
            .set(self.members_left.get().saturating_sub(1));
        let (mut found, shown) = finding::in_name(name);
        found.extend(self.unpacked(reader, NamedKind::of(name), depth + 1));
        let found = found.into_iter();
        found.map(|finding| finding.within(&shown)).collect()
    }
}

/// Keeps the last bytes of what is read.
struct Ending<'r> {
    reader: &'r mut dyn Read,
    bytes: Vec<u8>,
}

impl Read for Ending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        let gone = self.bytes.len().saturating_sub(PIECE);
        if gone > PIECE {
            self.bytes.drain(..gone);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const SMALL: Bounds = Bounds {
        depth: 2,
        bytes: 8 << 20,
        members: 4,
        memory: 4 << 20,
    };

    fn zipped(members: usize, content: &[u8]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for number in 0..members {
            let options = zip::write::SimpleFileOptions::default();
            writer.start_file(format!("{number}"), options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// What was not searched and why, and the bytes and members that were left.
    fn searched(content: Vec<u8>) -> (Vec<String>, u64, usize) {
        let search = Search::new(SMALL);
        let found = search.file(&mut Cursor::new(content), NamedKind::Other, 0);
        let whys = found.unwrap().into_iter().filter_map(|found| found.why);
        let (bytes, members) = (search.bytes_left.get(), search.members_left.get());
        (whys.collect(), bytes, members)
    }

    #[test]
    fn every_bound_ends_a_search_and_is_told() {
        let zeros = vec![0; 3 << 20];
        let noise: Vec<u8> = (0..5_u32 << 18)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let inner = zipped(3, b"x");
        for (content, part) in [
            (zipped(3, &zeros), "more than"),
            (zipped(5, b"x"), "more than"),
            (zipped(2, &inner), "more than"),
            (zipped(1, &zipped(1, &zipped(1, b"x"))), "in 2 others"),
            (zipped(1, &zipped(1, &noise)), "a large archive in another"),
        ] {
            let (whys, ..) = searched(content);
            assert!(
                whys.iter().any(|why| why.contains(part)),
                "{part}: {whys:?}"
            );
        }
        let (whys, bytes, members) = searched(zipped(4, b"x"));
        assert_eq!((whys.len(), bytes, members), (0, SMALL.bytes - 4, 0));
        let (whys, ..) = searched(zipped(2, &zeros));
        assert_eq!(whys, [""; 0]);
    }
}
