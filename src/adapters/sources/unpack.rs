//! Unpacks archives into folders: only files, and links that stay inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Seek, Write},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::{
    SourceError,
    cache::{Unpacked, UnpackedContent},
};
use crate::{
    image::Hasher,
    project::{
        ignore::{WHITEOUT, escaped, whiteout},
        source::Unpack,
    },
};

/// The limit of the unpacked size, in bytes: no source is larger.
const SIZE_LIMIT: u64 = 32 << 30;

/// The folders of Spark that `PySpark`'s source distribution has in `deps`.
const SPARK_FOLDERS: [&str; 6] = ["jars", "bin", "sbin", "data", "examples", "licenses"];

/// Unpacks `archive` into `folder`; messages call it `shown`.
pub(super) fn unpack(
    archive: &Path,
    shown: &str,
    unpack: Unpack,
    folder: &Path,
) -> Result<Vec<Unpacked>, SourceError> {
    let mut file = fs_err::File::open(archive)?;
    let mut head = Vec::new();
    (&mut file).take(512).read_to_end(&mut head)?;
    file.rewind()?;
    let mut unpacker = Unpacker {
        shown,
        unpack,
        folder,
        found: BTreeMap::new(),
        folders: BTreeSet::new(),
        total: 0,
    };
    let buffered = io::BufReader::with_capacity(1 << 18, file);
    if head.starts_with(&[0x1f, 0x8b]) {
        unpacker.tar(MultiGzDecoder::new(buffered))?;
    } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        unpacker.zip(buffered)?;
    } else if head.get(257..262) == Some(b"ustar") {
        unpacker.tar(buffered)?;
    } else {
        return Err(unpacker.bad("it is neither a tar, a tar.gz nor a zip"));
    }
    if unpack == Unpack::Spark && !unpacker.folders.contains("jars") {
        return Err(unpacker.bad("it has no `jars`: it is no Spark distribution"));
    }
    if unpacker.found.is_empty() {
        return Err(unpacker.bad("it holds no file"));
    }
    let named = |(path, content)| Unpacked { path, content };
    Ok(unpacker.found.into_iter().map(named).collect())
}

struct Unpacker<'a> {
    shown: &'a str,
    unpack: Unpack,
    folder: &'a Path,
    found: BTreeMap<String, UnpackedContent>,
    folders: BTreeSet<String>,
    total: u64,
}

/// The kind of a member.
enum Member {
    File {
        executable: bool,
    },
    Symlink(String),
    /// A hard link to another member, by its name in the archive.
    HardLink(String),
}

