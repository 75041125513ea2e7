//! `requirements.lock`: the chosen wheels, in a format that pip and uv can install from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{BuiltFrom, Pin, Requirements};
use crate::{
    code::Code,
    image::{Digest, Platform},
    project::{
        place::{Defect, Place},
        wheel::{Target, WheelName},
    },
};

/// The version of the lock's format that is written and read.
const FORMAT: &str = "1";

/// What stands before the source of a wheel that is built.
const BUILT_FROM: &str = "built from ";

/// The name of a wheel's file, its digest, and what it is built from.
type LockedFile<'a> = (&'a str, &'a Digest, Option<&'a BuiltFrom>);

/// A wheel that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedWheel {
    /// What its file name says.
    pub wheel: WheelName,
    /// The digest of the file; that of its source, if it is built and not kept.
    pub sha256: Digest,
    /// What it is built from, if no index has it.
    pub built_from: Option<BuiltFrom>,
}

impl LockedWheel {
    /// A wheel of an index, or one that is named by its place.
    #[must_use]
    pub fn of_file(wheel: WheelName, sha256: Digest) -> Self {
        Self {
            wheel,
            sha256,
            built_from: None,
        }
    }

    /// What it is built from wherever it is needed, since no file of it is kept.
    #[must_use]
    pub fn built_anew(&self) -> Option<&BuiltFrom> {
        let source = self.built_from.as_ref()?;
        (source.digest() == self.sha256).then_some(source)
    }

    /// The package and the version.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin {
            name: self.wheel.name.clone(),
            version: self.wheel.version.clone(),
        }
    }
}

/// What wheels are chosen for, whatever the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// The digest of the requirements' meaning: see [`Requirements::digest`].
    pub requirements_digest: Digest,
    /// Major and minor version of the image's Python.
    pub python: (u8, u8),
    /// Major and minor version of the image's C library.
    pub glibc: (u8, u8),
}

impl ResolveRequest {
    /// The request for these requirements, given the packages that the parent image already has.
    #[must_use]
    pub fn of(requirements: &Requirements, provided: &[Pin], target: &Target) -> Self {
        Self {
            requirements_digest: requirements.digest(provided),
            python: target.python,
            glibc: target.glibc,
        }
    }

    /// The same above an image from elsewhere with these packages, which need not be shipped in the same versions.
    #[must_use]
    pub fn over(mut self, installed: &[Pin]) -> Self {
        if !installed.is_empty() {
            let pins: BTreeSet<String> = installed.iter().map(ToString::to_string).collect();
            let first = self.requirements_digest.to_string();
            let fields = std::iter::once(first.as_str()).chain(pins.iter().map(String::as_str));
            self.requirements_digest = Digest::of_fields(fields);
        }
        self
    }
}

/// The wheels chosen for some requirements, on every platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The digest of the requirements' meaning: see [`Requirements::digest`].
    pub requirements_digest: Digest,
    /// Major and minor version of the image's Python.
    pub python: (u8, u8),
    /// Major and minor version of the image's C library.
    pub glibc: (u8, u8),
    /// The wheels by platform, sorted by the package's name.
    pub wheels: BTreeMap<Platform, Vec<LockedWheel>>,
    /// Packages that are required, but that the parent image already has.
    pub left_out: BTreeSet<Pin>,
}

/// The lock of a requirements file: `requirements.lock` beside `requirements.txt`.
#[must_use]
pub fn lock_file_beside(requirements: &Path) -> PathBuf {
    requirements.with_extension("lock")
}

impl Lock {
    /// Whether the lock was made for this request.
    #[must_use]
    pub fn answers(&self, asked: &ResolveRequest) -> bool {
        (&self.requirements_digest, self.python, self.glibc)
            == (&asked.requirements_digest, asked.python, asked.glibc)
    }

    /// The text: the same for the same content, sorted by name, without a URL.
    #[must_use]
    pub fn to_text(&self) -> String {
        let platforms: Vec<String> = self.wheels.keys().map(ToString::to_string).collect();
        let version = |(major, minor): (u8, u8)| format!("{major}.{minor}");
        let mut text = format!(
            "# Written by sparkpack: the wheels that were chosen. Commit it.\n# format: {FORMAT}\n\
             # requirements: {}\n# python: {}\n# glibc: {}\n# platforms: {}\n",
            self.requirements_digest,
            version(self.python),
            version(self.glibc),
            platforms.join(" ")
        );
        for pin in &self.left_out {
            let _ = writeln!(text, "# left out: {pin}");
        }
        for (pin, files) in self.by_pin() {
            text.push('\n');
            self.write_package(&mut text, &pin, &files);
        }
        text
    }

