//! Decides which installed Python files go into `libs.zip`, and which into a folder beside it.
//!
//! Python cannot import an extension module from a zip, and many packages open data files next to `__file__`, which
//! fails in a zip (botocore is the best known). The decision is made for whole distributions: one with native code or
//! data files goes into the folder with all its files, and so does one that shares a top-level package with it, since a
//! regular package cannot be imported from two places. What remains is plain Python, and goes into the zip.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::Metadata,
    io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::{
    code::Code,
    image::Digest,
    project::{
        ignore::{self, Digests},
        requirements::{LockedWheel, Pin, SPARKS_OWN},
        tree::{Content, Entry, folders_above},
        wheel::normalise,
    },
};

/// The folder in an image and in `dist` with the files that must not be in a zip.
pub const SITE_PACKAGES: &str = "site-packages";

/// The files of installed wheels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vendored {
    /// Plain Python without data files, for `libs.zip`; sorted.
    pub libs: Vec<Entry>,
    /// Distributions with native code or data files; sorted.
    pub site_packages: Vec<Entry>,
}

/// Why installed files cannot be put into an image.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something that is neither a file nor a folder: a link, a socket or the like.
    #[error("`{}` is neither a file nor a folder", path.display())]
    Kind {
        /// Its path.
        path: PathBuf,
    },
    /// A name that is not UTF-8.
    #[error("the name `{}` is not UTF-8", path.display())]
    Name {
        /// Its path.
        path: PathBuf,
    },
    /// Two wheels have different content for one path.
    #[error("`{first}` and `{second}` both bring `{path}`, each with other content")]
    Collision {
        /// The path in the installation.
        path: String,
        /// One package.
        first: Pin,
        /// The other package.
        second: Pin,
    },
    /// A native file that the image cannot load.
    #[error("`{path}` of `{wheel}` is for {found}, and the image has {wanted}")]
    Misfit {
        /// The wheel's file name.
        wheel: String,
        /// The path in the installation.
        path: String,
        /// What it is for, or needs.
        found: String,
        /// What the image is, or has.
        wanted: String,
    },
    /// A wheel was not installed.
    #[error("`{wheel}` was not installed")]
    Missing {
        /// Its file name.
        wheel: String,
    },
    /// A name that deletes a file of the layers below, once it is in a layer.
    #[error("`{path}`{}: in a layer its name would delete a file of the parent", of_wheel(wheel.as_deref()))]
    Whiteout {
        /// The path in the installation.
        path: String,
        /// The file name of the wheel that brings it, if it is known.
        wheel: Option<String>,
    },
    /// A path in a wheel's list that lies outside of it.
    #[error("`{wheel}` is no sound wheel: `{path}` lies outside of it")]
    Outside {
        /// The wheel's file name.
        wheel: String,
        /// The path, as it is listed.
        path: String,
    },
    /// A wheel that nobody would want in an image: it fills the disk.
    #[error("`{wheel}` has {found}, and no image takes more than {most} of one wheel")]
    TooMuch {
        /// The wheel's file name.
        wheel: String,
        /// What it has.
        found: String,
        /// The limit.
        most: String,
    },
    /// A file that no wheel lists, and whose folder does not tell which wheel it belongs to.
    #[error("`{path}` is in no wheel's list of files")]
    Unowned {
        /// The path in the installation.
        path: String,
    },
}

impl VendorError {
    /// The error code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Io(_) => Code::E720,
            Self::Kind { .. } => Code::E721,
            Self::Name { .. } => Code::E722,
            Self::Collision { .. } => Code::E723,
            Self::Missing { .. } => Code::E724,
            Self::Misfit { .. } => Code::E183,
            Self::Unowned { .. } => Code::E725,
            Self::Whiteout { .. } => Code::E726,
            Self::Outside { .. } => Code::E727,
            Self::TooMuch { .. } => Code::E728,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io(_) => return None,
            Self::Kind { .. }
            | Self::Name { .. }
            | Self::Unowned { .. }
            | Self::Outside { .. }
            | Self::TooMuch { .. }
            | Self::Whiteout { .. } => {
                "leave the package out, or ask its maintainers for a sound wheel".to_owned()
            }
            Self::Collision { first, second, .. } => {
                format!(
                    "one path can hold one of them: keep `{}` or `{}`",
                    first.name, second.name
                )
            }
            Self::Missing { .. } => "run the build again".to_owned(),
            Self::Misfit { found, .. } if found.starts_with("glibc") => {
                "take an older version of the package; or, if the image really has a newer glibc, say which by `glibc` under [python]"
                    .to_owned()
            }
            Self::Misfit { .. } => {
                "the wheel is not what its name says: take another version, or one that was built for the image"
                    .to_owned()
            }
        })
    }
}

fn of_wheel(wheel: Option<&str>) -> String {
    wheel.map_or_else(String::new, |wheel| format!(" of `{wheel}`"))
}

