//! The walk over a folder: every file with its digest, in an order that no machine changes.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fmt::Write as _,
    fs::Metadata,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, PermissionsExt},
    },
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use walkdir::WalkDir;

use crate::{
    image::Digest,
    project::tree::{Content, Entry, Location},
};

/// More files than this are hashed by several threads.
const FEW_FILES: usize = 64;

/// Links to folders can multiply a tree without end.
const ENTRIES_LIMIT: usize = 2_000_000;

/// Why a folder is no tree that can be built from; paths have no control characters.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TreeError {
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// In the tree; the root itself as it was given.
        path: String,
        /// The system's words.
        reason: String,
        /// Their kind.
        kind: io::ErrorKind,
    },
    /// The root is no folder.
    #[error("`{path}` is not a folder")]
    NoFolder {
        /// As it was given.
        path: String,
    },
    /// Something that has no content to be packed.
    #[error("`{path}` is a {kind}: only files, folders and symbolic links can be packed")]
    Special {
        /// In the tree.
        path: String,
        /// `FIFO`, `socket` or `device`.
        kind: &'static str,
    },
    /// A name that is not UTF-8.
    #[error("the name `{path}` is not UTF-8")]
    NotUtf8 {
        /// In the tree, with `\xff` for the bytes that are not UTF-8.
        path: String,
    },
    /// Two names that a laptop's disk takes for one.
    #[error(
        "`{first}` and `{second}` differ only in case: macOS and Windows keep only one of them"
    )]
    SameButForCase {
        /// In the tree.
        first: String,
        /// In the tree.
        second: String,
    },
    /// A link to somewhere else.
    #[error("the symbolic link `{path}` leads out of the tree: `{target}`")]
    LinkLeaves {
        /// In the tree.
        path: String,
        /// Its text.
        target: String,
    },
    /// A link to nothing.
    #[error("the symbolic link `{path}` leads nowhere: `{target}` is not there")]
    LinkDangles {
        /// In the tree.
        path: String,
        /// Its text.
        target: String,
    },
    /// A link to a folder that it lies in, or to itself.
    #[error("the symbolic link `{path}` leads back to where it came from")]
    LinkLoops {
        /// In the tree.
        path: String,
    },
    /// A tree without end.
    #[error("more than {ENTRIES_LIMIT} files below `{path}`")]
    TooMany {
        /// The root as it was given.
        path: String,
    },
}

impl TreeError {
    /// The code of the message.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "E070",
            Self::NoFolder { .. } => "E071",
            Self::Special { .. } => "E072",
            Self::NotUtf8 { .. } => "E073",
            Self::SameButForCase { .. } => "E074",
            Self::LinkLeaves { .. } => "E075",
            Self::LinkDangles { .. } => "E076",
            Self::LinkLoops { .. } => "E077",
            Self::TooMany { .. } => "E078",
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable {
                path,
                kind: io::ErrorKind::PermissionDenied,
                ..
            } => {
                format!(
                    "give yourself the right to read it (`chmod u+r`), or add `{path}` to `exclude`"
                )
            }
            Self::Unreadable { .. } => return None,
            Self::NoFolder { .. } => "name a folder".to_owned(),
            Self::Special { path, .. } => format!("remove it, or add `{path}` to `exclude`"),
            Self::NotUtf8 { .. } => "rename it".to_owned(),
            Self::SameButForCase { second, .. } => {
                format!("rename `{second}`, or add it to `exclude`")
            }
            Self::LinkLeaves { .. } => {
                "copy what it points to into the tree, or make it relative".to_owned()
            }
            Self::LinkDangles { path, .. } | Self::LinkLoops { path } => {
                format!("remove the link, or add `{path}` to `exclude`")
            }
            Self::TooMany { .. } => "choose a smaller folder, or use `exclude`".to_owned(),
        })
    }
}

/// What lies below a folder, found and not yet read.
#[derive(Debug)]
pub struct Listing {
    found: Vec<Found>,
    /// A folder that cannot be read: nobody knows what lies in it.
    unreadable: Option<TreeError>,
}

