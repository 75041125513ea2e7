use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read},
};

use super::super::{ImageConfig, ImageError, zstd::Frames};
use flate2::bufread::MultiGzDecoder;

/// A layer with more files is refused: their names would take more memory than a run may have.
const FILES_LIMIT: usize = 2_000_000;
/// The limit for all contents of a layer that are kept, in bytes.
const KEPT_LIMIT: usize = 64 << 20;
/// The limits for single contents, in bytes.
const TEXT_LIMIT: u64 = 64 << 10;
const PROGRAM_LIMIT: u64 = 4 << 10;
const STATUS_LIMIT: u64 = 32 << 20;
const LIBRARY_LIMIT: u64 = 16 << 20;

/// What the GNU C library says of itself in its own file, before its version.
const GLIBC: &[u8] = b"stable release version ";

/// The package of the GNU C library, in the list of Debian's packages.
const GLIBC_PACKAGE: &str = "libc6";

/// The name of a file by which a layer deletes one of the layers below begins so.
const WHITEOUT: &str = ".wh.";
/// The name of the file by which a layer hides all that the layers below have in its folder.
const OPAQUE: &str = ".wh..wh..opq";

/// Reads layers of one image.
#[derive(Clone, Debug)]
pub struct LayerScanner {
    /// The names of the programs that start a container: they may be scripts.
    starting: BTreeSet<String>,
}

/// What a layer has: names, and the contents that tell something.
#[derive(Debug, Default)]
pub struct LayerContents {
    pub(super) files: Vec<(String, Node)>,
    /// The paths that it deletes.
    pub(super) deleted: Vec<String>,
    /// The folders of which it hides what is below.
    pub(super) opaque: Vec<String>,
}

/// A file of a layer, or of all layers together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Folder {
        mode: u32,
        owner: u64,
    },
    /// With its content, or the part of it that is needed, if it may tell something.
    File(Option<Vec<u8>>),
    Link(String),
    /// Another name of the file at this path.
    Hard(String),
}

/// The part of a file that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeptPart {
    Nothing,
    Beginning(u64),
    /// Up to the first empty line.
    Headers,
    /// All of it if it is a script.
    Script,
    /// The line with the version of the C library.
    Library,
    /// The same, from the list of packages.
    Status,
}

impl LayerScanner {
    /// For the layers of the image with this config.
    ///
    /// # Errors
    /// The config is malformed.
    pub fn new(config: &ImageConfig) -> Result<Self, ImageError> {
        let words = config.entrypoint()?;
        let names = words.iter().map(|word| name_of(word).to_owned());
        Ok(Self {
            starting: names.collect(),
        })
    }

    /// Reads a layer to its end: a tar, plain or compressed by gzip or zstd, which its first bytes tell.
    ///
    /// # Errors
    /// It cannot be decompressed, is no tar, or has too many files.
    pub fn scan(&self, layer: impl Read) -> Result<LayerContents, ImageError> {
        let mut reader = BufReader::with_capacity(128 << 10, layer);
        let scanned = self.scan_buffered(&mut reader);
        let scanned = scanned.map_err(ImageError::Unpack)?;
        // What follows the archive's end belongs to the bytes as well, which the caller may want to compare.
        io::copy(&mut reader, &mut io::sink()).map_err(ImageError::Unpack)?;
        Ok(scanned)
    }