    /// The files of every package, each with the platforms that it is for.
    fn by_pin(&self) -> BTreeMap<Pin, BTreeMap<LockedFile<'_>, BTreeSet<&Platform>>> {
        let mut packages: BTreeMap<Pin, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for (platform, wheels) in &self.wheels {
            for locked in wheels {
                let LockedWheel {
                    wheel,
                    sha256,
                    built_from,
                } = locked;
                let file = (wheel.file_name.as_str(), sha256, built_from.as_ref());
                let files = packages.entry(locked.pin()).or_default();
                files.entry(file).or_default().insert(platform);
            }
        }
        packages
    }

    fn write_package(
        &self,
        text: &mut String,
        pin: &Pin,
        files: &BTreeMap<LockedFile<'_>, BTreeSet<&Platform>>,
    ) {
        let mut covered = BTreeSet::new();
        for ((name, _, built_from), platforms) in files {
            covered.extend(platforms.iter().copied());
            let _ = write!(text, "# {name}");
            if platforms.len() < self.wheels.len() {
                let named: Vec<String> = platforms.iter().map(ToString::to_string).collect();
                let _ = write!(text, " for {}", named.join(" "));
            }
            text.push('\n');
            if let Some(source) = built_from {
                let _ = writeln!(text, "# {BUILT_FROM}{source}");
            }
        }
        let _ = write!(text, "{pin}");
        if covered.len() < self.wheels.len() {
            let machines: Vec<String> = covered
                .iter()
                .map(|platform| self.condition(platform))
                .collect();
            let _ = write!(text, " ; {}", machines.join(" or "));
        }
        // One hash for each file, in the files' order, so that the text can be parsed again.
        let hashes: Vec<String> = files
            .keys()
            .map(|(_, digest, _)| format!("--hash={digest}"))
            .collect();
        let _ = writeln!(text, " \\\n    {}", hashes.join(" \\\n    "));
    }

    fn condition(&self, platform: &Platform) -> String {
        let target = Target {
            python: self.python,
            platform: platform.clone(),
            glibc: self.glibc,
        };
        format!("platform_machine == \"{}\"", target.machine())
    }

    /// Parses a lock.
    ///
    /// # Errors
    /// The text is no lock, or one of another format.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Defect> {
        Reader::default().read(text).map_err(|(line, message)| {
            let defect = Defect::new(
                Code::E049,
                Place::of_line(file, line),
                format!("not a lock: {message}"),
            );
            defect.hint("take the committed file back, or delete it and run `sparkpack lock`")
        })
    }
}

type Broken = (usize, String);

#[derive(Default)]
struct Reader {
    header: BTreeMap<String, (usize, String)>,
    left_out: BTreeSet<Pin>,
    /// The files named since the last package, with the platforms named beside them and what they are built from.
    pending: Vec<(WheelName, Vec<Platform>, Option<BuiltFrom>)>,
    wheels: Vec<(LockedWheel, Vec<Platform>)>,
}

