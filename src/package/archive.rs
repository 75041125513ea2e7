//! Archives whose bytes depend on nothing but the entries: sorted, with times that follow from the content, owner 0, modes 0644 or 0755.

use std::{
    collections::{BTreeSet, HashSet},
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    ops::Range,
    panic::resume_unwind,
    sync::Arc,
    thread,
};

use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::gzip;
use crate::{
    image::{Digest, HashedReader},
    project::tree::{Content, Entry, Location, folders_above, mode},
};

/// The bytes of a zip that is compressed on several threads. Starting them takes longer than compressing less, and of more
/// too much would be held in memory.
const WORTH_THREADS: Range<u64> = 64 << 10..64 << 20;

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading an input or writing the output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file's bytes are no longer those that were hashed.
    #[error("`{path}` changed during the run")]
    Changed {
        /// The path in the archive.
        path: String,
    },
    /// It would have more bytes than it may.
    #[error("the archive would have more than {limit} bytes")]
    TooLarge {
        /// The largest number of bytes.
        limit: u64,
    },
    /// A name that deletes a file of the layers below.
    #[error("`{path}`: in a layer its name would delete a file of the parent")]
    Whiteout {
        /// The path in the layer.
        path: String,
    },
    /// The zip format cannot hold this.
    #[error(transparent)]
    Zip(#[from] zip::result::ZipError),
}

/// A zip that was written before. Its members are taken over as they are where the entry is still the same.
pub struct EarlierZip {
    archive: ZipArchive<Cursor<Arc<[u8]>>>,
    /// The rows of its entries.
    rows: HashSet<String>,
}

impl EarlierZip {
    /// The zip with these bytes, which [`write_zip`] made of the entries with these rows; `None` if it is none.
    #[must_use]
    pub fn read(bytes: Vec<u8>, rows: impl IntoIterator<Item = String>) -> Option<Self> {
        Some(Self {
            archive: ZipArchive::new(Cursor::new(bytes.into())).ok()?,
            rows: rows.into_iter().collect(),
        })
    }

    fn has(&self, member: &ZipMember<'_>) -> bool {
        matches!(member, ZipMember::Entry(entry) if self.rows.contains(&entry.row()))
    }
}

/// Writes a zip of `entries`, of at most `limit` bytes, that Python can import from. What `earlier` has is not read and
/// compressed again; the bytes are the same with it and without.
///
/// A symbolic link becomes a link in the zip, from which Python cannot import: callers resolve links before.
///
/// # Errors
/// An input cannot be read or has changed, the output cannot be written, or it would be too large.
pub fn write_zip(
    entries: &[Entry],
    earlier: Option<&EarlierZip>,
    limit: u64,
    output: impl Write + Seek,
) -> Result<(), ArchiveError> {
    let mut output = Limited::new(output, limit);
    let mut zip = ZipWriter::new(&mut output);
    let members = members(entries);
    for part in parts(&members, earlier, gzip::usual_threads())? {
        match part {
            Part::Members(members) => write_members(members, earlier, &mut zip)?,
            Part::Packed(bytes) => zip.merge_archive(ZipArchive::new(Cursor::new(bytes))?)?,
        }
    }
    zip.finish()?.flush()?;
    if output.is_exceeded {
        return Err(ArchiveError::TooLarge { limit });
    }
    Ok(())
}

/// A member of a zip.
#[derive(Clone, Copy)]
enum ZipMember<'a> {
    Folder(&'a str),
    Entry(&'a Entry),
}

/// Members that follow each other.
enum Part<'m, 'e> {
    /// They are still to be written.
    Members(&'m [ZipMember<'e>]),
    /// A zip of them.
    Packed(Vec<u8>),
}

/// The members of a zip, in their order.
fn members(entries: &[Entry]) -> Vec<ZipMember<'_>> {
    let mut members = Vec::new();
    let mut written = BTreeSet::new();
    for entry in sorted(entries) {
        // Before 3.13, Python finds a package without `__init__.py` in a zip only by its folder's own entry.
        for folder in folders_above(&entry.path) {
            if written.insert(folder) {
                members.push(ZipMember::Folder(folder));
            }
        }
        members.push(ZipMember::Entry(entry));
    }
    members
}