/// Splits wheels into those to be shipped, and the pins of those that the parent image already has.
///
/// `PySpark` and `Py4J` are never shipped: they would shadow the copies that fit the image's jars.
#[must_use]
pub fn leave_out(wheels: Vec<LockedWheel>, provided: &[Pin]) -> (Vec<LockedWheel>, BTreeSet<Pin>) {
    let there = |wheel: &LockedWheel| {
        let name = wheel.wheel.name.as_str();
        SPARKS_OWN.contains(&name) || provided.iter().any(|pin| pin.name == name)
    };
    let (left_out, kept): (Vec<_>, Vec<_>) = wheels.into_iter().partition(there);
    (kept, left_out.iter().map(LockedWheel::pin).collect())
}

/// Decides which files of installed wheels go into `libs.zip`, and which into the folder beside it. The files of each wheel
/// are sorted.
///
/// # Errors
/// Two wheels bring a path with different content, or a name is a whiteout.
pub fn split(installed: &[(&LockedWheel, Vec<Entry>)]) -> Result<Vendored, VendorError> {
    let mut owners: BTreeMap<&str, Vec<(usize, &Entry)>> = BTreeMap::new();
    for (index, (_, entries)) in installed.iter().enumerate() {
        for entry in entries {
            let of_path = owners.entry(&entry.path).or_default();
            of_path.push((index, entry));
        }
    }
    refuse_collisions(installed, &owners)?;
    for (path, owners) in &mut owners {
        let first = |(index, _): &&(usize, &Entry)| &installed[*index].0.wheel.name;
        if !is_code(path)
            && let Some(first) = owners.iter().min_by_key(first).copied()
        {
            owners.retain(|(_, entry)| digest(entry) == digest(first.1));
        }
    }
    let in_folder = in_folder(installed, &owners);
    let mut vendored = Vendored::default();
    for owners in owners.values() {
        let first = |is_wanted: &dyn Fn(&usize) -> bool| {
            let mut wanted = owners.iter().filter(|(owner, _)| is_wanted(owner));
            wanted.next().map(|(_, entry)| (*entry).clone())
        };
        let of_folder = first(&|owner| in_folder.contains(owner));
        let of_zip = first(&|owner| !in_folder.contains(owner));
        vendored.site_packages.extend(of_folder);
        vendored.libs.extend(of_zip);
    }
    Ok(vendored)
}

fn digest(entry: &Entry) -> Option<&Digest> {
    match &entry.content {
        Content::File { digest, .. } => Some(digest),
        Content::Symlink { .. } => None,
    }
}

/// Whether another content of a file would make another program: it can be imported, and is not in one of the folders that
/// many projects leave in their wheels by mistake.
fn is_code(path: &str) -> bool {
    const BY_MISTAKE: [&str; 10] = [
        "tests",
        "test",
        "testing",
        "docs",
        "doc",
        "examples",
        "example",
        "samples",
        "benchmarks",
        "benchmark",
    ];
    let (top, name) = match path.split_once('/') {
        Some((top, rest)) => (top, rest.rsplit('/').next().unwrap_or_default()),
        None => ("", path),
    };
    if BY_MISTAKE.contains(&top) {
        return false;
    }
    let end = Path::new(name).extension().and_then(|end| end.to_str());
    end.is_some_and(|end| ["py", "pyi", "pyx", "so", "pyd", "pth"].contains(&end))
        || name.contains(".so.")
}

/// Refuses code that two wheels bring with different content. Of another file that of the first wheel by name counts.
fn refuse_collisions(
    installed: &[(&LockedWheel, Vec<Entry>)],
    owners: &BTreeMap<&str, Vec<(usize, &Entry)>>,
) -> Result<(), VendorError> {
    for (path, owners) in owners.iter().filter(|(path, _)| is_code(path)) {
        let Some(((first, entry), others)) = owners.split_first() else {
            continue;
        };
        let other = others
            .iter()
            .find(|(_, other)| digest(other) != digest(entry));
        if let Some((other, _)) = other {
            return Err(VendorError::Collision {
                path: (*path).to_owned(),
                first: installed[*first].0.pin(),
                second: installed[*other].0.pin(),
            });
        }
    }
    Ok(())
}

/// The files below `folder`, sorted; a missing folder has none.
///
/// # Errors
/// A file cannot be read, or something is neither a file nor a folder.
pub fn walk(folder: &Path, digests: &dyn Digests) -> Result<Vec<Entry>, VendorError> {
    let files = if folder.exists() {
        self::files(folder)?
    } else {
        BTreeMap::new()
    };
    let entries = ignore::read(folder, files.into_iter().collect(), digests);
    Ok(entries.map_err(io::Error::other)?)
}