    fn scan_buffered(&self, reader: &mut impl BufRead) -> io::Result<LayerContents> {
        let begins = reader.fill_buf()?;
        if begins.starts_with(&[0x1f, 0x8b]) {
            return self.scan_tar(MultiGzDecoder::new(reader));
        }
        if begins.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return self.scan_tar(Frames::new(reader));
        }
        self.scan_tar(reader)
    }

    fn scan_tar(&self, tar: impl Read) -> io::Result<LayerContents> {
        let mut contents = LayerContents::default();
        let mut archive = tar::Archive::new(tar);
        let mut kept = 0;
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let path = normal(&path);
            if contents.files.len() >= FILES_LIMIT {
                return Err(io::Error::other("it has more than two million files"));
            }
            let header = entry.header();
            let kind = header.entry_type();
            let target = entry.link_name_bytes();
            let target = target.map(|target| String::from_utf8_lossy(&target).into_owned());
            let node = match (kind, target) {
                _ if contents.hides(&path) => continue,
                (tar::EntryType::Directory, _) => Node::Folder {
                    // An empty field is a zero, for daemons too.
                    mode: header.mode().unwrap_or_default(),
                    owner: header.uid().unwrap_or_default(),
                },
                (tar::EntryType::Symlink, Some(target)) => Node::Link(target),
                (tar::EntryType::Link, Some(target)) => Node::Hard(normal(&target)),
                (kind, _) if kind.is_file() => {
                    let content = self.content(&path, &mut entry)?;
                    kept += content.as_ref().map_or(0, Vec::len);
                    if kept > KEPT_LIMIT {
                        return Err(io::Error::other("too much in it describes packages"));
                    }
                    Node::File(content)
                }
                _ => continue,
            };
            contents.files.push((path, node));
        }
        Ok(contents)
    }

    /// The part of a file that may tell something.
    fn content(&self, path: &str, file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        let (limit, part) = match self.part(path) {
            KeptPart::Nothing => return Ok(None),
            KeptPart::Library => return version_in_library(file),
            KeptPart::Status => return version_in_status(file),
            part @ KeptPart::Beginning(limit) => (limit, part),
            part => (TEXT_LIMIT, part),
        };
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content)?;
        match part {
            KeptPart::Script if !content.starts_with(b"#!") => return Ok(None),
            KeptPart::Headers => {
                let text = String::from_utf8_lossy(&content).replace("\r\n", "\n");
                let headers = text.split("\n\n").next().unwrap_or_default();
                content = headers.as_bytes().to_vec();
            }
            _ => {}
        }
        Ok(Some(content))
    }

    fn part(&self, path: &str) -> KeptPart {
        let name = name_of(path);
        let folder = path.strip_suffix(name).unwrap_or_default();
        let folder = name_of(folder.trim_end_matches('/'));
        let is_package = folder.ends_with(".dist-info") || folder.ends_with(".egg-info");
        match name {
            "METADATA" | "PKG-INFO" if is_package => KeptPart::Headers,
            name if name.ends_with(".egg-info") => KeptPart::Headers,
            "release" | "os-release" | "pyvenv.cfg" => KeptPart::Beginning(PROGRAM_LIMIT),
            "passwd" if path == "etc/passwd" => KeptPart::Beginning(TEXT_LIMIT),
            "java" if folder == "bin" => KeptPart::Beginning(PROGRAM_LIMIT),
            name if folder == "bin" && name.starts_with("python") => {
                KeptPart::Beginning(PROGRAM_LIMIT)
            }
            "libc.so.6" => KeptPart::Library,
            name if is_old_glibc(name) => KeptPart::Library,
            "status" if path == "var/lib/dpkg/status" => KeptPart::Status,
            name if is_of(name, "sh") || self.starting.contains(name) => KeptPart::Script,
            _ => KeptPart::Nothing,
        }
    }
}

impl LayerContents {
    /// Notes what a whiteout hides; `false` if the path is none.
    fn hides(&mut self, path: &str) -> bool {
        let name = name_of(path);
        let folder = path.strip_suffix(name).unwrap_or_default();
        if name == OPAQUE {
            self.opaque.push(folder.trim_end_matches('/').to_owned());
        } else if name.starts_with(".wh..wh.") {
            // Notes of the program that made the layer.
        } else if let Some(deleted) = name.strip_prefix(WHITEOUT) {
            self.deleted.push(format!("{folder}{deleted}"));
        } else {
            return false;
        }
        true
    }
}

/// Whether a name is that of the C library before 2.34: `libc-2.31.so`.
fn is_old_glibc(name: &str) -> bool {
    let version = name.strip_prefix("libc-2.");
    version.is_some_and(|rest| is_of(rest, "so"))
}

/// The version in the file of the C library: the text behind [`GLIBC`].
fn version_in_library(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut window: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut file = file.take(LIBRARY_LIMIT);
    loop {
        let count = file.read(&mut buffer)?;
        window.extend_from_slice(&buffer[..count]);
        let found = window.windows(GLIBC.len()).position(|part| part == GLIBC);
        if let Some(at) = found.filter(|at| count == 0 || window.len() > at + 64) {
            let rest = &window[at + GLIBC.len()..];
            let is_version = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
            return Ok(Some(rest.iter().take_while(is_version).copied().collect()));
        }
        if count == 0 {
            return Ok(None);
        }
        let keep = window.len().saturating_sub(128);
        if found.is_none() {
            window.drain(..keep);
        }
    }
}

/// The version of the C library in the list of Debian's packages.
fn version_in_status(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut is_glibc = false;
    for line in BufReader::new(file.take(STATUS_LIMIT)).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some(package) = line.strip_prefix("Package:") {
            is_glibc = package.trim() == GLIBC_PACKAGE;
        } else if let Some(version) = line.strip_prefix("Version:").filter(|_| is_glibc) {
            return Ok(Some(version.trim().as_bytes().to_vec()));
        }
    }
    Ok(None)
}

/// Whether a name ends with a dot and `end`, in lower case.
pub(super) fn is_of(name: &str, end: &str) -> bool {
    let stem = name.strip_suffix(end);
    stem.is_some_and(|stem| stem.ends_with('.'))
}

/// The last component of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path without a slash at its ends, and without `.`; `..` never leads out of the root.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