/// Packs a share of the members on each of `threads` threads. The bytes of the whole zip are the same for any number.
fn parts<'m, 'e>(
    members: &'m [ZipMember<'e>],
    earlier: Option<&EarlierZip>,
    threads: usize,
) -> Result<Vec<Part<'m, 'e>>, ArchiveError> {
    let size = |member: &ZipMember<'_>| match member {
        _ if earlier.is_some_and(|earlier| earlier.has(member)) => 0,
        ZipMember::Entry(Entry {
            content: Content::File { size, .. },
            ..
        }) => *size,
        _ => 0,
    };
    let total: u64 = members.iter().map(size).sum();
    if threads < 2 || !WORTH_THREADS.contains(&total) {
        return Ok(vec![Part::Members(members)]);
    }
    let share = total / threads as u64 + 1;
    let mut ends = Vec::new();
    let mut passed = 0;
    for (index, member) in members.iter().enumerate() {
        passed += size(member);
        if passed >= share * (ends.len() as u64 + 1) {
            ends.push(index + 1);
        }
    }
    ends.push(members.len());
    let begins = std::iter::once(0).chain(ends.clone());
    let shares = begins.zip(&ends).map(|(begin, end)| &members[begin..*end]);
    thread::scope(|scope| {
        let packers: Vec<_> = shares
            .map(|share| {
                scope.spawn(move || {
                    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
                    write_members(share, earlier, &mut zip)?;
                    Ok(Part::Packed(zip.finish()?.into_inner()))
                })
            })
            .collect();
        let parts = packers.into_iter().map(|packer| match packer.join() {
            Ok(part) => part,
            Err(panic) => resume_unwind(panic),
        });
        parts.collect()
    })
}

fn write_members(
    members: &[ZipMember<'_>],
    earlier: Option<&EarlierZip>,
    zip: &mut ZipWriter<impl Write + Seek>,
) -> Result<(), ArchiveError> {
    let mut archive = earlier.map(|earlier| earlier.archive.clone());
    let options = |mode: u32| {
        SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(mode)
    };
    for member in members {
        if earlier.is_some_and(|earlier| earlier.has(member))
            && let (Some(archive), ZipMember::Entry(entry)) = (&mut archive, member)
            && let Some(index) = archive.index_for_name(&entry.path)
        {
            zip.raw_copy_file(archive.by_index_raw(index)?)?;
            continue;
        }
        let entry = match member {
            ZipMember::Folder(path) => {
                zip.add_directory(*path, options(0o755))?;
                continue;
            }
            ZipMember::Entry(entry) => entry,
        };
        match &entry.content {
            Content::File {
                digest,
                executable,
                size,
                location,
            } => {
                let large = *size >= u64::from(u32::MAX);
                zip.start_file(&*entry.path, options(mode(*executable)).large_file(large))?;
                copy_verified(&entry.path, digest, *size, location, zip)?;
            }
            Content::Symlink { target } => {
                zip.add_symlink(&*entry.path, target, options(0o777))?;
            }
        }
    }
    Ok(())
}

/// Passes on what is written until it exceeds a limit, and nothing from then on. It does not fail, since a `ZipWriter`
/// that fails prints why.
struct Limited<W> {
    output: W,
    limit: u64,
    position: u64,
    end: u64,
    is_exceeded: bool,
}

impl<W> Limited<W> {
    fn new(output: W, limit: u64) -> Self {
        Self {
            output,
            limit,
            position: 0,
            end: 0,
            is_exceeded: false,
        }
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_exceeded |= self.position + bytes.len() as u64 > self.limit;
        let written = if self.is_exceeded {
            bytes.len()
        } else {
            self.output.write(bytes)?
        };
        self.position += written as u64;
        self.end = self.end.max(self.position);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<W: Seek> Seek for Limited<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, offset) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(offset) => (self.position, offset),
            SeekFrom::End(offset) => (self.end, offset),
        };
        let position = from.checked_add_signed(offset);
        let position = position.ok_or(io::ErrorKind::InvalidInput)?;
        if !self.is_exceeded {
            self.output.seek(SeekFrom::Start(position))?;
        }
        self.position = position;
        Ok(position)
    }
}

