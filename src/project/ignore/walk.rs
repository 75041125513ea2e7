//! The walk over a folder: every file with its digest, in an order that is the same on every machine.

use std::{
    borrow::Cow,
    collections::HashMap,
    ffi::OsStr,
    fmt::Write as _,
    fs::{FileType, Metadata},
    io,
    ops::Range,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::prelude::*;

use crate::{
    code::Code,
    image::Digest,
    project::{
        folded::{Spelling, by_numbers, differ_in_form_alone, folded},
        tree::{Content, Entry, Location},
    },
};

/// More files than this are looked up and sorted by several threads, which take longer to start than one thread needs
/// for so many.
const FEW_FILES: usize = 2_000;

/// More files than this are read by several threads.
const FEW_READS: usize = 32;

/// More waiting folders than this are read by several threads.
const FEW_FOLDERS: usize = 128;

/// Links to folders can make a tree endless.
const ENTRIES_LIMIT: usize = 2_000_000;

/// Why no image can be built from a folder. Paths are escaped: they have no control characters.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TreeError {
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// The path in the tree; for the root, as it was given.
        path: String,
        /// The system's message.
        reason: String,
        /// The kind of the system's error.
        kind: io::ErrorKind,
    },
    /// The root is no folder.
    #[error("`{path}` is not a folder")]
    NoFolder {
        /// As it was given.
        path: String,
    },
    /// Something without content that could be packed.
    #[error("`{path}` is a {kind}: only files, folders and symbolic links can be packed")]
    Special {
        /// The path in the tree.
        path: String,
        /// `FIFO`, `socket` or `device`.
        kind: &'static str,
    },
    /// A name that is not UTF-8.
    #[error("the name `{path}` is not UTF-8")]
    NotUtf8 {
        /// The path in the tree, with `\xff` for bytes that are not UTF-8.
        path: String,
    },
    /// Two names that macOS takes for one: the same letters in two forms of Unicode.
    #[error(
        "`{first}` and `{second}` are the same letters in two forms of Unicode: macOS keeps only one of them"
    )]
    SameButForForm {
        /// The path in the tree, with the numbers of its letters.
        first: String,
        /// The path in the tree, with the numbers of its letters.
        second: String,
    },
    /// Two names that a case-insensitive file system takes for one.
    #[error(
        "`{first}` and `{second}` differ only in case: macOS and Windows keep only one of them"
    )]
    SameButForCase {
        /// The path in the tree.
        first: String,
        /// The path in the tree.
        second: String,
    },
    /// A link whose target lies outside the tree.
    #[error("the symbolic link `{path}` leads out of the {tree}: `{target}`")]
    LinkLeaves {
        /// The path in the tree.
        path: String,
        /// Its text.
        target: String,
        /// What it must not leave: `tree` or `project`.
        tree: &'static str,
    },
    /// A link whose target does not exist.
    #[error("the symbolic link `{path}` leads nowhere: `{target}` is not there")]
    LinkDangles {
        /// The path in the tree.
        path: String,
        /// Its text.
        target: String,
    },
    /// A link to itself, or to a folder that it lies in.
    #[error("the symbolic link `{path}` leads back to where it came from")]
    LinkLoops {
        /// The path in the tree.
        path: String,
    },
    /// A name that deletes a file of the layers below, once it is in a layer.
    #[error(
        "`{path}`: a layer deletes the parent's files by names that begin with `{WHITEOUT}`, so `{name}` would not become a file of the image"
    )]
    Whiteout {
        /// The path in the tree.
        path: String,
        /// The name in it.
        name: String,
    },
    /// The tree has too many entries.
    #[error("more than {ENTRIES_LIMIT} files below `{path}`")]
    TooMany {
        /// The root as it was given.
        path: String,
    },
}

