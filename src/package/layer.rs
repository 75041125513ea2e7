//! Layers of images: a tar of files and its compressed form, with the same bytes on every machine.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
};

use super::{
    archive::{ArchiveError, write_tar},
    gzip,
};
use crate::{
    image::{Digest, Hasher, Layer},
    project::{ignore, tree::Entry},
};

/// Writes the compressed layer of `entries`, whose paths are those in the image, to `output`.
///
/// The entries and nothing else decide the bytes. `created_by` is the text of its entry in the history, which gets no
/// time.
///
/// # Errors
/// An input cannot be read or has changed, the output cannot be written, a name would delete a file of the parent, or
/// two entries exclude each other.
pub fn write_layer(
    entries: &[Entry],
    created_by: &str,
    output: impl Write,
) -> Result<Layer, ArchiveError> {
    refuse_what_a_layer_cannot_hold(entries)?;
    let mut blob = HashedWriter::new(output);
    let diff_id = gzip::compress(&mut blob, gzip::usual_threads(), |tar| {
        let mut tar = HashedWriter::new(tar);
        write_tar(entries, &[], &mut tar)?;
        Ok::<Digest, ArchiveError>(tar.finish().1)
    })?;
    let (size, digest) = blob.finish();
    Ok(Layer::gzip(digest, size, diff_id, created_by))
}

/// Writes the compressed layer of a tar, whose bytes stay as they are, to `output`.
///
/// # Errors
/// The tar cannot be read, or the output cannot be written.
pub fn compress(mut tar: impl Read, output: impl Write) -> Result<Layer, ArchiveError> {
    let mut blob = HashedWriter::new(output);
    let diff_id = gzip::compress(&mut blob, gzip::usual_threads(), |compressed| {
        let mut compressed = HashedWriter::new(compressed);
        io::copy(&mut tar, &mut compressed)?;
        Ok::<Digest, ArchiveError>(compressed.finish().1)
    })?;
    let (size, digest) = blob.finish();
    Ok(Layer::gzip(digest, size, diff_id, ""))
}

/// Fails if a name deletes a file of the parent, or if a path is there twice or is both a file and a folder: the order
/// in which a tar is unpacked would decide what is in the image.
fn refuse_what_a_layer_cannot_hold(entries: &[Entry]) -> Result<(), ArchiveError> {
    let mut paths = BTreeSet::new();
    for Entry { path, .. } in entries {
        if ignore::whiteout(path).is_some() {
            return Err(ArchiveError::Whiteout {
                path: ignore::escaped(path),
            });
        }
        if !paths.insert(path.as_str()) {
            return Err(twice(path));
        }
    }
    let is_folder = |path: &&str| {
        let inside = format!("{path}/");
        let mut after = paths.range(inside.as_str()..);
        after.next().is_some_and(|next| next.starts_with(&inside))
    };
    match paths.iter().copied().find(is_folder) {
        None => Ok(()),
        Some(path) => Err(twice(path)),
    }
}

fn twice(path: &str) -> ArchiveError {
    let message = format!("a layer would have `{path}` twice");
    io::Error::new(io::ErrorKind::InvalidInput, message).into()
}

/// A writer that counts and hashes the bytes written through it.
struct HashedWriter<W> {
    writer: W,
    size: u64,
    hasher: Hasher,
}

impl<W> HashedWriter<W> {
    fn new(writer: W) -> Self {
        Self {
            writer,
            size: 0,
            hasher: Hasher::default(),
        }
    }

    fn finish(self) -> (u64, Digest) {
        (self.size, self.hasher.finish())
    }
}