/// Writes a tar of `entries` with their parent folders, and of `folders`, which may be empty.
///
/// # Errors
/// An input cannot be read or has changed, or the output cannot be written.
pub fn write_tar(
    entries: &[Entry],
    folders: &[&str],
    output: impl Write,
) -> Result<(), ArchiveError> {
    let mut tar = tar::Builder::new(output);
    let mut written = BTreeSet::new();
    for folder in folders {
        add_folders(&mut tar, &mut written, &format!("{folder}/"))?;
    }
    for entry in sorted(entries) {
        add_folders(&mut tar, &mut written, &entry.path)?;
        match &entry.content {
            Content::File {
                digest,
                executable,
                size,
                location,
            } => {
                let mut header = header(tar::EntryType::Regular, mode(*executable));
                header.set_size(*size);
                header.set_mtime(time_of(digest));
                let reader = location.open()?;
                let mut hashed = HashedReader::new(reader.take(*size));
                tar.append_data(&mut header, &entry.path, &mut hashed)?;
                verify(hashed.finish(), &entry.path, digest, *size)?;
            }
            Content::Symlink { target } => {
                let mut header = header(tar::EntryType::Symlink, 0o777);
                header.set_size(0);
                tar.append_link(&mut header, &entry.path, target)?;
            }
        }
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

fn sorted(entries: &[Entry]) -> Vec<&Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|left, right| left.path.as_bytes().cmp(right.path.as_bytes()));
    sorted
}