/// The paths of the files below `folder`, sorted by their bytes, with their metadata.
fn files(folder: &Path) -> Result<BTreeMap<String, Metadata>, VendorError> {
    let tops = walkdir::WalkDir::new(folder).min_depth(1).max_depth(1);
    let tops: Vec<_> = tops.sort_by_file_name().into_iter().collect();
    let below = tops.into_par_iter().map(|top| {
        let top = top.map_err(io::Error::from)?;
        files_below(folder, top.path())
    });
    // The error that is reported is the same each time, not the first that some thread met.
    let below: Vec<_> = below.collect();
    let mut files = BTreeMap::new();
    for some in below {
        files.extend(some?);
    }
    Ok(files)
}

/// The same of one of the files or folders in `folder`.
fn files_below(folder: &Path, top: &Path) -> Result<Vec<(String, Metadata)>, VendorError> {
    let mut files = Vec::new();
    for found in walkdir::WalkDir::new(top).follow_root_links(false) {
        let found = found.map_err(io::Error::from)?;
        if found.file_type().is_dir() {
            continue;
        }
        let path = found.path().to_owned();
        if !found.file_type().is_file() {
            return Err(VendorError::Kind { path });
        }
        let metadata = found.metadata().map_err(io::Error::from)?;
        match path.strip_prefix(folder).ok().and_then(Path::to_str) {
            Some(inner) => files.push((inner.to_owned(), metadata)),
            None => return Err(VendorError::Name { path }),
        }
    }
    Ok(files)
}

/// Which wheels the files of a fresh installation belong to; a file that belongs to none is left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The wheels that have each path, by their numbers; the paths are those in the installation.
    pub owners: BTreeMap<String, BTreeSet<usize>>,
    /// The topmost folders with nothing but files of one wheel, which no other one has overwritten.
    pub folders: BTreeMap<String, usize>,
    /// The wheels that another one may have overwritten a file of: both have the path, each with another hash.
    pub overwritten: BTreeSet<usize>,
    /// What the `RECORD` of each wheel says of its files, by their paths.
    pub recorded: Vec<Recorded>,
}

impl Placement {
    fn folders_of_one_wheel<'p>(
        &self,
        paths: impl Iterator<Item = &'p String> + Clone,
    ) -> BTreeMap<String, usize> {
        let alone = |path: &String| {
            let mut owners = self.owners.get(path)?.iter();
            let owner = owners.next().filter(|_| owners.next().is_none())?;
            (!self.overwritten.contains(owner)).then_some(*owner)
        };
        let mut owner_of: BTreeMap<&str, Option<usize>> = BTreeMap::new();
        for path in paths.clone() {
            let owner = alone(path);
            for folder in folders_above(path) {
                let of_folder = owner_of.entry(folder).or_insert(owner);
                if *of_folder != owner {
                    *of_folder = None;
                }
            }
        }
        let topmost = |path: &'p String| {
            folders_above(path).find_map(|folder| Some((folder.to_owned(), owner_of[folder]?)))
        };
        paths.filter_map(topmost).collect()
    }

    /// The paths that are in none of the folders that belong to one wheel.
    pub fn single_files(&self) -> impl Iterator<Item = (&String, &BTreeSet<usize>)> {
        let is_in_folder =
            |path: &str| folders_above(path).any(|folder| self.folders.contains_key(folder));
        let owners = self.owners.iter();
        owners.filter(move |(path, _)| !is_in_folder(path))
    }
}

/// The digests that the `RECORD` of a wheel has for its files. Not every file has one.
pub type Recorded = BTreeMap<String, Digest>;

/// Whether the files of a wheel are those that its `RECORD` lists.
#[must_use]
pub fn is_as_recorded(files: &[Entry], recorded: &Recorded) -> bool {
    let is_other = |entry: &Entry| match (&entry.content, recorded.get(&entry.path)) {
        (Content::File { digest, .. }, Some(wanted)) => digest != wanted,
        _ => false,
    };
    !files.iter().any(is_other)
}

/// The digest of a `RECORD`'s hash, which is in base64 for URLs; `None` for another algorithm.
fn recorded_digest(hash: &str) -> Option<Digest> {
    let bytes = URL_SAFE_NO_PAD.decode(hash.strip_prefix("sha256=")?.trim_end_matches('='));
    format!("sha256:{}", hex::encode(bytes.ok()?)).parse().ok()
}