/// Something that the walk found.
#[derive(Debug)]
struct Found {
    path: String,
    file: PathBuf,
    kind: FoundKind,
}

#[derive(Debug)]
enum FoundKind {
    File(Metadata),
    Link(String),
    /// It can become part of no image; that is an error where somebody wants it.
    Defective(TreeError),
}

/// The digests of files that are known already, and those that become known.
pub trait Digests: Sync {
    /// The digest of a file, if it is known for this metadata.
    fn known(&self, file: &Path, metadata: &Metadata) -> Option<Digest>;
    /// A file has been read; `metadata` is that from before.
    fn learn(&self, file: &Path, metadata: &Metadata, digest: &Digest);
}

/// Lists the files and symbolic links below `root` that `keep` keeps; where links are followed, each is what it points to.
///
/// `keep` is asked for the path in the tree and whether it is a folder; what it refuses is never looked at.
///
/// # Errors
/// The root is no folder, or holds too much.
pub fn list(
    root: &Path,
    keep: &dyn Fn(&str, bool) -> bool,
    follow: bool,
) -> Result<Listing, TreeError> {
    let shown_root = escaped(root.as_os_str());
    let real_root = fs_err::canonicalize(root).map_err(|error| unreadable(&shown_root, &error))?;
    if !real_root.is_dir() {
        return Err(TreeError::NoFolder { path: shown_root });
    }
    let mut walker = WalkDir::new(&real_root)
        .min_depth(1)
        .follow_links(follow)
        .sort_by_file_name()
        .into_iter();
    let mut lister = Lister {
        root: &real_root,
        follow,
        found: Vec::new(),
        unreadable: None,
    };
    while let Some(next) = walker.next() {
        let entry = match next {
            Ok(entry) => entry,
            Err(error) => {
                lister.walk_error(&error, keep, &shown_root);
                continue;
            }
        };
        let relative = entry
            .path()
            .strip_prefix(&real_root)
            .unwrap_or(entry.path());
        let folder = entry.file_type().is_dir();
        let utf8 = relative.to_str();
        if !keep(utf8.unwrap_or(&relative.to_string_lossy()), folder) {
            if folder {
                walker.skip_current_dir();
            }
            continue;
        }
        let kind = match utf8 {
            Some(path) => lister.kind(path, &entry).transpose(),
            None => Some(Err(TreeError::NotUtf8 {
                path: escaped(relative.as_os_str()),
            })),
        };
        let path = relative.to_string_lossy().into_owned();
        if let Some(kind) = kind {
            lister.add(path, entry.into_path(), kind);
        }
        if lister.found.len() > ENTRIES_LIMIT {
            return Err(TreeError::TooMany { path: shown_root });
        }
    }
    lister
        .found
        .sort_by(|left, right| left.path.as_bytes().cmp(right.path.as_bytes()));
    Ok(Listing {
        found: lister.found,
        unreadable: lister.unreadable,
    })
}

impl Listing {
    /// The entries whose paths are wanted, sorted by the bytes of their paths; only files whose digest is not known are
    /// read.
    ///
    /// # Errors
    /// Whatever is wanted and cannot become part of an image: see [`TreeError`].
    pub fn choose(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        digests: &dyn Digests,
    ) -> Result<Vec<Entry>, TreeError> {
        if let Some(error) = &self.unreadable {
            return Err(error.clone());
        }
        let chosen: Vec<&Found> = self
            .found
            .iter()
            .filter(|found| wanted(&found.path))
            .collect();
        for found in &chosen {
            if let FoundKind::Defective(error) = &found.kind {
                return Err(error.clone());
            }
        }
        refuse_same_but_for_case(&chosen)?;
        hash(&chosen, digests)
    }
}