impl TreeError {
    /// The error code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unreadable { .. } => Code::E070,
            Self::NoFolder { .. } => Code::E071,
            Self::Special { .. } => Code::E072,
            Self::NotUtf8 { .. } => Code::E073,
            Self::SameButForCase { .. } | Self::SameButForForm { .. } => Code::E074,
            Self::LinkLeaves { .. } => Code::E075,
            Self::LinkDangles { .. } => Code::E076,
            Self::LinkLoops { .. } => Code::E077,
            Self::Whiteout { .. } => Code::E068,
            Self::TooMany { .. } => Code::E078,
        }
    }

    /// The error for a path with a [`whiteout`] in it.
    #[must_use]
    pub fn of_whiteout(path: &str) -> Self {
        Self::Whiteout {
            path: escaped(path),
            name: escaped(whiteout(path).unwrap_or(path)),
        }
    }

    /// The error for two names that a disk may take for one.
    #[must_use]
    pub fn of_same(first: &str, second: &str) -> Self {
        let mut both = [first, second];
        both.sort_unstable();
        if differ_in_form_alone(first, second) {
            let [first, second] = both.map(|name| by_numbers(&escaped(name)));
            return Self::SameButForForm { first, second };
        }
        let [first, second] = both.map(escaped);
        Self::SameButForCase { first, second }
    }

    /// How to correct it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable {
                path,
                kind: io::ErrorKind::PermissionDenied,
                ..
            } => {
                format!(
                    "give yourself the right to read it (`chmod u+r`), or leave `{path}` out by `exclude` or `.dockerignore`"
                )
            }
            Self::Unreadable { .. } => return None,
            Self::NoFolder { .. } => "name a folder".to_owned(),
            Self::Special { path, .. } => {
                format!("remove it, or leave `{path}` out by `exclude` or `.dockerignore`")
            }
            Self::NotUtf8 { .. } => "rename it".to_owned(),
            Self::SameButForCase { second, .. } => {
                format!(
                    "rename `{second}` (`git mv`), or leave it out by `exclude` or `.dockerignore`"
                )
            }
            Self::SameButForForm { .. } => {
                "remove or rename one of them (`git rm`, `git mv`)".to_owned()
            }
            Self::LinkLeaves { tree, .. } => {
                format!("copy what it points to into the {tree}, or make it relative")
            }
            Self::LinkDangles { path, .. } | Self::LinkLoops { path } => {
                format!("remove the link, or leave `{path}` out by `exclude` or `.dockerignore`")
            }
            Self::Whiteout { path, .. } => {
                format!("rename it, or leave `{path}` out by `exclude` or `.dockerignore`")
            }
            Self::TooMany { .. } => "choose a smaller folder, or use `exclude`".to_owned(),
        })
    }
}

/// The beginning of the names by which a layer deletes files of those below it.
pub const WHITEOUT: &str = ".wh.";

/// The part of a path that deletes a file of the layers below, once the path is in a layer.
#[must_use]
pub fn whiteout(path: &str) -> Option<&str> {
    path.split('/').find(|name| name.starts_with(WHITEOUT))
}

/// What lies below a folder. Files are found but not read yet.
#[derive(Debug, Default)]
pub struct Listing {
    root: PathBuf,
    /// Sorted by the bytes of their paths, once the walk is done.
    found: Vec<Walked>,
    /// A folder that cannot be read, so that its content is unknown.
    unreadable: Option<TreeError>,
}

/// Something that the walk found.
#[derive(Debug)]
struct Walked {
    path: String,
    kind: WalkedKind,
}

#[derive(Debug)]
enum WalkedKind {
    /// A file; with its metadata if the walk needed it anyway, since the file may turn out not to be wanted.
    File(Option<Box<Metadata>>),
    Link(String),
    /// Cannot become part of an image, which is an error only if it is wanted.
    Defective(Box<TreeError>),
}

/// A cache of file digests.
pub trait Digests: Sync {
    /// The digest of a file, if it is known for this metadata.
    fn known(&self, file: &Path, metadata: &Metadata) -> Option<Digest>;
    /// Stores the digest of a file that was read; `metadata` is from before the read.
    fn learn(&self, file: &Path, metadata: &Metadata, digest: &Digest);
}

/// Gets a path in the tree and whether it is a folder, and returns whether to keep it; called by several threads.
pub type Keep<'a> = dyn Fn(&str, bool) -> bool + Sync + 'a;

/// How links of a tree are followed, so that what they lead to is in the tree in their place.
#[derive(Clone, Copy)]
pub struct Follow<'a> {
    /// A real folder that the tree lies in, and that no link may leave.
    pub within: &'a Path,
    /// Gets the real path of something that lies outside of the tree, and returns whether to keep it; called by several
    /// threads.
    pub keep: &'a (dyn Fn(&Path) -> bool + Sync),
}

/// Lists the files and symbolic links below `root` that `keep` keeps. With `follow`, links are replaced by their
/// targets.
///
/// What `keep` refuses is never looked at.
///
/// # Errors
/// The root is no folder, or holds too much.
pub fn list(
    root: &Path,
    keep: &Keep<'_>,
    follow: Option<Follow<'_>>,
) -> Result<Listing, TreeError> {
    list_spelled(root, keep, follow, None)
}