impl Unpacker<'_> {
    fn tar(&mut self, reader: impl Read) -> Result<(), SourceError> {
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(|error| self.broken(&error))? {
            let mut entry = entry.map_err(|error| self.broken(&error))?;
            let name = entry.path_bytes().into_owned();
            let name = self.utf8(&name)?;
            let link = entry
                .link_name_bytes()
                .map(|link| self.utf8(&link))
                .transpose()?
                .unwrap_or_default();
            let kind = entry.header().entry_type();
            let member = match kind {
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    let mode = entry.header().mode().map_err(|error| self.broken(&error))?;
                    Member::File {
                        executable: mode & 0o100 != 0,
                    }
                }
                tar::EntryType::Directory => {
                    self.check_name(&name)?;
                    continue;
                }
                tar::EntryType::XGlobalHeader => continue,
                tar::EntryType::Symlink => Member::Symlink(link),
                tar::EntryType::Link => Member::HardLink(link),
                _ => {
                    return Err(self.unsafe_member(&name, "is neither a file, a folder nor a link"));
                }
            };
            self.add(&name, member, &mut entry)?;
        }
        Ok(())
    }

    fn zip(&mut self, reader: impl Read + Seek) -> Result<(), SourceError> {
        let mut archive = zip::ZipArchive::new(reader).map_err(|error| self.bad(&error))?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| self.bad(&error))?;
            let name = self.utf8(entry.name_raw())?;
            if entry.is_dir() {
                self.check_name(&name)?;
                continue;
            }
            let mode = entry.unix_mode().unwrap_or(0o644);
            let member = match mode & 0o170_000 {
                0o120_000 => {
                    let mut target = Vec::new();
                    (&mut entry)
                        .take(4096)
                        .read_to_end(&mut target)
                        .map_err(|error| self.broken(&error))?;
                    Member::Symlink(self.utf8(&target)?)
                }
                0 | 0o100_000 => Member::File {
                    executable: mode & 0o100 != 0,
                },
                _ => {
                    return Err(self.unsafe_member(&name, "is neither a file, a folder nor a link"));
                }
            };
            self.add(&name, member, &mut entry)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: &str,
        member: Member,
        reader: &mut dyn Read,
    ) -> Result<(), SourceError> {
        let parts = self.check_name(name)?;
        let Some(path) = self.destination(&parts) else {
            return Ok(());
        };
        self.claim(name, &path)?;
        let content = match member {
            Member::File { executable } => self.write(&path, executable, reader)?,
            Member::Symlink(target) => {
                self.check_target(name, &path, &target)?;
                UnpackedContent::Symlink { target }
            }
            Member::HardLink(target) => {
                let parts = self.check_name(&target)?;
                let linked = self
                    .destination(&parts)
                    .and_then(|linked| Some((self.found.get(&linked)?.clone(), linked)));
                match linked {
                    Some((UnpackedContent::File { executable, .. }, linked)) => {
                        let mut linked = fs_err::File::open(self.folder.join(linked))?;
                        self.write(&path, executable, &mut linked)?
                    }
                    _ => {
                        return Err(self.unsafe_member(
                            name,
                            &format!(
                                "is a hard link to `{}`, which is no file before it",
                                escaped(&target)
                            ),
                        ));
                    }
                }
            }
        };
        self.found.insert(path, content);
        Ok(())
    }

    /// The components of a member's name, if it stays inside.
    fn check_name(&self, name: &str) -> Result<Vec<String>, SourceError> {
        if name.starts_with('/') {
            return Err(self.unsafe_member(name, "has an absolute path"));
        }
        let mut parts = Vec::new();
        for part in name.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(self.unsafe_member(name, "leads out of the archive")),
                part if part.contains('\0') => {
                    return Err(self.unsafe_member(name, "has a NUL in its name"));
                }
                part => parts.push(part.to_owned()),
            }
        }
        Ok(parts)
    }

    /// The path that a member is unpacked to; `None` if it is skipped.
    fn destination(&self, parts: &[String]) -> Option<String> {
        let strip = match self.unpack {
            Unpack::Spark if parts.first()?.starts_with("pyspark-") => {
                let rest = parts.get(2..)?.join("/");
                return match (&*parts[1], parts.get(2)?) {
                    ("deps", folder) if SPARK_FOLDERS.contains(&&**folder) && parts.len() > 3 => {
                        Some(rest)
                    }
                    ("pyspark", _) => Some(format!("python/pyspark/{rest}")),
                    ("lib", _) => Some(format!("python/lib/{rest}")),
                    _ => None,
                };
            }
            Unpack::Spark => 1,
            Unpack::Archive { strip } => strip,
            Unpack::No => 0,
        };
        parts
            .get(strip..)
            .filter(|rest| !rest.is_empty())
            .map(|rest| rest.join("/"))
    }

    /// Reserves a path, which no other member may have and which may lead through no file or link.
    fn claim(&mut self, name: &str, path: &str) -> Result<(), SourceError> {
        if whiteout(path).is_some() {
            let reason =
                format!("would delete files of the parent: so does a layer by `{WHITEOUT}`");
            return Err(self.unsafe_member(name, &reason));
        }
        if self.found.contains_key(path) {
            return Err(self.unsafe_member(name, "is there twice"));
        }
        if self.folders.contains(path) {
            return Err(self.unsafe_member(name, "is a folder too"));
        }
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            if self.found.contains_key(folder) {
                return Err(self.unsafe_member(name, "lies below a file or a link"));
            }
            self.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    fn check_target(&self, name: &str, path: &str, target: &str) -> Result<(), SourceError> {
        let mut depth = path.matches('/').count();
        let mut inside = !target.is_empty() && !target.starts_with('/');
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." if depth == 0 => inside = false,
                ".." => depth -= 1,
                _ => depth += 1,
            }
        }
        if inside {
            return Ok(());
        }
        Err(self.unsafe_member(
            name,
            &format!("is a link out of the archive, to `{}`", escaped(target)),
        ))
    }

    fn write(
        &mut self,
        path: &str,
        executable: bool,
        reader: &mut dyn Read,
    ) -> Result<UnpackedContent, SourceError> {
        let file = self.folder.join(path);
        fs_err::create_dir_all(file.parent().unwrap_or(self.folder))?;
        let mut output = fs_err::File::create_new(&file)?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 17];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(&error)),
            };
            self.total += count as u64;
            if self.total > SIZE_LIMIT {
                return Err(self.bad(&format!("it unpacks to more than {} GiB", SIZE_LIMIT >> 30)));
            }
            hasher.update(&buffer[..count]);
            output.write_all(&buffer[..count])?;
        }
        Ok(UnpackedContent::File {
            digest: hasher.finish(),
            executable,
        })
    }

    fn utf8(&self, name: &[u8]) -> Result<String, SourceError> {
        std::str::from_utf8(name).map(str::to_owned).map_err(|_| {
            let name = String::from_utf8_lossy(name);
            self.unsafe_member(&name, "has a name that is not UTF-8")
        })
    }

    fn unsafe_member(&self, name: &str, reason: &str) -> SourceError {
        SourceError::UnsafeMember {
            archive: self.shown.to_owned(),
            member: escaped(name),
            reason: reason.to_owned(),
        }
    }

    /// The error for an archive that cannot be read to its end.
    fn broken(&self, error: &io::Error) -> SourceError {
        self.bad(error)
    }

    fn bad(&self, reason: &(impl ToString + ?Sized)) -> SourceError {
        SourceError::BadArchive {
            archive: self.shown.to_owned(),
            reason: reason.to_string(),
        }
    }
}