impl<W: Write> Write for HashedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use flate2::read::MultiGzDecoder;

    use super::*;
    use crate::{image::Descriptor, package::archive::time_of, project::tree::Content};

    const CREATED_BY: &str = "sparkpack job";

    fn made(entries: &[Entry]) -> (Layer, Vec<u8>) {
        let mut blob = Vec::new();
        let layer = write_layer(entries, CREATED_BY, &mut blob).unwrap();
        layer.check(&blob[..]).unwrap();
        (layer, blob)
    }

    fn link(path: &str, target: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            content: Content::Symlink {
                target: target.to_owned(),
            },
        }
    }

    /// Text that compresses like source code, of more than three members.
    fn long_text() -> String {
        let line = |number: usize| format!("value_{number} = {}\n", number * number % 7919);
        (0..180_000).map(line).collect()
    }

    fn sample() -> Vec<Entry> {
        let deep = format!("opt/job/site-packages/{}/deep.py", "folder/".repeat(20));
        vec![
            Entry::in_memory("opt/job/main.py", "print('main')\n", false),
            Entry::in_memory("opt/job/jobs.zip", long_text(), false),
            Entry::in_memory("opt/job/site-packages/a/run.sh", "#!/bin/sh\n", true),
            Entry::in_memory("opt/job/site-packages/a.py", "", false),
            Entry::in_memory("opt/job/site-packages/ä/ü.py", "1\n", false),
            Entry::in_memory(deep, "deep = True\n", false),
            link("opt/job/site-packages/a/link.py", "../a.py"),
        ]
    }

    /// What a reader finds: type, mode, owner, time, path, and content or target.
    fn seen(blob: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(MultiGzDecoder::new(blob));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let target = entry.link_name().unwrap();
            let target = target.map(|target| target.display().to_string());
            let header = entry.header().clone();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.username().unwrap(), Some(""));
            assert_eq!(header.groupname().unwrap(), Some(""));
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let is_file = header.entry_type().is_file();
            let time = is_file.then(|| time_of(&Digest::of(content.as_bytes())));
            assert_eq!(header.mtime().unwrap(), time.unwrap_or(0));
            let content =
                target.unwrap_or_else(|| Digest::of(content.as_bytes()).short(8).to_owned());
            format!("{:o} {path} {content}", header.mode().unwrap())
        });
        entries.collect()
    }

    #[test]
    fn a_reader_finds_what_was_put_in() {
        let digest = |text: &str| Digest::of(text.as_bytes()).short(8).to_owned();
        let (layer, blob) = made(&sample());
        let found = seen(&blob);
        let folders = found
            .iter()
            .filter(|row| row.starts_with("755 ") && row.contains("/ "));
        assert_eq!(folders.count(), 26, "{found:#?}");
        assert_eq!(found[0], format!("755 opt/ {}", digest("")));
        for wanted in [
            format!("644 opt/job/main.py {}", digest("print('main')\n")),
            format!("644 opt/job/jobs.zip {}", digest(&long_text())),
            format!(
                "755 opt/job/site-packages/a/run.sh {}",
                digest("#!/bin/sh\n")
            ),
            format!("644 opt/job/site-packages/ä/ü.py {}", digest("1\n")),
            "777 opt/job/site-packages/a/link.py ../a.py".to_owned(),
        ] {
            assert!(found.contains(&wanted), "{wanted} in {found:#?}");
        }
        assert_eq!(found.len(), 26 + 7);
        assert_eq!(layer.history.created_by().as_deref(), Some(CREATED_BY));
        assert_eq!(*layer.history.created(), None);
    }

    /// These digests are the format: whoever changes them makes every layer anew, on every machine.
    #[test]
    fn the_bytes_of_a_layer_are_golden() {
        let facts = |entries: &[Entry]| {
            let (layer, _) = made(entries);
            let Descriptor { digest, size, .. } = layer.descriptor;
            (digest.to_string(), size, layer.diff_id.to_string())
        };
        let main = Entry::in_memory("opt/job/main.py", "print('main')\n", false);
        let golden = |digest: &str, size: u64, diff_id: &str| {
            (
                format!("sha256:{digest}"),
                size,
                format!("sha256:{diff_id}"),
            )
        };
        assert_eq!(
            [facts(&[]), facts(&[main]), facts(&sample())],
            [
                golden(
                    "06ae4b1b2dae03cb12684d0259ec2396398d1ecd3bca5f90a47d4fdf194242ca",
                    28,
                    "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
                ),
                golden(
                    "5656ddb65c5f3fc75f113e156499272291d66d430d90a8b97e01cee0f564569a",
                    157,
                    "6f6a793fc7d7cacacc9c42accc35d0d87611c4832106f873de116b7c35d4839c",
                ),
                golden(
                    "8f0f4d56aa2113b02355c630daec992bbb97ca0d347d6be793c748d6f194c102",
                    959_002,
                    "1c6a9c60ae6489e7a7f616ec41df4aea5b494f29861febf772528f2f95f46f4d",
                ),
            ]
        );
    }

    #[test]
    fn order_of_the_entries_plays_no_part() {
        let mut entries = sample();
        let first = made(&entries);
        entries.reverse();
        assert!(made(&entries) == first);
        entries.swap(1, 4);
        assert!(made(&entries) == first);
    }

    #[test]
    fn a_file_that_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.py");
        fs_err::write(&file, "a = 1\n").unwrap();
        let entry = Entry::of_file("opt/a.py", &file, false).unwrap();
        for changed in ["a = 2\n", "a = 1", ""] {
            fs_err::write(&file, changed).unwrap();
            let written = write_layer(std::slice::from_ref(&entry), CREATED_BY, io::sink());
            let error = written.unwrap_err();
            assert!(matches!(error, ArchiveError::Changed { .. }), "{error}");
            assert_eq!(error.to_string(), "`opt/a.py` changed during the run");
        }
        fs_err::remove_file(&file).unwrap();
        let gone = write_layer(&[entry], CREATED_BY, io::sink());
        assert!(matches!(gone, Err(ArchiveError::Io(_))));
    }

    #[test]
    fn names_that_delete_are_refused() {
        for (path, is_refused) in [
            ("opt/.wh.a", true),
            (".wh..wh..opq", true),
            ("opt/.wh.a/b.py", true),
            ("opt/a.wh.", false),
            ("opt/wh.a", false),
        ] {
            let written = write_layer(&[Entry::in_memory(path, "", false)], CREATED_BY, io::sink());
            assert_eq!(written.is_err(), is_refused, "{path}");
            if let Err(error) = written {
                assert!(matches!(&error, ArchiveError::Whiteout { path: told } if told == path));
            }
        }
    }

    #[test]
    fn entries_that_exclude_each_other_are_refused() {
        let file = |path: &str| Entry::in_memory(path, "", false);
        for wrong in [["a/b", "a/b"], ["a", "a/b"], ["a/b/c", "a"]] {
            let written = write_layer(&wrong.map(file), CREATED_BY, io::sink());
            let message = written.unwrap_err().to_string();
            let wanted = format!("a layer would have `{}` twice", wrong[0].min(wrong[1]));
            assert_eq!(message, wanted);
        }
        made(&["a.py", "a", "a-b/c", "ab"].map(file));
    }
}