/// The same with the names that git's index has, where the disk does not tell them from its own.
///
/// # Errors
/// Those of [`list`].
pub fn list_spelled(
    root: &Path,
    keep: &Keep<'_>,
    follow: Option<Follow<'_>>,
    spelling: Option<&Spelling>,
) -> Result<Listing, TreeError> {
    let shown_root = escaped(root.as_os_str());
    let real_root = fs_err::canonicalize(root).map_err(|error| unreadable(&shown_root, &error))?;
    if !real_root.is_dir() {
        return Err(TreeError::NoFolder { path: shown_root });
    }
    let lister = Lister {
        root: &real_root,
        keep,
        follow,
        spelling,
    };
    let above = lister.above(&real_root, None);
    let first = Folder {
        path: String::new(),
        file: real_root.clone(),
        above,
        is_whiteout: false,
        is_outside: false,
    };
    let mut listing = everything(&lister, first);
    let in_order = |left: &Walked, right: &Walked| left.path.as_bytes().cmp(right.path.as_bytes());
    if listing.found.len() > FEW_FILES {
        listing.found.par_sort_unstable_by(in_order);
    } else {
        listing.found.sort_unstable_by(in_order);
    }
    if listing.found.len() > ENTRIES_LIMIT {
        return Err(TreeError::TooMany { path: shown_root });
    }
    if let Some(TreeError::Unreadable { path, .. }) = &mut listing.unreadable
        && path.is_empty()
    {
        *path = shown_root;
    }
    listing.root = real_root;
    Ok(listing)
}

/// Reads folders until none is left, on all cores once there are several.
fn everything(lister: &Lister<'_>, first: Folder) -> Listing {
    let mut listing = Listing::default();
    let mut waiting = vec![first];
    while waiting.len() < FEW_FOLDERS {
        let Some(folder) = waiting.pop() else {
            return listing;
        };
        lister.read(&folder, &mut listing, &mut waiting);
    }
    let queue = Queue {
        folders: Mutex::new((waiting, 0)),
        changed: Condvar::new(),
    };
    let count = AtomicUsize::new(listing.found.len());
    let work = || {
        let mut part = Listing::default();
        let mut below = Vec::new();
        while let Some(folder) = queue.take() {
            let before = part.found.len();
            lister.read(&folder, &mut part, &mut below);
            let so_far = count.fetch_add(part.found.len() - before, Ordering::Relaxed);
            if so_far > ENTRIES_LIMIT {
                below.clear();
            }
            queue.done(&mut below);
        }
        part
    };
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            let part = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            listing.found.extend(part.found);
            listing.unreadable = [listing.unreadable.take(), part.unreadable]
                .into_iter()
                .flatten()
                .min_by_key(ToString::to_string);
        }
    });
    listing
}

/// The folders still to be read, and the number of folders being read.
struct Queue {
    folders: Mutex<(Vec<Folder>, usize)>,
    changed: Condvar,
}

impl Queue {
    /// The next folder; `None` when all have been read.
    fn take(&self) -> Option<Folder> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(folder) = folders.0.pop() {
                folders.1 += 1;
                return Some(folder);
            }
            if folders.1 == 0 {
                return None;
            }
            folders = self
                .changed
                .wait(folders)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Marks a folder as read, and adds its subfolders to the queue.
    fn done(&self, below: &mut Vec<Folder>) {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.0.append(below);
        folders.1 -= 1;
        self.changed.notify_all();
    }
}

impl Listing {
    /// The entries whose paths are wanted, sorted by the bytes of their paths. Files are read only if their digest is
    /// not known. Only entries at one of `roots`, below it or on the way to it are considered; the empty root is the
    /// folder itself.
    ///
    /// # Errors
    /// Something wanted cannot become part of an image: see [`TreeError`].
    pub fn choose(
        &self,
        roots: &[&str],
        wanted: &dyn Fn(&str) -> bool,
        digests: &dyn Digests,
    ) -> Result<Vec<Entry>, TreeError> {
        if let Some(error) = &self.unreadable {
            return Err(error.clone());
        }
        let near = self.near(roots);
        let found = near.into_iter().flat_map(|range| &self.found[range]);
        let chosen: Vec<&Walked> = found.filter(|found| wanted(&found.path)).collect();
        for found in &chosen {
            if let WalkedKind::Defective(error) = &found.kind {
                return Err((**error).clone());
            }
        }
        refuse_same_but_for_case(&chosen)?;
        hash(&self.root, &chosen, digests)
    }