/// The entries of files: path in the tree, file, and what the file system says of it.
///
/// # Errors
/// One of them cannot be read.
pub fn read(
    files: Vec<(String, PathBuf, Metadata)>,
    digests: &dyn Digests,
) -> Result<Vec<Entry>, TreeError> {
    let found: Vec<Found> = files
        .into_iter()
        .map(|(path, file, metadata)| Found {
            path,
            file,
            kind: FoundKind::File(metadata),
        })
        .collect();
    hash(&found.iter().collect::<Vec<_>>(), digests)
}

/// Names, of folders too, that differ only in case.
fn refuse_same_but_for_case(chosen: &[&Found]) -> Result<(), TreeError> {
    let mut names: HashMap<String, &str> = HashMap::with_capacity(chosen.len());
    let mut folder = "";
    for found in chosen {
        let path = found.path.as_str();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut ends = vec![path.len()];
        if parent != folder {
            // Files of one folder follow each other: its own name and those above are looked at once.
            ends.extend(parent.match_indices('/').map(|(end, _)| end));
            ends.push(parent.len());
            folder = parent;
        }
        for end in ends.into_iter().filter(|end| *end > 0) {
            let name = &path[..end];
            match names.insert(name.to_ascii_lowercase(), name) {
                Some(other) if other != name => {
                    let mut both = [other, name];
                    both.sort_unstable();
                    let [first, second] = both.map(escaped);
                    return Err(TreeError::SameButForCase { first, second });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

struct Lister<'a> {
    root: &'a Path,
    follow: bool,
    found: Vec<Found>,
    unreadable: Option<TreeError>,
}

impl Lister<'_> {
    fn add(&mut self, path: String, file: PathBuf, kind: Result<FoundKind, TreeError>) {
        let kind = kind.unwrap_or_else(FoundKind::Defective);
        self.found.push(Found { path, file, kind });
    }

    /// What an entry is; nothing for a folder.
    fn kind(&self, path: &str, entry: &walkdir::DirEntry) -> Result<Option<FoundKind>, TreeError> {
        if entry.path_is_symlink() {
            let target = self.check_link(path, entry.path())?;
            if !self.follow {
                return Ok(Some(FoundKind::Link(target)));
            }
        }
        let kind = entry.file_type();
        if kind.is_dir() {
            return Ok(None);
        }
        let special = match () {
            () if kind.is_fifo() => Some("FIFO"),
            () if kind.is_socket() => Some("socket"),
            () if kind.is_block_device() || kind.is_char_device() => Some("device"),
            () => None,
        };
        if let Some(kind) = special {
            return Err(TreeError::Special {
                path: escaped(path),
                kind,
            });
        }
        let metadata = entry
            .metadata()
            .map_err(|error| unreadable(path, &error.into()))?;
        Ok(Some(FoundKind::File(metadata)))
    }

    /// The link's target, if it lies in the tree.
    fn check_link(&self, path: &str, link: &Path) -> Result<String, TreeError> {
        let target = fs_err::read_link(link).map_err(|error| unreadable(path, &error))?;
        let Some(text) = target.to_str() else {
            return Err(TreeError::NotUtf8 {
                path: escaped(target.as_os_str()),
            });
        };
        let (path, target) = (escaped(path), escaped(text));
        let real = match fs_err::canonicalize(link) {
            _ if text.starts_with('/') => return Err(TreeError::LinkLeaves { path, target }),
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TreeError::LinkDangles { path, target });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(unreadable(&path, &error));
            }
            Err(_) => return Err(TreeError::LinkLoops { path }),
        };
        if real.starts_with(self.root) {
            Ok(text.to_owned())
        } else {
            Err(TreeError::LinkLeaves { path, target })
        }
    }

    /// Dangling links and loops come as errors where links are followed.
    fn walk_error(
        &mut self,
        error: &walkdir::Error,
        keep: &dyn Fn(&str, bool) -> bool,
        shown_root: &str,
    ) {
        let file = error.path().unwrap_or(self.root);
        let relative = file.strip_prefix(self.root).unwrap_or(file);
        let path = relative.to_string_lossy();
        let folder = error.loop_ancestor().is_some();
        if !path.is_empty() && !keep(&path, folder) {
            return;
        }
        let shown = if path.is_empty() {
            shown_root.to_owned()
        } else {
            escaped(relative.as_os_str())
        };
        if folder {
            let looped = TreeError::LinkLoops { path: shown };
            self.add(path.into_owned(), file.to_owned(), Err(looped));
            return;
        }
        let kind = error
            .io_error()
            .map_or(io::ErrorKind::Other, io::Error::kind);
        let reason = error.io_error().map_or_else(|| error.to_string(), cause);
        let unreadable = TreeError::Unreadable {
            path: shown,
            reason,
            kind,
        };
        if file.is_symlink() {
            let defect = self.check_link(&path, file).err().unwrap_or(unreadable);
            self.add(path.into_owned(), file.to_owned(), Err(defect));
        } else {
            self.unreadable.get_or_insert(unreadable);
        }
    }
}

fn hash(found: &[&Found], digests: &dyn Digests) -> Result<Vec<Entry>, TreeError> {
    let threads = match found.len() {
        0..=FEW_FILES => 1,
        _ => std::thread::available_parallelism().map_or(1, Into::into),
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, found)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, found.get(at)?)))
        {
            done.push((index, entry_of(found, digests)));
        }
        done
    };
    let mut done = if threads == 1 {
        work()
    } else {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            running
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        })
    };
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, entry)| entry).collect()
}