/// Decides to which wheel each file belongs that an installer unpacked; the `RECORD` files must still be there.
///
/// The result depends on the wheels alone, not on the installer. Scripts (their first line names the host's Python), C
/// headers, bytecode and the installer's own files are left out.
///
/// # Errors
/// A wheel is missing, a file belongs to none, or a name is a whiteout.
pub fn placement(unpacked: &Path, wheels: &[LockedWheel]) -> Result<Placement, VendorError> {
    let distributions = distributions(unpacked, wheels)?;
    let owners = owners(&distributions);
    let mut placement = Placement::default();
    let recorded = |of: &Distribution<'_>| {
        let digest =
            |(path, hash): (&String, &String)| Some((path.clone(), recorded_digest(hash)?));
        of.record.iter().filter_map(digest).collect()
    };
    placement.recorded = distributions.iter().map(recorded).collect();
    for of_path in owners.values() {
        let hashes: BTreeSet<&String> = of_path.values().collect();
        if hashes.len() > 1 {
            placement.overwritten.extend(of_path.keys());
        }
    }
    let mut loads = vec![Load::default(); wheels.len()];
    let files = files(unpacked)?;
    for (path, metadata) in &files {
        if !is_shipped(path) {
            continue;
        }
        let of_path = match owners.get(path) {
            Some(owners) => owners.keys().copied().collect(),
            None if is_left_over(path, &distributions) => continue,
            None => [nearest_owner(path, &owners)
                .ok_or_else(|| VendorError::Unowned { path: path.clone() })?]
            .into(),
        };
        refuse_whiteout(path, &of_path, &distributions)?;
        for owner in &of_path {
            loads[*owner].add(metadata.len());
        }
        placement.owners.insert(path.clone(), of_path);
    }
    placement.folders = placement.folders_of_one_wheel(files.keys());
    for (wheel, load) in wheels.iter().zip(&loads) {
        load.refuse_more_than(MOST, &wheel.wheel.file_name)?;
    }
    Ok(placement)
}

/// How much a wheel unpacks to.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    files: u64,
    bytes: u64,
}

/// The most that a wheel may unpack to: several times what the largest in use have.
const MOST: Load = Load {
    files: 250_000,
    bytes: 16 << 30,
};

impl Load {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn refuse_more_than(&self, most: Self, wheel: &str) -> Result<(), VendorError> {
        let (found, most) = if self.files > most.files {
            let files = |count: u64| format!("{count} files");
            (files(self.files), files(most.files))
        } else if self.bytes > most.bytes {
            let bytes = |count: u64| format!("{count} bytes");
            (bytes(self.bytes), bytes(most.bytes))
        } else {
            return Ok(());
        };
        Err(VendorError::TooMuch {
            wheel: wheel.to_owned(),
            found,
            most,
        })
    }
}

fn refuse_whiteout(
    path: &str,
    owners: &BTreeSet<usize>,
    distributions: &[Distribution<'_>],
) -> Result<(), VendorError> {
    if ignore::whiteout(path).is_none() {
        return Ok(());
    }
    let owner = owners.first().and_then(|owner| distributions.get(*owner));
    Err(VendorError::Whiteout {
        path: ignore::escaped(path),
        wheel: owner.map(|owner| owner.wheel.wheel.file_name.clone()),
    })
}

/// An installed wheel with the files of its RECORD, each with its hash as written.
struct Distribution<'a> {
    wheel: &'a LockedWheel,
    record: BTreeMap<String, String>,
}

fn distributions<'a>(
    unpacked: &Path,
    wheels: &'a [LockedWheel],
) -> Result<Vec<Distribution<'a>>, VendorError> {
    let mut folders = BTreeMap::new();
    for entry in fs_err::read_dir(unpacked)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some((package, _)) = name
            .strip_suffix(".dist-info")
            .and_then(|stem| stem.split_once('-'))
        {
            folders.insert(normalise(package), entry.path());
        }
    }
    let read = wheels.iter().map(|wheel| {
        let folder = folders
            .get(&wheel.wheel.name)
            .ok_or_else(|| VendorError::Missing {
                wheel: wheel.wheel.file_name.clone(),
            })?;
        let text = fs_err::read_to_string(folder.join("RECORD"))?;
        if let Some(path) = outside(&text, unpacked) {
            return Err(VendorError::Outside {
                wheel: wheel.wheel.file_name.clone(),
                path: ignore::escaped(&path),
            });
        }
        let record = parse_record(&text);
        Ok(Distribution { wheel, record })
    });
    read.collect()
}

/// The first path of a RECORD that leads out of the wheel. What the installers themselves put beside the library folder,
/// such as scripts, begins with `../` in their RECORDs, and is there.
fn outside(text: &str, unpacked: &Path) -> Option<String> {
    let leads_out = |path: &String| {
        let inside = path.trim_start_matches("../");
        let is_by_installer = inside == path || !is_shipped(inside);
        path.starts_with('/')
            || inside.split('/').any(|part| part == "..")
            || !(is_by_installer || unpacked.join(inside).exists())
    };
    lines_of_record(text).map(|(path, _)| path).find(leads_out)
}

/// The paths of a RECORD with their hashes. Paths outside of the library folder begin with `../` in pip's RECORDs.
fn parse_record(text: &str) -> BTreeMap<String, String> {
    let inside = |(path, hash): (String, String)| (path.trim_start_matches("../").to_owned(), hash);
    lines_of_record(text).map(inside).collect()
}

/// The paths of a RECORD, as they are written, each with its hash.
fn lines_of_record(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.lines().filter_map(|line| {
        let (path, rest) = if let Some(quoted) = line.strip_prefix('"') {
            let (path, rest) = quoted.rsplit_once("\",")?;
            (path.replace("\"\"", "\""), rest)
        } else {
            let (path, rest) = line.split_once(',')?;
            (path.to_owned(), rest)
        };
        let hash = rest.split(',').next().unwrap_or_default();
        Some((path, hash.to_owned()))
    })
}