    /// The index ranges of the entries at these paths, below them and on the way to them: sorted and without overlap.
    fn near(&self, roots: &[&str]) -> Vec<Range<usize>> {
        if roots.contains(&"") {
            return std::iter::once(0..self.found.len()).collect();
        }
        let start = |path: &str| {
            let before = |found: &Walked| found.path.as_bytes() < path.as_bytes();
            self.found.partition_point(before)
        };
        let mut ranges = Vec::new();
        for root in roots {
            let ends = root.match_indices('/').map(|(end, _)| end);
            ranges.extend(ends.chain([root.len()]).filter_map(|end| {
                let at = start(&root[..end]);
                (self.found.get(at)?.path == root[..end]).then_some(at..at + 1)
            }));
            // `0` is the character after `/`.
            ranges.push(start(&format!("{root}/"))..start(&format!("{root}0")));
        }
        ranges.sort_by_key(|range| (range.start, range.end));
        let mut end = 0;
        for range in &mut ranges {
            range.start = range.start.max(end);
            range.end = range.end.max(range.start);
            end = range.end;
        }
        ranges
    }
}

/// The entries of the given files of `folder`, each with its path and metadata.
///
/// # Errors
/// One of the files cannot be read.
pub fn read(
    folder: &Path,
    files: Vec<(String, Metadata)>,
    digests: &dyn Digests,
) -> Result<Vec<Entry>, TreeError> {
    let found: Vec<Walked> = files
        .into_iter()
        .map(|(path, metadata)| Walked {
            path,
            kind: WalkedKind::File(Some(Box::new(metadata))),
        })
        .collect();
    hash(folder, &found.iter().collect::<Vec<_>>(), digests)
}

