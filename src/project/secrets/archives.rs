//! Archives: what is in a wheel, a jar or a source distribution is looked at as a file of its own.

use std::{
    borrow::Cow,
    io::{self, Cursor, Read, Seek},
};

use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

use super::{NamedKind, SecretFinding, scan};

/// How deep archives in archives are looked into.
const DEEPEST: usize = 3;

/// An archive in an archive is read into memory up to this size.
const LARGEST_INNER: u64 = 256 << 20;

/// The ends of the names of archives that are looked into where they are in another one.
const INNER: [&str; 13] = [
    "whl", "zip", "jar", "egg", "gz", "tgz", "pyz", "pex", "war", "docx", "xlsx", "pptx", "npz",
];

/// Files in an archive that unpacks to more are those of a bomb, not of a project.
const LONGEST: u64 = 16 << 30;

/// The first bytes of a zip file.
const ZIP: &[u8] = b"PK\x03\x04";

/// The first bytes of what gzip makes.
const GZIP: &[u8] = &[0x1f, 0x8b, 8];

/// What can be read again from another place.
trait ReadAndSeek: Read + Seek {}
impl<R: Read + Seek> ReadAndSeek for R {}

/// Looks for credentials in a file with this path, and in the files in it if it is an archive.
///
/// # Errors
/// The file cannot be read.
pub fn scan_file(file: impl Read + Seek, path: &str) -> io::Result<Vec<SecretFinding>> {
    scan_at(&mut { file }, path, 0)
}

fn scan_at(file: &mut dyn ReadAndSeek, path: &str, depth: usize) -> io::Result<Vec<SecretFinding>> {
    let mut magic = Vec::new();
    (&mut *file)
        .take(ZIP.len() as u64)
        .read_to_end(&mut magic)?;
    file.rewind()?;
    if depth < DEEPEST {
        if magic == ZIP
            && let Some(found) = scan_zip(file, depth)
        {
            return Ok(found);
        }
        file.rewind()?;
        if magic.starts_with(GZIP)
            && let Some(found) = scan_gzip(file, depth)?
        {
            return Ok(found);
        }
        file.rewind()?;
    }
    scan(file, NamedKind::of(path))
}

/// What is in a zip file; `None` if it is none after all.
fn scan_zip(file: &mut dyn ReadAndSeek, depth: usize) -> Option<Vec<SecretFinding>> {
    let mut archive = ZipArchive::new(file).ok()?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let Ok(mut member) = archive.by_index(index) else {
            // One that is encrypted, or packed in a way that nobody uses.
            continue;
        };
        let Ok(name) = member.name().map(Cow::into_owned) else {
            continue;
        };
        let size = member.size();
        let scanned = scan_member(&mut member, (&name, size), depth);
        // A member that is damaged is told by whoever unpacks it.
        let scanned = scanned.unwrap_or_default().into_iter();
        found.extend(scanned.map(|finding| finding.within(&name)));
    }
    Some(found)
}

/// What is in a member of an archive, which may be an archive too.
fn scan_member(
    member: &mut dyn Read,
    (name, size): (&str, u64),
    depth: usize,
) -> io::Result<Vec<SecretFinding>> {
    let end = name.rsplit('.').next().unwrap_or_default();
    let end = end.to_ascii_lowercase();
    if INNER.contains(&&*end) && size <= LARGEST_INNER {
        let mut bytes = Vec::new();
        member.take(LARGEST_INNER).read_to_end(&mut bytes)?;
        return scan_at(&mut Cursor::new(bytes), name, depth + 1);
    }
    scan(&mut member.take(LONGEST), NamedKind::of(name))
}

/// What is in a `tar.gz`, or in a file that is packed alone; `None` if it is neither.
fn scan_gzip(file: &mut dyn ReadAndSeek, depth: usize) -> io::Result<Option<Vec<SecretFinding>>> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(&mut *file).take(LONGEST));
    let mut found = Vec::new();
    let mut members = 0;
    for member in archive.entries()? {
        let Ok(mut member) = member else {
            break;
        };
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let size = member.size();
        let scanned = scan_member(&mut member, (&name, size), depth).unwrap_or_default();
        found.extend(scanned.into_iter().map(|finding| finding.within(&name)));
        members += 1;
    }
    if members > 0 {
        return Ok(Some(found));
    }
    file.rewind()?;
    let whole = scan(
        &mut MultiGzDecoder::new(file).take(LONGEST),
        NamedKind::Other,
    );
    Ok(whole.ok())
}