/// For each path the distributions that have it, each with its hash.
fn owners(distributions: &[Distribution<'_>]) -> BTreeMap<String, BTreeMap<usize, String>> {
    let mut owners: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    for (index, distribution) in distributions.iter().enumerate() {
        let shipped = distribution
            .record
            .iter()
            .filter(|(path, _)| is_shipped(path));
        for (path, hash) in shipped {
            let of_path = owners.entry(path.clone()).or_default();
            of_path.insert(index, hash.clone());
        }
    }
    owners
}

/// Whether a path belongs to the wheel, and not to the installer or the host.
fn is_shipped(path: &str) -> bool {
    const NOTES: [&str; 7] = [
        "INSTALLER",
        "REQUESTED",
        "RECORD",
        "RECORD.jws",
        "RECORD.p7s",
        "direct_url.json",
        "uv_cache.json",
    ];
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [".lock"] | ["bin", ..] => false,
        // Headers are for compilers, and pip and uv put them into different folders.
        ["include", .., file] => Path::new(file).extension().is_some_and(|end| end == "py"),
        [folder, file] if folder.ends_with(".dist-info") => !NOTES.contains(file),
        _ => !parts.contains(&"__pycache__"),
    }
}

/// Whether a file lies in a `.dist-info` folder of a package that is not among the wheels.
fn is_left_over(path: &str, distributions: &[Distribution<'_>]) -> bool {
    let Some((folder, _)) = path.split_once(".dist-info/") else {
        return false;
    };
    let package = normalise(folder.split('-').next().unwrap_or_default());
    distributions
        .iter()
        .all(|distribution| distribution.wheel.wheel.name != package)
}

/// The distribution of the files in the nearest folder above `path` that has any; `None` if several distributions have
/// files there.
fn nearest_owner(path: &str, owners: &BTreeMap<String, BTreeMap<usize, String>>) -> Option<usize> {
    let mut folder = path;
    while let Some((parent, _)) = folder.rsplit_once('/') {
        folder = parent;
        let start = format!("{folder}/");
        let beside = owners
            .range(start.clone()..)
            .take_while(|(other, _)| other.starts_with(&start));
        let found: BTreeSet<usize> = beside
            .flat_map(|(_, owners)| owners.keys().copied())
            .collect();
        match found.len() {
            0 => {}
            1 => return found.first().copied(),
            _ => return None,
        }
    }
    None
}

/// The wheels that have to go into the folder, by their numbers.
fn in_folder(
    installed: &[(&LockedWheel, Vec<Entry>)],
    owners: &BTreeMap<&str, Vec<(usize, &Entry)>>,
) -> BTreeSet<usize> {
    let mut in_folder: BTreeSet<usize> = (0..installed.len())
        .filter(|index| !installed[*index].0.wheel.is_for_any_platform())
        .collect();
    let mut packages: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (path, owners) in owners {
        let owners = owners.iter().map(|(owner, _)| *owner);
        if needs_folder(path) {
            in_folder.extend(owners.clone());
        }
        if let Some((package, _)) = path.split_once('/') {
            packages.entry(package).or_default().extend(owners);
        }
    }
    loop {
        let before = in_folder.len();
        for together in packages.values() {
            if !together.is_disjoint(&in_folder) {
                in_folder.extend(together);
            }
        }
        if in_folder.len() == before {
            return in_folder;
        }
    }
}

/// Whether a file must not be in a zip: a library, or data that a package may look for beside its code.
fn needs_folder(path: &str) -> bool {
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let end = Path::new(path).extension();
    let is_code = end.is_some_and(|end| ["py", "pyi", "typed"].iter().any(|known| end == *known));
    !is_code && !first.ends_with(".dist-info")
}

#[cfg(test)]
mod tests {
    /// An empty cache.
    fn nothing() -> crate::project::digest_cache::DigestCache {
        crate::project::digest_cache::DigestCache::read(b"", std::time::Duration::ZERO)
    }

    use super::*;

    fn wheel(file_name: &str) -> LockedWheel {
        LockedWheel::of_file(file_name.parse().unwrap(), Digest::of(file_name.as_bytes()))
    }

    /// Unpacks the files of `name-1.0`; the hash of each in the RECORD is its content.
    fn unpack(folder: &Path, name: &str, files: &[(&str, &str)], notes: &[&str]) {
        let information = format!("{name}-1.0.dist-info");
        let mut record = String::new();
        let metadata = format!("{information}/METADATA");
        for (path, content) in files.iter().chain([&(metadata.as_str(), "m")]) {
            let file = folder.join(path.trim_start_matches("../"));
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, content).unwrap();
            record.extend([path, ",sha256=", content, ",1\n"]);
        }
        for note in notes {
            let file = folder.join(note);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        fs_err::write(folder.join(information).join("RECORD"), record).unwrap();
    }

    /// Each wheel with its files, as they are after [`placement`]; the content of a file is its hash in the RECORD.
    fn placed<'a>(
        folder: &Path,
        wheels: &'a [LockedWheel],
    ) -> Result<Vec<(&'a LockedWheel, Vec<Entry>)>, VendorError> {
        let placement = placement(folder, wheels)?;
        let of_wheel = |(number, wheel)| {
            let owners = placement.owners.iter();
            let paths = owners.filter(|(_, owners)| owners.contains(&number));
            let entries = paths.map(|(path, _)| {
                let content = fs_err::read(folder.join(path)).unwrap();
                Entry::in_memory(path.clone(), content, false)
            });
            (wheel, entries.collect())
        };
        Ok(wheels.iter().enumerate().map(of_wheel).collect())
    }

    fn paths(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.path.as_str()).collect()
    }

    /// Unpacks a plain wheel, one with native code, one that only calls itself plain, and one with data; with litter.
    fn unpack_of_each_kind(folder: &Path) {
        let pure = [
            ("pure/__init__.py", "1"),
            ("../../bin/pure", "1"),
            ("../../include/python/pure/a.h", "1"),
        ];
        unpack(
            folder,
            "pure",
            &pure,
            &[
                ".lock",
                "pure/__pycache__/a.pyc",
                "pure-1.0.dist-info/INSTALLER",
            ],
        );
        unpack(
            folder,
            "fast",
            &[
                ("fast/x.py", "1"),
                ("fast/_x.so", "1"),
                ("fast.libs/libz.so.1", "1"),
            ],
            &["fast/unlisted.txt"],
        );
        unpack(folder, "sly", &[("sly.so", "1")], &[]);
        unpack(
            folder,
            "data",
            &[("data/a.json", "1"), ("data/b.py", "1")],
            &[],
        );
    }

    #[test]
    fn distributions_stay_whole_and_litter_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        unpack_of_each_kind(folder.path());
        let wheels = [
            wheel("pure-1.0-py3-none-any.whl"),
            wheel("fast-1.0-cp311-cp311-manylinux2014_x86_64.whl"),
            wheel("sly-1.0-py3-none-any.whl"),
            wheel("data-1.0-py3-none-any.whl"),
        ];
        let placed = placed(folder.path(), &wheels).unwrap();
        let of_wheels: Vec<Vec<&str>> = placed.iter().map(|(_, entries)| paths(entries)).collect();
        assert_eq!(
            of_wheels[0],
            ["pure-1.0.dist-info/METADATA", "pure/__init__.py"]
        );
        assert_eq!(
            of_wheels[1],
            [
                "fast-1.0.dist-info/METADATA",
                "fast.libs/libz.so.1",
                "fast/_x.so",
                "fast/unlisted.txt",
                "fast/x.py",
            ]
        );
        let vendored = split(&placed).unwrap();
        assert_eq!(
            paths(&vendored.libs),
            ["pure-1.0.dist-info/METADATA", "pure/__init__.py",]
        );
        assert_eq!(
            paths(&vendored.site_packages),
            [
                "data-1.0.dist-info/METADATA",
                "data/a.json",
                "data/b.py",
                "fast-1.0.dist-info/METADATA",
                "fast.libs/libz.so.1",
                "fast/_x.so",
                "fast/unlisted.txt",
                "fast/x.py",
                "sly-1.0.dist-info/METADATA",
                "sly.so",
            ]
        );
    }

    #[test]
    fn a_file_that_would_delete_others_is_refused_with_its_wheel() {
        let wheels = [wheel("a-1.0-py3-none-any.whl")];
        for (path, is_refused) in [
            ("a/.wh.b", true),
            ("a/.wh.b/c.py", true),
            (".wh..wh..opq", true),
            ("../../bin/.wh.sh", false),
            ("a/b.wh.", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            unpack(folder.path(), "a", &[("a/x.py", "1"), (path, "1")], &[]);
            let Err(error) = placement(folder.path(), &wheels) else {
                assert!(!is_refused, "{path}");
                continue;
            };
            assert!(is_refused, "{error}");
            assert_eq!(error.code(), "E726");
            assert_eq!(
                error.to_string(),
                format!(
                    "`{path}` of `a-1.0-py3-none-any.whl`: in a layer its name would delete a file of the parent"
                )
            );
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn a_pure_wheel_follows_the_native_one_whose_package_it_shares() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path(), "core", &[("cloud/core/_x.so", "1")], &[]);
        unpack(
            folder.path(),
            "more",
            &[("cloud/more.py", "1"), ("extra/a.py", "1")],
            &[],
        );
        unpack(folder.path(), "last", &[("extra/b.py", "1")], &[]);
        unpack(folder.path(), "free", &[("free.py", "1")], &[]);
        let wheels: Vec<LockedWheel> = ["core", "more", "last", "free"]
            .map(|name| wheel(&format!("{name}-1.0-py3-none-any.whl")))
            .into();
        let vendored = split(&placed(folder.path(), &wheels).unwrap()).unwrap();
        assert_eq!(
            paths(&vendored.libs),
            ["free-1.0.dist-info/METADATA", "free.py"]
        );
        assert_eq!(vendored.site_packages.len(), 7);
    }

    #[test]
    fn of_a_harmless_file_the_first_wheel_by_name_counts() {
        let wheels = [
            wheel("b-1.0-py3-none-any.whl"),
            wheel("a-1.0-py3-none-any.whl"),
            wheel("c-1.0-py3-none-any.whl"),
        ];
        let split_of = |path: &str| {
            let of = |name: &str, content: &str| {
                let own = Entry::in_memory(format!("{name}.py"), name.to_owned(), false);
                vec![own, Entry::in_memory(path, content.to_owned(), false)]
            };
            split(&[
                (&wheels[0], of("b", "2")),
                (&wheels[1], of("a", "1")),
                (&wheels[2], of("c", "1")),
            ])
        };
        for path in [
            "LICENSE",
            "README.md",
            "tests/__init__.py",
            "docs/conf.py",
            "examples/a/b.py",
            "share/x.json",
        ] {
            let split = split_of(path).unwrap();
            let all = split.libs.iter().chain(&split.site_packages);
            let shared: Vec<&Entry> = all.filter(|entry| entry.path == path).collect();
            let first = Entry::in_memory(path, "1".to_owned(), false);
            assert!(!shared.is_empty(), "{path}");
            assert!(
                shared.iter().all(|entry| digest(entry) == digest(&first)),
                "{path}"
            );
        }
        for path in [
            "x.py",
            "a/x.py",
            "a/_x.so",
            "a.libs/libz.so.1",
            "a.pth",
            "a/tests/x.py",
        ] {
            assert_eq!(split_of(path).unwrap_err().code(), "E723", "{path}");
        }
    }

    #[test]
    fn a_folder_is_taken_as_it_is_if_all_of_it_is_of_one_wheel() {
        let folder = tempfile::tempdir().unwrap();
        unpack_of_each_kind(folder.path());
        let spaces = [
            ("b", "ns/b/deep/x.py"),
            ("c", "ns/c/x.py"),
            ("d", "ns/d.py"),
        ];
        for (name, path) in spaces {
            unpack(folder.path(), name, &[(path, name)], &[]);
        }
        for (name, content) in [("e", "1"), ("f", "2")] {
            let path = format!("{name}/x.py");
            let files = [("both/x.py", content), (&path, "1")];
            unpack(folder.path(), name, &files, &[]);
        }
        unpack(folder.path(), "g", &[("g/x.py", "1")], &[]);
        let names = ["pure", "fast", "sly", "data", "b", "c", "d", "e", "f", "g"];
        let wheels = names.map(|name| wheel(&format!("{name}-1.0-py3-none-any.whl")));
        let placement = placement(folder.path(), &wheels).unwrap();
        assert_eq!(placement.overwritten, [7, 8].into());
        // `pure` has bytecode in it, and each `.dist-info` what the installer wrote.
        let wanted = [
            ("data", 3),
            ("fast", 1),
            ("fast.libs", 1),
            ("g", 9),
            ("ns/b", 4),
            ("ns/c", 5),
        ];
        let wanted = wanted.map(|(folder, owner)| (folder.to_owned(), owner));
        assert_eq!(placement.folders, wanted.into());
        let single: Vec<&str> = placement
            .single_files()
            .map(|(path, _)| path.as_str())
            .filter(|path| !path.contains(".dist-info/"))
            .collect();
        let wanted = [
            "both/x.py",
            "e/x.py",
            "f/x.py",
            "ns/d.py",
            "pure/__init__.py",
            "sly.so",
        ];
        assert_eq!(single, wanted);
    }

    #[test]
    fn two_wheels_may_share_a_path_only_with_the_same_content() {
        let folder = tempfile::tempdir().unwrap();
        let wheels = [
            wheel("a-1.0-py3-none-any.whl"),
            wheel("b-1.0-py3-none-any.whl"),
        ];
        unpack(folder.path(), "a", &[("ns/__init__.py", "1")], &[]);
        unpack(folder.path(), "b", &[("ns/__init__.py", "1")], &[]);
        let same = placement(folder.path(), &wheels).unwrap();
        assert_eq!(same.owners["ns/__init__.py"], [0, 1].into());
        assert!(same.overwritten.is_empty());
        unpack(folder.path(), "b", &[("ns/__init__.py", "2")], &[]);
        let other = placement(folder.path(), &wheels).unwrap();
        assert_eq!(other.overwritten, [0, 1].into());
        let of = |content: &str| {
            vec![Entry::in_memory(
                "ns/__init__.py",
                content.to_owned(),
                false,
            )]
        };
        let shared = |first, second| split(&[(&wheels[0], of(first)), (&wheels[1], of(second))]);
        assert_eq!(paths(&shared("1", "1").unwrap().libs), ["ns/__init__.py"]);
        let error = shared("1", "2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`a==1.0` and `b==1.0` both bring `ns/__init__.py`, each with other content"
        );
        let absent = [wheel("c-1.0-py3-none-any.whl")];
        assert_eq!(
            placement(folder.path(), &absent).unwrap_err().code(),
            "E724"
        );
    }

    #[test]
    fn a_file_that_is_not_as_recorded_is_noticed() {
        let of = |content: &str| vec![Entry::in_memory("a.py", content.to_owned(), false)];
        // `printf abc | openssl dgst -sha256 -binary | basenc --base64url`
        let hash = "sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        for hash in [hash.to_owned(), format!("{hash}=")] {
            let digest = recorded_digest(&hash).unwrap();
            assert_eq!(digest, Digest::of(b"abc"));
            let recorded: Recorded = [("a.py".to_owned(), digest)].into();
            assert!(is_as_recorded(&of("abc"), &recorded));
            assert!(!is_as_recorded(&of("abd"), &recorded));
        }
        assert!(is_as_recorded(&of("abd"), &Recorded::new()));
        for other in ["md5=kAFQmDzST7DWlj99KOF_cg", "sha256=abc", "sha256=?", ""] {
            assert_eq!(recorded_digest(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_of_nobody_is_named() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path(), "a", &[("a/x.py", "1")], &["b/y.py"]);
        let error = placement(folder.path(), &[wheel("a-1.0-py3-none-any.whl")]).unwrap_err();
        assert_eq!(error.to_string(), "`b/y.py` is in no wheel's list of files");
    }

    #[test]
    fn links_are_refused_and_files_are_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b/a", "b.py", "a"] {
            let file = folder.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, path).unwrap();
        }
        let entries = walk(folder.path(), &nothing()).unwrap();
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "b.py", "b/a"]);
        for (link, to) in [("c", "a"), ("c", "b"), ("b/c", "../b")] {
            let link = folder.path().join(link);
            fs_err::os::unix::fs::symlink(to, &link).unwrap();
            assert_eq!(walk(folder.path(), &nothing()).unwrap_err().code(), "E721");
            fs_err::remove_file(link).unwrap();
        }
        assert!(
            walk(&folder.path().join("missing"), &nothing())
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_the_image_has_is_left_out() {
        let wheels = ["six-1.0", "numpy-2.0", "py4j-0.10.9.9"]
            .map(|stem| wheel(&format!("{stem}-py3-none-any.whl")));
        let (kept, left_out) = leave_out(wheels.into(), &[Pin::new("NumPy", "2.0")]);
        assert_eq!(kept.len(), 1);
        let left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        assert_eq!(left_out, ["numpy==2.0", "py4j==0.10.9.9"]);
    }

    #[test]
    fn a_list_that_leads_out_of_its_wheel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs_err::create_dir_all(at("share")).unwrap();
        fs_err::write(at("share/x.txt"), "").unwrap();
        let found = |text: &str| outside(text, folder.path());
        // What installers list themselves.
        for own in [
            "a.py,,\n",
            "../../bin/run,sha256=x,1\n",
            "../../share/x.txt,,\n",
            "../../include/x/y.h,,\n",
            "\"a/b..py\",,\n",
        ] {
            assert_eq!(found(own), None, "{own}");
        }
        for path in ["../evil.py", "/etc/evil", "a/../../evil.py", "../a/../../b"] {
            let text = format!("a.py,,\n{path},sha256=x,1\n");
            assert_eq!(found(&text).as_deref(), Some(path));
        }
    }

    #[test]
    fn a_wheel_of_too_many_files_or_bytes_is_refused() {
        let most = Load {
            files: 2,
            bytes: 10,
        };
        let told = |sizes: &[u64]| {
            let mut load = Load::default();
            for bytes in sizes {
                load.add(*bytes);
            }
            let refused = load.refuse_more_than(most, "a.whl").err()?;
            assert_eq!(refused.code(), Code::E728);
            Some(refused.to_string())
        };
        assert_eq!(told(&[5, 5]), None);
        let files = "`a.whl` has 3 files, and no image takes more than 2 files of one wheel";
        assert_eq!(told(&[0, 0, 0]).as_deref(), Some(files));
        let bytes = "`a.whl` has 11 bytes, and no image takes more than 10 bytes of one wheel";
        assert_eq!(told(&[1, 10]).as_deref(), Some(bytes));
    }

    #[test]
    fn records_with_quotes_and_commas_are_read() {
        let record =
            parse_record("\"a,\"\"b.py\",sha256=x,1\n../../../bin/y,sha256=z,1\nplain,,\n");
        let paths: Vec<(&str, &str)> = record
            .iter()
            .map(|(path, hash)| (&**path, &**hash))
            .collect();
        assert_eq!(
            paths,
            [
                ("a,\"b.py", "sha256=x"),
                ("bin/y", "sha256=z"),
                ("plain", "")
            ]
        );
    }
}