/// Refuses names of files or folders that differ only in case.
fn refuse_same_but_for_case(chosen: &[&Walked]) -> Result<(), TreeError> {
    let refuse = |other: &str, name: &str| Err(TreeError::of_same(other, name));
    // Others fold to themselves.
    let is_special = |name: &str| {
        let mut bytes = name.bytes();
        bytes.any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
    };
    let mut names: HashMap<String, &str> = HashMap::new();
    for found in chosen.iter().filter(|found| is_special(&found.path)) {
        let path = found.path.as_str();
        let ends = path.match_indices('/').map(|(end, _)| end);
        for end in ends.chain([path.len()]) {
            let name = &path[..end];
            if !is_special(name) {
                continue;
            }
            let lower = folded(name).into_owned();
            // Paths are sorted: an entry with this name, or in a folder of this name, comes next.
            let at = chosen.partition_point(|other| other.path.as_bytes() < lower.as_bytes());
            let folder = format!("{lower}/");
            let inside = chosen.partition_point(|other| other.path.as_bytes() < folder.as_bytes());
            let is_there = chosen.get(at).is_some_and(|other| other.path == lower)
                || chosen
                    .get(inside)
                    .is_some_and(|other| other.path.starts_with(&folder));
            if is_there && lower != name {
                return refuse(&lower, name);
            }
            match names.insert(lower, name) {
                Some(other) if other != name => return refuse(other, name),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A folder to be read.
struct Folder {
    /// The path in the tree; empty for the root.
    path: String,
    file: PathBuf,
    above: Option<Arc<Above>>,
    /// Whether its name, or that of a folder that it lies in, begins with [`WHITEOUT`].
    is_whiteout: bool,
    /// Whether a link has led to it out of the tree.
    is_outside: bool,
}

/// A folder and those that it lies in, as a list: a link to any of them would never end.
struct Above {
    device: u64,
    inode: u64,
    next: Option<Arc<Self>>,
}

struct Lister<'a> {
    root: &'a Path,
    keep: &'a Keep<'a>,
    follow: Option<Follow<'a>>,
    spelling: Option<&'a Spelling>,
}

/// Where a link leads.
struct LinkEnd {
    text: String,
    real: PathBuf,
    /// Whether that is outside of the tree.
    is_outside: bool,
}

impl Lister<'_> {
    /// Reads one folder.
    fn read(&self, folder: &Folder, listing: &mut Listing, waiting: &mut Vec<Folder>) {
        let unread = |error: &io::Error| TreeError::Unreadable {
            path: escaped(&folder.path),
            reason: cause(error),
            kind: error.kind(),
        };
        let entries = match fs_err::read_dir(&folder.file) {
            Ok(entries) => entries,
            Err(error) => {
                listing.unreadable.get_or_insert(unread(&error));
                return;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(folder, &entry, listing, waiting),
                Err(error) => {
                    listing.unreadable.get_or_insert(unread(&error));
                }
            }
        }
    }

    fn entry(
        &self,
        folder: &Folder,
        entry: &fs_err::DirEntry,
        listing: &mut Listing,
        waiting: &mut Vec<Folder>,
    ) {
        let name = entry.file_name();
        let spelling = self.spelling;
        let spelled = spelling.and_then(|spelling| spelling.name(&folder.file.join(&name)));
        let shown = spelled.as_ref().unwrap_or(&name).to_string_lossy();
        let path = match folder.path.as_str() {
            "" => shown.clone().into_owned(),
            parent => format!("{parent}/{shown}"),
        };
        let file = || folder.file.join(&name);
        let kind = entry.file_type().map_err(|error| unreadable(&path, &error));
        let is_link = kind.as_ref().is_ok_and(FileType::is_symlink);
        let is_whiteout = folder.is_whiteout || shown.starts_with(WHITEOUT);
        let followed = (is_link && self.follow.is_some()).then(|| fs_err::metadata(file()).ok());
        let is_folder = match &followed {
            Some(metadata) => metadata.as_ref().is_some_and(Metadata::is_dir),
            None => kind.as_ref().is_ok_and(FileType::is_dir),
        };
        if !(self.keep)(&path, is_folder) || folder.is_outside && !self.keeps_outside(&file()) {
            return;
        }
        let defective = |error| Some(WalkedKind::Defective(Box::new(error)));
        let kind = match (kind, followed) {
            (_, _) if name.to_str().is_none() => {
                let inner = folder.file.join(&name);
                let inner = inner.strip_prefix(self.root).unwrap_or(&inner).as_os_str();
                let path = escaped(inner);
                defective(TreeError::NotUtf8 { path })
            }
            (Err(error), _) => defective(error),
            (Ok(_), None) if is_folder => {
                self.enter(folder, path.clone(), (file(), folder.is_outside), waiting)
            }
            (Ok(_), _) if is_whiteout && !is_folder => defective(TreeError::of_whiteout(&path)),
            (Ok(kind), None) if kind.is_symlink() => match self.check_link(&path, &file()) {
                Ok(end) => Some(WalkedKind::Link(end.text)),
                Err(error) => defective(error),
            },
            // All sources of a job are wanted, and asking through the open folder is the fastest way to their metadata.
            (Ok(kind), None) if self.follow.is_some() && kind.is_file() => match entry.metadata() {
                Ok(metadata) => Some(kind_of(&path, metadata.file_type(), Some(metadata))),
                Err(error) => defective(unreadable(&path, &error)),
            },
            (Ok(kind), None) => Some(kind_of(&path, kind, None)),
            (Ok(_), Some(metadata)) => match (self.check_link(&path, &file()), metadata) {
                (Err(error), _) => defective(error),
                (Ok(end), Some(_)) if is_folder => {
                    let there = if end.is_outside { end.real } else { file() };
                    self.enter(folder, path.clone(), (there, end.is_outside), waiting)
                }
                (Ok(_), Some(metadata)) => {
                    Some(kind_of(&path, metadata.file_type(), Some(metadata)))
                }
                (Ok(end), None) => defective(TreeError::LinkDangles {
                    path: escaped(&path),
                    target: escaped(end.text),
                }),
            },
        };
        if let Some(kind) = kind {
            listing.found.push(Walked { path, kind });
        }
    }

    /// Whether to keep something that lies outside of the tree.
    fn keeps_outside(&self, real: &Path) -> bool {
        self.follow.is_none_or(|follow| (follow.keep)(real))
    }

    /// Queues a folder to be read, unless a link has led back to one of the folders that it lies in.
    fn enter(
        &self,
        parent: &Folder,
        path: String,
        (file, is_outside): (PathBuf, bool),
        waiting: &mut Vec<Folder>,
    ) -> Option<WalkedKind> {
        let above = self.above(&file, parent.above.clone());
        let mut next = parent.above.as_ref();
        while let (Some(folder), Some(own)) = (next, &above) {
            if (folder.device, folder.inode) == (own.device, own.inode) {
                let path = escaped(path);
                return Some(WalkedKind::Defective(Box::new(TreeError::LinkLoops {
                    path,
                })));
            }
            next = folder.next.as_ref();
        }
        let is_whiteout = parent.is_whiteout || whiteout(&path).is_some();
        waiting.push(Folder {
            path,
            file,
            above,
            is_whiteout,
            is_outside,
        });
        None
    }

    /// A folder with those that it lies in. Only links can lead back into them, so without `follow` there is no list.
    fn above(&self, file: &Path, above: Option<Arc<Above>>) -> Option<Arc<Above>> {
        let metadata = fs_err::metadata(file)
            .ok()
            .filter(|_| self.follow.is_some())?;
        Some(Arc::new(Above {
            device: metadata.dev(),
            inode: metadata.ino(),
            next: above,
        }))
    }

    /// Where a link leads, if that is in the tree, or in the folder that followed links must not leave.
    fn check_link(&self, path: &str, link: &Path) -> Result<LinkEnd, TreeError> {
        let target = fs_err::read_link(link).map_err(|error| unreadable(path, &error))?;
        let Some(text) = target.to_str() else {
            return Err(TreeError::NotUtf8 {
                path: escaped(target.as_os_str()),
            });
        };
        let (path, target) = (escaped(path), escaped(text));
        let tree = self.follow.map_or("tree", |_| "project");
        let leaves = |path, target, tree| TreeError::LinkLeaves { path, target, tree };
        let real = match fs_err::canonicalize(link) {
            _ if text.starts_with('/') => return Err(leaves(path, target, tree)),
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TreeError::LinkDangles { path, target });
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(unreadable(&path, &error));
            }
            Err(_) => return Err(TreeError::LinkLoops { path }),
        };
        let is_outside = !real.starts_with(self.root);
        if is_outside {
            let may_leave = |follow: Follow<'_>| real.starts_with(follow.within);
            if !self.follow.is_some_and(may_leave) {
                return Err(leaves(path, target, tree));
            }
            if !self.keeps_outside(&real) {
                return Err(leaves(path, target, "job's code"));
            }
        }
        Ok(LinkEnd {
            text: text.to_owned(),
            real,
            is_outside,
        })
    }
}