impl Reader {
    fn read(mut self, text: &str) -> Result<Lock, Broken> {
        let mut package = String::new();
        let (mut first, mut last) = (1, 1);
        for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            last = index + 1;
            let line = raw.trim();
            if package.is_empty() {
                first = last;
                if let Some(comment) = line.strip_prefix('#') {
                    self.comment(last, comment.trim())
                        .map_err(|message| (last, message))?;
                    continue;
                }
            }
            package.push_str(line.trim_end_matches('\\'));
            if !line.ends_with('\\') && !package.is_empty() {
                self.package(&std::mem::take(&mut package))
                    .map_err(|message| (first, message))?;
            }
        }
        if !package.is_empty() || !self.pending.is_empty() {
            return Err((last, "it ends within a package".to_owned()));
        }
        self.finish()
    }

    fn comment(&mut self, line: usize, comment: &str) -> Result<(), String> {
        let mut words = comment.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let (Some(source), Some(last)) =
            (comment.strip_prefix(BUILT_FROM), self.pending.last_mut())
        {
            let source = BuiltFrom::parse(source);
            last.2 = Some(source.ok_or(format!("`{comment}` names no source"))?);
            return Ok(());
        }
        if let Ok(wheel) = first.parse::<WheelName>() {
            let platforms = match words.next() {
                Some("for") => words
                    .map(|word| word.parse::<Platform>().map_err(|error| error.to_string()))
                    .collect(),
                None => Ok(Vec::new()),
                Some(other) => Err(format!("`{other}` after the name of a wheel")),
            };
            self.pending.push((wheel, platforms?, None));
        } else if let Some((key, value)) = comment.split_once(": ") {
            match (key, value.split_once("==")) {
                ("left out", Some((name, version))) => {
                    self.left_out.insert(Pin::new(name, version));
                }
                _ => {
                    self.header
                        .entry(key.to_owned())
                        .or_insert((line, value.to_owned()));
                }
            }
        }
        Ok(())
    }

    fn package(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let pin = words.next().unwrap_or_default();
        let (name, version) = pin
            .split_once("==")
            .ok_or(format!("`{pin}` is not `name==version`"))?;
        let hashes: Vec<&str> = words
            .filter_map(|word| word.strip_prefix("--hash="))
            .collect();
        let pending = std::mem::take(&mut self.pending);
        if hashes.len() != pending.len() || pending.is_empty() {
            return Err(format!(
                "`{pin}` has {} hashes for {} files",
                hashes.len(),
                pending.len()
            ));
        }
        for ((wheel, platforms, built_from), hash) in pending.into_iter().zip(hashes) {
            if (wheel.name.as_str(), wheel.version.as_str()) != (name, version) {
                return Err(format!("`{}` is not a wheel of `{pin}`", wheel.file_name));
            }
            let locked = LockedWheel {
                wheel,
                sha256: hash.parse().map_err(|error| format!("{error}"))?,
                built_from,
            };
            self.wheels.push((locked, platforms));
        }
        Ok(())
    }

    fn header<T>(&self, key: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Broken> {
        let (line, value) = self
            .header
            .get(key)
            .ok_or((1, format!("the line `# {key}: …` is missing")))?;
        read(value).ok_or((*line, format!("`{value}` as `{key}`")))
    }

    fn finish(self) -> Result<Lock, Broken> {
        let known = |value: &str| (value == FORMAT).then_some(());
        self.header("format", known)?;
        let platforms = self.header("platforms", |value| {
            let platforms: Option<Vec<Platform>> = value
                .split_whitespace()
                .map(|word| word.parse().ok())
                .collect();
            platforms
        })?;
        let mut lock = Lock {
            requirements_digest: self.header("requirements", |value| value.parse().ok())?,
            python: self.header("python", version)?,
            glibc: self.header("glibc", version)?,
            wheels: platforms
                .iter()
                .map(|platform| (platform.clone(), Vec::new()))
                .collect(),
            left_out: self.left_out,
        };
        for (locked, named) in self.wheels {
            for platform in if named.is_empty() { &platforms } else { &named } {
                let unknown = (1, format!("`{platform}` is not among the platforms"));
                lock.wheels
                    .get_mut(platform)
                    .ok_or(unknown)?
                    .push(locked.clone());
            }
        }
        Ok(lock)
    }
}

