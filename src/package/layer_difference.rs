//! The first difference between two layers.

use std::{
    cmp::Ordering,
    io::{self, Read},
};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry};

/// What a layer has that another one has not, or has in another form; `None` if both have the same files in the same order.
/// Both are compressed by gzip.
///
/// # Errors
/// One of them cannot be read.
pub fn first_difference(there: impl Read, made: impl Read) -> io::Result<Option<String>> {
    let mut there = Archive::new(MultiGzDecoder::new(there));
    let mut made = Archive::new(MultiGzDecoder::new(made));
    let (mut there, mut made) = (there.entries()?, made.entries()?);
    loop {
        let (mut there, mut made) = match (there.next().transpose()?, made.next().transpose()?) {
            (None, None) => return Ok(None),
            (Some(there), None) => return Ok(Some(only("in the registry", &there))),
            (None, Some(made)) => return Ok(Some(only("in what was made", &made))),
            (Some(there), Some(made)) => (there, made),
        };
        let difference = match path(&there).cmp(&path(&made)) {
            Ordering::Less => Some(only("in the registry", &there)),
            Ordering::Greater => Some(only("in what was made", &made)),
            Ordering::Equal => of_entries(&mut there, &mut made)?,
        };
        if difference.is_some() {
            return Ok(difference);
        }
    }
}

fn path<R: Read>(entry: &Entry<'_, R>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).into_owned()
}

fn only<R: Read>(place: &str, entry: &Entry<'_, R>) -> String {
    format!("`{}` is only {place}", path(entry))
}

/// What differs in two entries with one path.
fn of_entries<A: Read, B: Read>(
    there: &mut Entry<'_, A>,
    made: &mut Entry<'_, B>,
) -> io::Result<Option<String>> {
    let name = path(there);
    let (left, right) = (there.header(), made.header());
    let octal = |mode: u32| format!("{mode:04o}");
    let rows = [
        ("mode", octal(left.mode()?), octal(right.mode()?)),
        ("owner", left.uid()?.to_string(), right.uid()?.to_string()),
        ("group", left.gid()?.to_string(), right.gid()?.to_string()),
        (
            "time",
            left.mtime()?.to_string(),
            right.mtime()?.to_string(),
        ),
        ("type", kind(left), kind(right)),
        ("target", target(there), target(made)),
        ("size", there.size().to_string(), made.size().to_string()),
    ];
    if let Some((what, there, made)) = rows.into_iter().find(|(_, there, made)| there != made) {
        return Ok(Some(format!(
            "`{name}` has the {what} {there} in the registry, and {made} in what was made"
        )));
    }
    let offset = first_byte(there, made)?;
    Ok(offset.map(|offset| format!("`{name}` differs from byte {offset} on")))
}

fn kind(header: &tar::Header) -> String {
    format!("{:?}", header.entry_type())
}

fn target<R: Read>(entry: &Entry<'_, R>) -> String {
    let target = entry.link_name_bytes().unwrap_or_default();
    String::from_utf8_lossy(&target).into_owned()
}

/// The offset of the first byte that differs.
fn first_byte(there: &mut impl Read, made: &mut impl Read) -> io::Result<Option<u64>> {
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut offset = 0;
    loop {
        let count = there.read(&mut left)?;
        if count == 0 {
            return Ok(None);
        }
        made.read_exact(&mut right[..count])?;
        let mut pairs = left[..count].iter().zip(&right[..count]);
        if let Some(at) = pairs.position(|(left, right)| left != right) {
            return Ok(Some(offset + at as u64));
        }
        offset += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// The layer of files with these paths, modes and contents.
    fn layer(files: &[(&str, u32, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, mode, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        gzip.finish().unwrap()
    }

    fn difference(there: &[(&str, u32, &str)], made: &[(&str, u32, &str)]) -> Option<String> {
        first_difference(&*layer(there), &*layer(made)).unwrap()
    }

    #[test]
    fn the_first_file_that_differs_is_named_with_what_differs() {
        let usual = [("a", 0o644, "one"), ("b", 0o644, "two")];
        assert_eq!(difference(&usual, &usual), None);
        let changed = [("a", 0o644, "one"), ("b", 0o644, "twO")];
        let told = |files: &[(&str, u32, &str)]| difference(&usual, files).unwrap();
        assert_eq!(told(&changed), "`b` differs from byte 2 on");
        let mode = "`a` has the mode 0644 in the registry, and 0755 in what was made";
        assert_eq!(told(&[("a", 0o755, "one"), usual[1]]), mode);
        let size = "`b` has the size 3 in the registry, and 5 in what was made";
        assert_eq!(told(&[usual[0], ("b", 0o644, "three")]), size);
        assert_eq!(told(&usual[..1]), "`b` is only in the registry");
        assert_eq!(told(&usual[1..]), "`a` is only in the registry");
        let more = [usual[0], ("aa", 0o644, ""), usual[1]];
        assert_eq!(told(&more), "`aa` is only in what was made");
    }

    #[test]
    fn what_differs_only_after_much_is_found() {
        let long = "x".repeat(200_000);
        let other = format!("{}y", &long[1..]);
        assert_eq!(
            difference(&[("a", 0o644, &long)], &[("a", 0o644, &other)]).unwrap(),
            "`a` differs from byte 199999 on"
        );
    }
}