/// The kind of an entry that is neither a folder nor a link.
fn kind_of(path: &str, kind: FileType, metadata: Option<Metadata>) -> WalkedKind {
    let special = match () {
        () if kind.is_fifo() => "FIFO",
        () if kind.is_socket() => "socket",
        () if kind.is_block_device() || kind.is_char_device() => "device",
        () => return WalkedKind::File(metadata.map(Box::new)),
    };
    WalkedKind::Defective(Box::new(TreeError::Special {
        path: escaped(path),
        kind: special,
    }))
}

fn hash(root: &Path, found: &[&Walked], digests: &dyn Digests) -> Result<Vec<Entry>, TreeError> {
    let looked_up: Vec<LookedUp<'_>> = if found.len() <= FEW_FILES {
        let found = found.iter();
        found.map(|found| looked_up(root, found, digests)).collect()
    } else {
        let found = found.par_iter();
        found.map(|found| looked_up(root, found, digests)).collect()
    };
    let is_unread = |looked_up: &&LookedUp<'_>| matches!(looked_up, LookedUp::Unread(_));
    let finish = |looked_up: LookedUp<'_>| match looked_up {
        LookedUp::Known(entry) => entry,
        LookedUp::Unread(unread) => unread.read(digests),
    };
    if looked_up.iter().filter(is_unread).count() <= FEW_READS {
        return looked_up.into_iter().map(finish).collect();
    }
    // The error that is reported is the first in path order, not the first that some thread met.
    let entries: Vec<_> = looked_up.into_par_iter().map(finish).collect();
    entries.into_iter().collect()
}

/// What a look-up of a digest came to.
enum LookedUp<'a> {
    Known(Result<Entry, TreeError>),
    Unread(Unread<'a>),
}

/// A file whose digest is not known.
struct Unread<'a> {
    path: &'a str,
    file: PathBuf,
    metadata: Cow<'a, Metadata>,
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o100 != 0
}

fn looked_up<'a>(root: &Path, found: &'a Walked, digests: &dyn Digests) -> LookedUp<'a> {
    let entry = |content: Content| {
        let path = found.path.clone();
        LookedUp::Known(Ok(Entry { path, content }))
    };
    match &found.kind {
        WalkedKind::Defective(error) => LookedUp::Known(Err((**error).clone())),
        WalkedKind::Link(target) => entry(Content::Symlink {
            target: target.clone(),
        }),
        WalkedKind::File(known) => {
            let file = root.join(&found.path);
            let metadata = match known {
                Some(known) => Cow::Borrowed(&**known),
                None => match metadata_of(&found.path, &file) {
                    Ok(now) => Cow::Owned(now),
                    Err(error) => return LookedUp::Known(Err(error)),
                },
            };
            match digests.known(&file, &metadata) {
                None => LookedUp::Unread(Unread {
                    path: &found.path,
                    file,
                    metadata,
                }),
                Some(digest) => entry(Content::File {
                    digest,
                    executable: is_executable(&metadata),
                    size: metadata.len(),
                    location: Location::Disk(file),
                }),
            }
        }
    }
}