/// `3.11` as two numbers.
fn version(text: &str) -> Option<(u8, u8)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(file_name: &str) -> LockedWheel {
        LockedWheel::of_file(file_name.parse().unwrap(), Digest::of(file_name.as_bytes()))
    }

    fn lock(platforms: &[(&str, &[&str])]) -> Lock {
        let wheels = platforms.iter().map(|(platform, files)| {
            (
                platform.parse().unwrap(),
                files.iter().map(|file| locked(file)).collect(),
            )
        });
        Lock {
            requirements_digest: Digest::of(b"x"),
            python: (3, 11),
            glibc: (2, 28),
            wheels: wheels.collect(),
            left_out: [Pin::new("PySpark", "4.1.4")].into(),
        }
    }

    /// Two wheels that are built, of which one is kept.
    fn built() -> Lock {
        let mut lock = lock(&[("linux/amd64", &[AMD, ANY]), ("linux/arm64", &[ARM, ANY])]);
        let commit = "git+https://git.example/six@v1#subdirectory=a at 0123456789abcdef0123456789abcdef01234567";
        for wheels in lock.wheels.values_mut() {
            let archive = format!("markupsafe-3.0.2.tar.gz {}", Digest::of(b"archive"));
            wheels[0].built_from = BuiltFrom::parse(&archive);
            wheels[1].built_from = BuiltFrom::parse(commit);
            wheels[1].sha256 = wheels[1].built_from.as_ref().unwrap().digest();
        }
        lock
    }

    #[test]
    fn a_wheel_that_is_kept_is_told_from_one_that_is_built_anew() {
        let lock = built();
        for wheels in lock.wheels.values() {
            assert_eq!(wheels[0].built_anew(), None);
            assert_eq!(wheels[1].built_anew(), wheels[1].built_from.as_ref());
        }
        let text = lock.to_text();
        let broken = text.replace(" at 0123", " at main");
        let error = Lock::parse(Path::new("l"), &broken).unwrap_err();
        assert!(error.to_string().contains("names no source"), "{error}");
    }

    const ANY: &str = "six-1.17.0-py2.py3-none-any.whl";
    const AMD: &str = "MarkupSafe-3.0.2-cp311-cp311-manylinux2014_x86_64.whl";
    const ARM: &str = "MarkupSafe-3.0.2-cp311-cp311-manylinux2014_aarch64.whl";

    #[test]
    fn one_platform_reads_like_any_requirements_file() {
        let lock = lock(&[("linux/amd64", &[AMD, ANY])]);
        let digest = |name: &str| Digest::of(name.as_bytes());
        let wanted = format!(
            "# Written by sparkpack: the wheels that were chosen. Commit it.\n# format: 1\n# requirements: {}\n\
             # python: 3.11\n# glibc: 2.28\n# platforms: linux/amd64\n# left out: pyspark==4.1.4\n\n\
             # {AMD}\nmarkupsafe==3.0.2 \\\n    --hash={}\n\n# {ANY}\nsix==1.17.0 \\\n    --hash={}\n",
            digest("x"),
            digest(AMD),
            digest(ANY)
        );
        assert_eq!(lock.to_text(), wanted);
    }

    #[test]
    fn text_and_lock_turn_into_each_other() {
        let cases = [
            lock(&[("linux/amd64", &[])]),
            lock(&[("linux/amd64", &[AMD, ANY])]),
            lock(&[("linux/amd64", &[AMD, ANY]), ("linux/arm64", &[ARM, ANY])]),
            lock(&[
                ("linux/amd64", &["six-1.16.0-py3-none-any.whl"]),
                ("linux/arm64", &[ANY]),
            ]),
            lock(&[("linux/amd64", &[AMD]), ("linux/arm64", &[])]),
            built(),
        ];
        for lock in cases {
            let text = lock.to_text();
            assert_eq!(
                Lock::parse(Path::new("l"), &text).as_ref(),
                Ok(&lock),
                "{text}"
            );
            assert_eq!(
                Lock::parse(Path::new("l"), &text.replace('\n', "\r\n")).as_ref(),
                Ok(&lock)
            );
        }
    }

    #[test]
    fn what_only_some_platforms_have_is_conditional() {
        let text = lock(&[("linux/amd64", &[AMD, ANY]), ("linux/arm64", &[ANY])]).to_text();
        assert!(
            text.contains("markupsafe==3.0.2 ; platform_machine == \"x86_64\" \\\n"),
            "{text}"
        );
        assert!(
            text.contains(&format!("# {AMD} for linux/amd64\n")),
            "{text}"
        );
        assert!(text.contains("six==1.17.0 \\\n"), "{text}");
    }

    #[test]
    fn a_broken_lock_is_refused_with_its_line() {
        let text = lock(&[("linux/amd64", &[AMD, ANY])]).to_text();
        let broken = [
            (String::new(), 1),
            (text.replace("# format: 1", "# format: 2"), 2),
            (
                text.replace("# platforms: linux/amd64", "# platforms: windows"),
                6,
            ),
            (text.replace(&format!("# {ANY}\n"), ""), 13),
            (text.replace("six==1.17.0", "six==1.17.1"), 14),
            (text.replace("# left", "<<<<<<< HEAD\n# left"), 7),
            (text[..text.len() - 3].to_owned(), 14),
            (format!("{text}\n# {ANY}\n"), 17),
        ];
        for (text, line) in broken {
            let defect = Lock::parse(Path::new("requirements.lock"), &text).unwrap_err();
            assert_eq!(
                (defect.code.as_str(), defect.place.line),
                ("E049", line),
                "{defect}\n{text}"
            );
        }
    }

    #[test]
    fn a_lock_is_current_for_what_it_was_made_for_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("r.txt"), "six").unwrap();
        let requirements = Requirements::read(folder.path(), Path::new("r.txt")).unwrap();
        let provided = [Pin::new("numpy", "2.0")];
        let mut lock = lock(&[("linux/amd64", &[ANY])]);
        lock.requirements_digest = requirements.digest(&provided);
        let target = Target {
            python: (3, 11),
            platform: Platform::default(),
            glibc: (2, 28),
        };
        assert!(lock.answers(&ResolveRequest::of(&requirements, &provided, &target)));
        assert!(!lock.answers(&ResolveRequest::of(&requirements, &[], &target)));
        for other in [
            Target {
                python: (3, 12),
                ..target.clone()
            },
            Target {
                glibc: (2, 36),
                ..target.clone()
            },
        ] {
            let asked = ResolveRequest::of(&requirements, &provided, &other);
            assert!(!lock.answers(&asked), "{other}");
        }
    }

    #[test]
    fn the_lock_lies_beside_its_requirements() {
        for (file, lock) in [
            ("a/requirements.txt", "a/requirements.lock"),
            ("requirements-x.txt", "requirements-x.lock"),
        ] {
            assert_eq!(lock_file_beside(Path::new(file)), Path::new(lock));
        }
    }
}