fn entry_of(found: &Found, digests: &dyn Digests) -> Result<Entry, TreeError> {
    let content = match &found.kind {
        FoundKind::Defective(error) => return Err(error.clone()),
        FoundKind::Link(target) => Content::Symlink {
            target: target.clone(),
        },
        FoundKind::File(metadata) => {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let Some(digest) = digests.known(&found.file, metadata) else {
                let entry = Entry::of_file(&*found.path, &found.file, executable)
                    .map_err(|error| unreadable(&found.path, &error))?;
                if let Content::File { digest, .. } = &entry.content {
                    digests.learn(&found.file, metadata, digest);
                }
                return Ok(entry);
            };
            let location = Location::Disk(found.file.clone());
            Content::File {
                digest,
                executable,
                size: metadata.len(),
                location,
            }
        }
    };
    Ok(Entry {
        path: found.path.clone(),
        content,
    })
}

fn unreadable(path: &str, error: &io::Error) -> TreeError {
    TreeError::Unreadable {
        path: escaped(path),
        reason: cause(error),
        kind: error.kind(),
    }
}

/// The system's words without the path, which may hold control characters.
fn cause(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.source());
    inner.map_or_else(|| error.to_string(), ToString::to_string)
}

/// A path for people: control characters and those that turn the direction of text as `\u{..}`, other bytes as `\xff`.
#[must_use]
pub fn escaped(path: impl AsRef<OsStr>) -> String {
    let mut shown = String::new();
    for chunk in path.as_ref().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if character.is_control() || turns {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in files {
            let file = folder.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, path).unwrap();
        }
        folder
    }

    fn all(_: &str, _: bool) -> bool {
        true
    }

    /// Knows one digest for everything, or none.
    struct Known(Option<Digest>);

    impl Digests for Known {
        fn known(&self, _: &Path, _: &Metadata) -> Option<Digest> {
            self.0.clone()
        }

        fn learn(&self, _: &Path, _: &Metadata, _: &Digest) {}
    }

    fn walk(root: &Path, keep: &dyn Fn(&str, bool) -> bool) -> Result<Vec<Entry>, TreeError> {
        list(root, keep, false)?.choose(&|_| true, &Known(None))
    }

    fn walk_following(
        root: &Path,
        keep: &dyn Fn(&str, bool) -> bool,
    ) -> Result<Vec<Entry>, TreeError> {
        list(root, keep, true)?.choose(&|_| true, &Known(None))
    }

    fn paths(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| &*entry.path).collect()
    }

    #[test]
    fn files_come_sorted_by_bytes_with_digest_and_bit() {
        let folder = folder(&["b/x.py", "b.py", "a/z", "é", "B2"]);
        let mode = std::fs::Permissions::from_mode(0o744);
        fs_err::set_permissions(folder.path().join("b.py"), mode).unwrap();
        symlink("x.py", folder.path().join("b/link")).unwrap();
        let entries = walk(folder.path(), &all).unwrap();
        assert_eq!(
            paths(&entries),
            ["B2", "a/z", "b.py", "b/link", "b/x.py", "é"]
        );
        let Content::File {
            digest,
            executable: true,
            size: 4,
            ..
        } = &entries[2].content
        else {
            panic!("{:?}", entries[2]);
        };
        assert_eq!(*digest, Digest::of(b"b.py"));
        assert!(matches!(
            &entries[0].content,
            Content::File {
                executable: false,
                ..
            }
        ));
        assert_eq!(
            entries[3].content,
            Content::Symlink {
                target: "x.py".to_owned()
            }
        );
    }

    #[test]
    fn what_is_not_kept_is_not_looked_at() {
        let folder = folder(&["a", "out/x"]);
        let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
        symlink("/nowhere", folder.path().join("out/link")).unwrap();
        let entries = walk(folder.path(), &|path, is_folder| path == "a" && !is_folder).unwrap();
        assert_eq!(paths(&entries), ["a"]);
        let entries = walk_following(folder.path(), &|path, _| path == "a").unwrap();
        assert_eq!(paths(&entries), ["a"]);
    }

    #[test]
    fn many_files_are_hashed_the_same() {
        let names: Vec<String> = (0..300)
            .map(|number| format!("d{}/f{number:03}", number % 7))
            .collect();
        let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let entries = walk(folder.path(), &all).unwrap();
        assert_eq!(entries.len(), 300);
        for entry in &entries {
            let Content::File { digest, .. } = &entry.content else {
                panic!()
            };
            assert_eq!(*digest, Digest::of(entry.path.as_bytes()));
        }
        assert!(entries.is_sorted_by(|left, right| left.path < right.path));
        let listing = list(folder.path(), &all, false).unwrap();
        let known = Known(Some(Digest::of(b"known")));
        let known = listing.choose(&|_| true, &known).unwrap();
        assert!(known.iter().all(|entry| matches!(&entry.content, Content::File { digest, .. } if *digest == Digest::of(b"known"))));
    }

    #[test]
    fn what_nobody_wants_may_be_anything() {
        let folder = folder(&["a", "d/x"]);
        let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
        symlink("/nowhere", folder.path().join("link")).unwrap();
        fs_err::write(folder.path().join("A"), "").unwrap();
        fs_err::write(folder.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        for follow in [false, true] {
            let listing = list(folder.path(), &all, follow).unwrap();
            let entries = listing.choose(&|path| path == "a" || path == "d/x", &Known(None));
            assert_eq!(paths(&entries.unwrap()), ["a", "d/x"]);
            for (wanted, code) in [("a", "E074"), ("socket", "E072"), ("link", "E075")] {
                let both = |path: &str| path.eq_ignore_ascii_case(wanted);
                let error = listing.choose(&both, &Known(None)).unwrap_err();
                assert_eq!(error.code(), code);
            }
        }
        fs_err::create_dir(folder.path().join("D")).unwrap();
        fs_err::write(folder.path().join("D/y"), "").unwrap();
        let listing = list(folder.path(), &all, false).unwrap();
        let folders = |path: &str| path.eq_ignore_ascii_case("d/x") || path == "D/y";
        let error = listing.choose(&folders, &Known(None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`D` and `d` differ only in case: macOS and Windows keep only one of them"
        );
    }

    type Damage = fn(&Path);

    #[test]
    fn what_cannot_be_packed_is_refused_by_name() {
        let cases: [(Damage, &str, &str); 8] = [
            (
                |root| drop(UnixListener::bind(root.join("d/s")).unwrap()),
                "E072",
                "`d/s` is a socket: only files, folders and symbolic links can be packed",
            ),
            (
                |root| fs_err::write(root.join(OsStr::from_bytes(b"d/\xff\n")), "").unwrap(),
                "E073",
                "the name `d/\\xff\\n` is not UTF-8",
            ),
            (
                |root| fs_err::write(root.join("D"), "").unwrap(),
                "E074",
                "`D` and `d` differ only in case: macOS and Windows keep only one of them",
            ),
            (
                |root| symlink("/etc/passwd", root.join("l")).unwrap(),
                "E075",
                "the symbolic link `l` leads out of the tree: `/etc/passwd`",
            ),
            (
                |root| symlink("../..", root.join("d/l")).unwrap(),
                "E075",
                "the symbolic link `d/l` leads out of the tree: `../..`",
            ),
            (
                |root| symlink("no\u{1b}", root.join("l")).unwrap(),
                "E076",
                "the symbolic link `l` leads nowhere: `no\\u{1b}` is not there",
            ),
            (
                |root| symlink("l", root.join("l")).unwrap(),
                "E077",
                "the symbolic link `l` leads back to where it came from",
            ),
            (
                |root| {
                    symlink("..", root.join("d/out")).unwrap();
                    symlink("d/out/../..", root.join("l")).unwrap();
                },
                "E075",
                "the symbolic link `l` leads out of the tree: `d/out/../..`",
            ),
        ];
        for (damage, code, message) in cases {
            let folder = folder(&["d/a"]);
            damage(folder.path());
            let error = walk(folder.path(), &all).unwrap_err();
            assert_eq!((error.code(), &*error.to_string()), (code, message));
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn a_fifo_does_not_block() {
        let folder = folder(&["a"]);
        let fifo = folder.path().join("fifo");
        #[expect(
            clippy::disallowed_methods,
            reason = "the standard library makes no FIFO"
        )]
        let made = std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap();
        assert!(made.success());
        assert_eq!(walk(folder.path(), &all).unwrap_err().code(), "E072");
        assert_eq!(
            walk_following(folder.path(), &all).unwrap_err().code(),
            "E072"
        );
    }

    #[test]
    fn roots_are_named() {
        let folder = folder(&["file"]);
        assert_eq!(
            walk(&folder.path().join("file"), &all)
                .map(drop)
                .unwrap_err()
                .code(),
            "E071"
        );
        let missing = walk(&folder.path().join("missing"), &all)
            .map(drop)
            .unwrap_err();
        assert_eq!(missing.code(), "E070");
        assert!(
            missing.to_string().contains("missing`: No such file"),
            "{missing}"
        );
    }

    #[test]
    fn links_are_followed_for_job_sources() {
        let folder = folder(&["real/a.py", "real/deep/b.py"]);
        symlink("real", folder.path().join("link")).unwrap();
        symlink("real/a.py", folder.path().join("c.py")).unwrap();
        let entries = walk_following(folder.path(), &all).unwrap();
        assert_eq!(
            paths(&entries),
            [
                "c.py",
                "link/a.py",
                "link/deep/b.py",
                "real/a.py",
                "real/deep/b.py"
            ]
        );
        assert!(
            matches!(&entries[0].content, Content::File { digest, .. } if *digest == Digest::of(b"real/a.py"))
        );
        symlink("..", folder.path().join("real/up")).unwrap();
        assert_eq!(
            walk_following(folder.path(), &all).unwrap_err().code(),
            "E077"
        );
        fs_err::remove_file(folder.path().join("real/up")).unwrap();
        for (target, code) in [("/etc", "E075"), ("nothing", "E076"), ("x", "E077")] {
            let link = folder.path().join("x");
            symlink(target, &link).unwrap();
            assert_eq!(
                walk_following(folder.path(), &all).unwrap_err().code(),
                code,
                "{target}"
            );
            fs_err::remove_file(link).unwrap();
        }
    }

    #[test]
    fn names_are_shown_without_control_bytes() {
        assert_eq!(
            escaped(OsStr::from_bytes(b"a\xff\x1b[31m\n")),
            "a\\xff\\u{1b}[31m\\n"
        );
        assert_eq!(escaped("a\u{202e}b é"), "a\\u{202e}b é");
    }
}