impl Unread<'_> {
    fn read(self, digests: &dyn Digests) -> Result<Entry, TreeError> {
        let entry = Entry::of_file(self.path, &self.file, is_executable(&self.metadata))
            .map_err(|error| unreadable(self.path, &error))?;
        if let Content::File { digest, .. } = &entry.content {
            digests.learn(&self.file, &self.metadata, digest);
        }
        Ok(entry)
    }
}

/// The metadata of something that was a file when it was listed.
fn metadata_of(path: &str, file: &Path) -> Result<Metadata, TreeError> {
    let metadata = fs_err::symlink_metadata(file).map_err(|error| unreadable(path, &error))?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    let changed = io::Error::other("it was a file a moment ago, and is none now");
    Err(unreadable(path, &changed))
}

fn unreadable(path: &str, error: &io::Error) -> TreeError {
    TreeError::Unreadable {
        path: escaped(path),
        reason: cause(error),
        kind: error.kind(),
    }
}

/// The system's message without the path, which may hold control characters.
fn cause(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.source());
    inner.map_or_else(|| error.to_string(), ToString::to_string)
}

/// A path for messages: control characters and those that change the direction of text become `\u{..}`, bytes that are
/// not UTF-8 `\xff`.
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

    /// Returns the same digest for every file, or none.
    struct Known(Option<Digest>);

    impl Digests for Known {
        fn known(&self, _: &Path, _: &Metadata) -> Option<Digest> {
            self.0.clone()
        }

        fn learn(&self, _: &Path, _: &Metadata, _: &Digest) {}
    }

    fn within(folder: &Path) -> Follow<'_> {
        Follow {
            within: folder,
            keep: &|_| true,
        }
    }

    fn walk(root: &Path, keep: &Keep<'_>) -> Result<Vec<Entry>, TreeError> {
        list(root, keep, None)?.choose(&[""], &|_| true, &Known(None))
    }

    fn walk_following(root: &Path, keep: &Keep<'_>) -> Result<Vec<Entry>, TreeError> {
        list(root, keep, Some(within(root)))?.choose(&[""], &|_| true, &Known(None))
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
        let listing = list(folder.path(), &all, None).unwrap();
        let known = Known(Some(Digest::of(b"known")));
        let known = listing.choose(&[""], &|_| true, &known).unwrap();
        assert!(known.iter().all(|entry| matches!(&entry.content, Content::File { digest, .. } if *digest == Digest::of(b"known"))));
    }

    #[test]
    fn only_what_is_near_the_roots_is_looked_at() {
        let folder = folder(&["a", "d-x", "d/e/x", "d/e/y", "d/f", "d0", "e/x"]);
        let listing = list(folder.path(), &all, None).unwrap();
        for (roots, looked_at) in [
            (&["d/e"][..], &["d/e/x", "d/e/y"][..]),
            (&["d"], &["d/e/x", "d/e/y", "d/f"]),
            (&["d/e/x", "d", "d/f", "d"], &["d/e/x", "d/e/y", "d/f"]),
            (&["e/x", "a"], &["a", "e/x"]),
            (&["a/below", "nothing"], &["a"]),
            (
                &["", "a"],
                &["a", "d-x", "d/e/x", "d/e/y", "d/f", "d0", "e/x"],
            ),
            (&[], &[]),
        ] {
            let asked = Mutex::new(Vec::new());
            let wanted = |path: &str| {
                asked.lock().unwrap().push(path.to_owned());
                true
            };
            let entries = listing.choose(roots, &wanted, &Known(None)).unwrap();
            assert_eq!(paths(&entries), looked_at, "{roots:?}");
            assert_eq!(asked.into_inner().unwrap(), looked_at, "{roots:?}");
        }
    }

    #[test]
    fn what_nobody_wants_may_be_anything() {
        let folder = folder(&["a", "d/x"]);
        let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
        symlink("/nowhere", folder.path().join("link")).unwrap();
        fs_err::write(folder.path().join("A"), "").unwrap();
        fs_err::write(folder.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        for follow in [None, Some(within(folder.path()))] {
            let listing = list(folder.path(), &all, follow).unwrap();
            let entries = listing.choose(&[""], &|path| path == "a" || path == "d/x", &Known(None));
            assert_eq!(paths(&entries.unwrap()), ["a", "d/x"]);
            for (wanted, code) in [("a", "E074"), ("socket", "E072"), ("link", "E075")] {
                let both = |path: &str| path.eq_ignore_ascii_case(wanted);
                let error = listing.choose(&[""], &both, &Known(None)).unwrap_err();
                assert_eq!(error.code(), code);
            }
        }
        fs_err::create_dir(folder.path().join("D")).unwrap();
        fs_err::write(folder.path().join("D/y"), "").unwrap();
        let listing = list(folder.path(), &all, None).unwrap();
        let folders = |path: &str| path.eq_ignore_ascii_case("d/x") || path == "D/y";
        let error = listing.choose(&[""], &folders, &Known(None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`D` and `d` differ only in case: macOS and Windows keep only one of them"
        );
    }

    #[test]
    fn what_would_delete_files_of_a_parent_is_refused_by_name() {
        for (path, name) in [
            (".wh.a", ".wh.a"),
            ("d/.wh..wh..opq", ".wh..wh..opq"),
            ("d/.wh.e/f/x", ".wh.e"),
        ] {
            let folder = folder(&["d/a", path]);
            for entries in [
                walk(folder.path(), &all),
                walk_following(folder.path(), &all),
            ] {
                let error = entries.unwrap_err();
                let message = format!(
                    "`{path}`: a layer deletes the parent's files by names that begin with `.wh.`, so `{name}` would not become a file of the image"
                );
                assert_eq!((error.code(), error.to_string()), (Code::E068, message));
                assert!(error.hint().is_some());
            }
        }
    }

    #[test]
    fn only_a_wanted_name_that_begins_like_a_whiteout_is_refused() {
        let folder = folder(&["a", ".wh.x", "d/.wh.y/z", "x.wh.", ".whx", "d/.why"]);
        symlink("a", folder.path().join(".wh.link")).unwrap();
        for follow in [None, Some(within(folder.path()))] {
            let wanted = |path: &str| whiteout(path).is_none();
            let listing = list(folder.path(), &all, follow).unwrap();
            let entries = listing.choose(&[""], &wanted, &Known(None)).unwrap();
            assert_eq!(paths(&entries), [".whx", "a", "d/.why", "x.wh."]);
            for refused in [".wh.x", "d/.wh.y/z", ".wh.link"] {
                let error = listing.choose(&[""], &|path| path == refused, &Known(None));
                assert_eq!(error.unwrap_err().code(), "E068", "{refused}");
            }
            let keep = |path: &str, _: bool| whiteout(path).is_none();
            let listing = list(folder.path(), &keep, follow).unwrap();
            let entries = listing.choose(&[""], &|_| true, &Known(None)).unwrap();
            assert_eq!(entries.len(), 4);
        }
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
            assert_eq!(
                (error.code().as_str(), &*error.to_string()),
                (code, message)
            );
            assert!(error.hint().is_some());
        }
    }

    /// Files of a tree `src`, which may have links into the folder that it lies in.
    #[test]
    fn links_out_of_the_tree_are_followed_as_far_as_they_may_lead() {
        let folder = folder(&["src/a", "common/b", "common/deep/c", "dist/d", "other/e"]);
        let top = fs_err::canonicalize(folder.path()).unwrap();
        let root = top.join("src");
        let keep = |real: &Path| !real.starts_with(top.join("dist")) && !real.ends_with("deep/c");
        let follow = || Follow {
            within: &top,
            keep: &keep,
        };
        let listed = || {
            let listing = list(&root, &all, Some(follow()))?;
            let entries = listing.choose(&[""], &|_| true, &Known(None))?;
            Ok::<_, TreeError>(entries)
        };
        symlink("../common", root.join("common")).unwrap();
        symlink("../other/e", root.join("e")).unwrap();
        symlink("../../other", top.join("common/deep/other")).unwrap();
        let found = listed().unwrap();
        let wanted = ["a", "common/b", "common/deep/other/e", "e"];
        assert_eq!(paths(&found), wanted);
        assert!(
            matches!(&found[1].content, Content::File { digest, .. } if *digest == Digest::of(b"common/b"))
        );
        for (target, link, code) in [
            ("../dist", "src/l", "E075"),
            ("../dist/d", "src/l", "E075"),
            ("../../dist", "common/deep/l", "E075"),
            ("../..", "src/l", "E075"),
            ("../../..", "common/deep/l", "E075"),
            ("..", "src/l", "E077"),
            ("..", "common/deep/l", "E077"),
            ("../common/gone", "src/l", "E076"),
        ] {
            symlink(target, top.join(link)).unwrap();
            let error = listed().unwrap_err();
            assert_eq!(error.code(), code, "{link} to {target}: {error}");
            fs_err::remove_file(top.join(link)).unwrap();
        }
        let absolute = top.join("common");
        symlink(&absolute, root.join("l")).unwrap();
        let error = listed().unwrap_err().to_string();
        assert!(error.contains("leads out of the project"), "{error}");
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