/// The time of a file with this content, in seconds since 1970: one of 2^28 between 2000 and the middle of 2008.
///
/// Python takes the bytecode beside a source for that source's if time and size are those that it was compiled from. With
/// one time for all, bytecode that an image below has compiled would outlive a changed source of the same size.
#[must_use]
pub fn time_of(content: &Digest) -> u64 {
    const BEGIN: u64 = 946_684_800;
    let digits = u64::from_str_radix(content.short(7), 16).unwrap_or_default();
    BEGIN + digits
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn add_folders(
    tar: &mut tar::Builder<impl Write>,
    written: &mut BTreeSet<String>,
    path: &str,
) -> io::Result<()> {
    for folder in folders_above(path) {
        if written.insert(folder.to_owned()) {
            let mut header = header(tar::EntryType::Directory, 0o755);
            header.set_size(0);
            tar.append_data(&mut header, format!("{folder}/"), io::empty())?;
        }
    }
    Ok(())
}

fn copy_verified(
    path: &str,
    digest: &Digest,
    size: u64,
    location: &Location,
    output: &mut impl Write,
) -> Result<(), ArchiveError> {
    let mut hashed = HashedReader::new(location.open()?);
    io::copy(&mut hashed, output)?;
    verify(hashed.finish(), path, digest, size)
}

/// Fails if a file's bytes have changed since it was listed.
fn verify(
    (count, actual): (u64, Digest),
    path: &str,
    digest: &Digest,
    size: u64,
) -> Result<(), ArchiveError> {
    if count == size && actual == *digest {
        Ok(())
    } else {
        Err(ArchiveError::Changed {
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let link = Content::Symlink {
            target: "b.py".to_owned(),
        };
        vec![
            Entry::in_memory("jobs/b.py", "b = 1\n", false),
            Entry::in_memory("jobs/a.sh", "#!/bin/sh\n", true),
            Entry {
                path: "jobs/c.py".to_owned(),
                content: link,
            },
        ]
    }

    #[test]
    fn the_number_of_threads_plays_no_part() {
        let text = |number: usize| format!("x_{number} = {}\n", number * number).repeat(900);
        let entries: Vec<Entry> = (0..40)
            .map(|number| format!("p{}/m{number}.py", number % 7))
            .enumerate()
            .map(|(number, path)| Entry::in_memory(path, text(number), number % 3 == 0))
            .collect();
        let members = members(&entries);
        let pack = |threads: usize| {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            let parts = parts(&members, None, threads).unwrap();
            let count = parts.len();
            for part in parts {
                match part {
                    Part::Members(members) => write_members(members, None, &mut zip).unwrap(),
                    Part::Packed(bytes) => {
                        let packed = ZipArchive::new(Cursor::new(bytes)).unwrap();
                        zip.merge_archive(packed).unwrap();
                    }
                }
            }
            (count, zip.finish().unwrap().into_inner())
        };
        let (one, alone) = pack(1);
        assert_eq!(one, 1);
        for threads in [2, 3, 8, 60] {
            let (count, bytes) = pack(threads);
            assert!(count > 1 && count <= threads + 1, "{count} of {threads}");
            assert!(bytes == alone, "{threads} threads");
        }
    }

    #[test]
    fn what_an_earlier_zip_has_is_taken_over_and_nothing_else() {
        let zipped = |entries: &[Entry], earlier: Option<&EarlierZip>| {
            let mut zip = Cursor::new(Vec::new());
            write_zip(entries, earlier, u64::MAX, &mut zip).unwrap();
            zip.into_inner()
        };
        let gone = |path: &str, bytes: &str, executable: bool| {
            let mut entry = Entry::in_memory(path, bytes, executable);
            if let Content::File { location, .. } = &mut entry.content {
                *location = Location::Disk("/nowhere/at/all".into());
            }
            entry
        };
        let long = "value = 1\n".repeat(20_000);
        let before = [
            Entry::in_memory("jobs/ä.py", &*long, false),
            Entry::in_memory("jobs/a.sh", "#!/bin/sh\n", true),
            Entry::in_memory("jobs/mode.py", "x", false),
            Entry::in_memory("jobs/old.py", "old", false),
            Entry::in_memory("jobs/empty.py", "", false),
        ];
        let rows = before.iter().map(Entry::row);
        let earlier = EarlierZip::read(zipped(&before, None), rows).unwrap();
        let now = |entry: &dyn Fn(&str, &str, bool) -> Entry| {
            vec![
                entry("jobs/ä.py", &long, false),
                entry("jobs/a.sh", "#!/bin/sh\n", true),
                entry("jobs/empty.py", "", false),
                Entry::in_memory("jobs/mode.py", "x", true),
                Entry::in_memory("jobs/old.py", "new", false),
                Entry::in_memory("more/new.py", "old", false),
            ]
        };
        let plain = now(&|path, bytes, executable| Entry::in_memory(path, bytes, executable));
        let wanted = zipped(&plain, None);
        assert!(zipped(&plain, Some(&earlier)) == wanted);
        // What is taken over is not even read.
        assert!(zipped(&now(&gone), Some(&earlier)) == wanted);
        assert!(EarlierZip::read(b"no zip".to_vec(), []).is_none());
    }

    #[test]
    fn order_of_the_entries_plays_no_part() {
        let pack = |entries: &[Entry]| {
            let (mut zip, mut tar) = (Cursor::new(Vec::new()), Vec::new());
            write_zip(entries, None, u64::MAX, &mut zip).unwrap();
            write_tar(entries, &["empty"], &mut tar).unwrap();
            (zip.into_inner(), tar)
        };
        let mut reversed = entries();
        reversed.reverse();
        assert_eq!(pack(&entries()), pack(&reversed));
        let (_, tar) = pack(&entries());
        let mut archive = tar::Archive::new(&tar[..]);
        let listed: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let mode = entry.header().mode().unwrap();
                format!("{mode:o} {}", entry.path().unwrap().display())
            })
            .collect();
        let wanted = [
            "755 empty/",
            "755 jobs/",
            "755 jobs/a.sh",
            "644 jobs/b.py",
            "777 jobs/c.py",
        ];
        assert_eq!(listed, wanted);
    }

    #[test]
    fn an_archive_may_have_as_many_bytes_as_it_may_and_no_more() {
        let zip = |limit: u64| {
            let mut zip = Cursor::new(Vec::new());
            write_zip(&entries(), None, limit, &mut zip).map(|()| zip.into_inner())
        };
        let whole = zip(u64::MAX).unwrap();
        let size = whole.len() as u64;
        assert_eq!(zip(size).unwrap(), whole);
        for limit in [size - 1, size / 2, 0] {
            let error = zip(limit).unwrap_err();
            assert!(
                matches!(error, ArchiveError::TooLarge { limit: told } if told == limit),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_that_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.py");
        fs_err::write(&file, "a = 1\n").unwrap();
        let entry = Entry::of_file("a.py", &file, false).unwrap();
        for changed in ["a = 2\n", "a = 11\n", ""] {
            fs_err::write(&file, changed).unwrap();
            let zipped = write_zip(
                std::slice::from_ref(&entry),
                None,
                99,
                Cursor::new(Vec::new()),
            );
            assert_eq!(
                zipped.unwrap_err().to_string(),
                "`a.py` changed during the run"
            );
        }
    }
}
