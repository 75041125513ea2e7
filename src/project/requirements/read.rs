//! Reads a requirements file and all files that it includes.

use std::path::{Component, Path, PathBuf};

use super::{
    PackageIndex, Requirement, Requirements, RequirementsFile, compiled, kind,
    load::{decode, load},
    parse::{Line, Logical, line},
    pieces::Wrong,
};
use crate::{
    code::Code,
    project::place::{Defect, Place},
};

/// The size limit of a file, in bytes: a larger file is no list of requirements.
const SIZE_LIMIT: u64 = 4 << 20;

/// The length limit of a line, in bytes.
const LINE_LIMIT: usize = 64 << 10;

pub(super) fn read(root: &Path, chosen: &RequirementsFile) -> Result<Requirements, Vec<Defect>> {
    let file = Path::new(&chosen.path);
    let mut reading = Reading::new(root, Requirements::empty(chosen));
    for (what, named) in [("extras", &chosen.extras), ("groups", &chosen.groups)] {
        for name in named {
            let message = format!("`{}`: a list of requirements has no {what}", name.name);
            let defect = Defect::new(Code::E163, name.place.clone(), message);
            reading.defects.push(defect.hint(format!(
                "take `{what}` out, or name a file that has them: pyproject.toml or a lock of your tool"
            )));
        }
    }
    match load(root, file, SIZE_LIMIT) {
        Ok(text) => reading.file(file, &text, ListedAs::Wanted),
        Err(reason) => reading.defects.push(
            Defect::new(
                Code::E040,
                Place::of_line(file, 1),
                format!("cannot be read: {reason}"),
            )
            .hint("create the file, or correct `requirements` in sparkpack.toml"),
        ),
    }
    reading.end()
}

/// Reads a text that may include no file.
pub(super) fn read_text(file: &Path, text: &str) -> Result<Requirements, Vec<Defect>> {
    let whole = RequirementsFile::of(file.to_string_lossy());
    let mut reading = Reading::new(Path::new(""), Requirements::empty(&whole));
    reading.file(file, text.as_bytes(), ListedAs::Wanted);
    reading.end()
}

#[derive(Clone, Copy)]
enum ListedAs {
    Wanted,
    Constraint,
}

struct Reading<'a> {
    root: &'a Path,
    /// The files being read, the outermost first, each with the number of the line that includes the next.
    open: Vec<(PathBuf, usize)>,
    defects: Vec<Defect>,
    names: compiled::Names,
    found: Requirements,
}

impl<'a> Reading<'a> {
    fn new(root: &'a Path, found: Requirements) -> Self {
        Self {
            root,
            open: Vec::new(),
            defects: Vec::new(),
            found,
            names: compiled::Names::default(),
        }
    }

    fn end(mut self) -> Result<Requirements, Vec<Defect>> {
        self.defects.extend(contradictions(&self.found.wanted));
        if self.defects.is_empty() {
            self.found.along = self.names.only_along();
            Ok(self.found)
        } else {
            Err(self.defects)
        }
    }

    fn file(&mut self, file: &Path, bytes: &[u8], kind: ListedAs) {
        let text = match kind::refuse_bytes(file, bytes).and_then(|()| decode(file, bytes)) {
            Ok(text) => text,
            Err(defect) => return self.defects.push(defect),
        };
        if let Some(defect) = kind::refuse_text(file, text) {
            return self.defects.push(defect);
        }
        if !self.found.files.iter().any(|known| known == file) {
            self.found.files.push(file.to_owned());
        }
        if let ListedAs::Wanted = kind {
            self.names.add(text);
        }
        self.open.push((file.to_owned(), 0));
        for logical in Logical::of(text) {
            self.line(file, &logical, kind);
        }
        self.open.pop();
    }

    fn line(&mut self, file: &Path, logical: &Logical, kind: ListedAs) {
        let read = if logical.text.len() > LINE_LIMIT {
            let message = "a line of more than 64 KiB: this is no requirement";
            Err(Wrong::new(Code::E040, 0, message)
                .hint("remove the line, or name the file that has the requirements"))
        } else {
            line(&logical.text)
        };
        match read {
            Ok(Line::Nothing) => {}
            Ok(Line::Package(requirement)) => {
                let start = logical.text.len() - logical.text.trim_start().len();
                let place = logical.place(file, start);
                let mut requirement = Requirement {
                    place,
                    ..*requirement
                };
                self.found
                    .look_for_file(self.root, file, &mut requirement, &mut self.defects);
                match kind {
                    ListedAs::Wanted => self.found.wanted.push(requirement),
                    ListedAs::Constraint => self.found.constraints.push(requirement),
                }
            }
            Ok(Line::Include(name, offset)) => {
                self.include(&name, logical.place(file, offset), kind);
            }
            Ok(Line::Constrain(name, offset)) => {
                self.include(&name, logical.place(file, offset), ListedAs::Constraint);
            }
            Ok(Line::Index(url, offset)) => {
                self.found.origins.main = Some(PackageIndex {
                    name: "main".to_owned(),
                    url,
                    is_explicit: false,
                    place: logical.place(file, offset),
                });
            }
            Err(wrong) => {
                let place = logical.place(file, wrong.offset);
                let defect = Defect::new(wrong.code, place, wrong.message);
                self.defects.push(Defect {
                    hint: wrong.hint,
                    ..defect
                });
            }
        }
    }

    fn include(&mut self, name: &str, place: Place, kind: ListedAs) {
        let Some(file) = beside(&place.file, name) else {
            let message = format!("`{name}` is not a file of the project");
            self.defects
                .push(Defect::new(Code::E044, place, message).hint("copy it into the project"));
            return;
        };
        if let Some(last) = self.open.last_mut() {
            last.1 = place.line;
        }
        if let Some(first) = self.open.iter().position(|(open, _)| *open == file) {
            let chain: Vec<String> = self.open[first..]
                .iter()
                .map(|(open, line)| format!("{}:{line}", open.display()))
                .collect();
            let message = format!(
                "files include each other: {} → {}",
                chain.join(" → "),
                file.display()
            );
            self.defects
                .push(Defect::new(Code::E045, place, message).hint("remove one of these lines"));
            return;
        }
        match load(self.root, &file, SIZE_LIMIT) {
            Ok(bytes) => self.file(&file, &bytes, kind),
            Err(reason) => {
                let message = format!("`{name}` cannot be read as `{}`: {reason}", file.display());
                self.defects.push(
                    Defect::new(Code::E044, place, message)
                        .hint("the path is taken from the folder of the file that includes it"),
                );
            }
        }
    }
}

/// The path of `name` relative to `file`; `None` for a URL or a path outside the project.
fn beside(file: &Path, name: &str) -> Option<PathBuf> {
    if name.contains("://") || Path::new(name).is_absolute() {
        return None;
    }
    let mut path = file.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    Some(path)
}

/// Packages that are pinned to two versions under the same marker.
pub(super) fn contradictions(wanted: &[Requirement]) -> Vec<Defect> {
    let mut defects = Vec::new();
    for (index, later) in wanted.iter().enumerate() {
        let Some(version) = later.pinned() else {
            continue;
        };
        let earlier = wanted[..index].iter().find(|earlier| {
            let same = earlier.name == later.name && earlier.marker == later.marker;
            same && earlier
                .pinned()
                .is_some_and(|pinned| !same_version(pinned, version))
        });
        if let Some(earlier) = earlier {
            let message = format!(
                "`{}=={version}`, but {} asks for `{}=={}`",
                later.name,
                earlier.place,
                earlier.name,
                earlier.pinned().unwrap_or_default()
            );
            defects.push(
                Defect::new(Code::E046, later.place.clone(), message)
                    .hint("keep one of the two lines"),
            );
        }
    }
    defects
}

/// Whether two versions are the same release: `1.0` and `1.0.0`, `v1` and `1`.
#[must_use]
pub fn same_version(left: &str, right: &str) -> bool {
    let plain = |version: &str| {
        let version = version.to_ascii_lowercase();
        let version = version.strip_prefix('v').unwrap_or(&version).to_owned();
        let release = version.find(|next: char| !next.is_ascii_digit() && next != '.');
        let (release, rest) = version.split_at(release.unwrap_or(version.len()));
        let mut release = release;
        while let Some(shorter) = release.strip_suffix(".0") {
            release = shorter;
        }
        format!("{release}{rest}")
    };
    plain(left) == plain(right)
}

#[cfg(test)]
mod tests {
    use super::{super::FilePlace, *};

    fn read_files(files: &[(&str, &[u8])]) -> Result<Requirements, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, bytes).unwrap();
        }
        Requirements::read(folder.path(), Path::new(files[0].0)).map_err(|defects| {
            defects
                .iter()
                .map(|defect| format!("{} {defect}", defect.code))
                .collect()
        })
    }

    fn read_text(text: &str) -> Result<Requirements, Vec<String>> {
        read_files(&[("requirements.txt", text.as_bytes())])
    }

    #[test]
    fn the_usual_lines_are_understood() {
        let hash = "0".repeat(64);
        let text = format!(
            "\u{feff}# a comment\r\n--require-hashes\nPandas[AWS, excel] >= 2 , < 3 # why\r\n\
             six==1.17.0 \\\n    --hash=sha256:{hash} \\\n    --hash sha256:{hash}\n\
             tomli (>=1.1) ; python_version<'3.11' and extra == \"x\"\n\n-i https://index.example/simple\nlocal==1.0+cu118\n"
        );
        let read = read_text(&text).unwrap();
        assert_eq!(
            read.wanted_lines(),
            [
                "local==1.0+cu118",
                "pandas[aws,excel]<3,>=2",
                "six==1.17.0",
                "tomli>=1.1 ; python_version < \"3.11\" and extra == \"x\"",
            ]
        );
        let index = read.origins.main.clone().unwrap();
        assert_eq!(index.url, "https://index.example/simple");
        assert_eq!(index.place.to_string(), "requirements.txt:9:4");
        let places: Vec<String> = read
            .names()
            .map(|(name, place)| format!("{name} {place}"))
            .collect();
        assert_eq!(places[0], "pandas requirements.txt:3:1");
        assert_eq!(places[2], "tomli requirements.txt:7:1");
        assert_eq!(read.wanted[1].hashes.len(), 2);
    }

    const REFUSED: &[(&str, &str)] = &[
        (
            "-e .",
            "E041 requirements.txt:1:1: `-e .` names no version on an index, so it cannot be locked",
        ),
        ("-e ../mylib", "E041 requirements.txt:1:1: `-e ../mylib`"),
        (
            "  git+https://git.example/x@v1",
            "E041 requirements.txt:1:3: `git+https://git.example/x` does not say of which package",
        ),
        (
            "x @ git+https://u:canary@h.example/x.git",
            "E042 requirements.txt:1:5",
        ),
        (
            "x @ https://u:canary@h.example/x.tar.gz",
            "E042 requirements.txt:1:5",
        ),
        ("https://h.example/x-1.0.tar.gz#sha256=00", "E048"),
        (
            "x @ git+https://git.example/x@v1",
            "E041 requirements.txt:1:1: `x` would be built from its source, git+https://git.example/x, which runs",
        ),
        ("https://h.example/x-1.0.zip", "E041"),
        ("./dist/x-1.0.tar.gz", "E041"),
        (
            "x @ https://u:canary@h.example/x-1.0-py3-none-any.whl?t=canary",
            "E042 requirements.txt:1:5: `https://***@h.example/x-1.0-py3-none-any.whl?***`",
        ),
        (
            "x @ https://h.example/x-1.0-py3-none-any.whl?t=canary",
            "E168 requirements.txt:1:1: `https://h.example/x-1.0-py3-none-any.whl?***` has no hash",
        ),
        (
            "x @ https://h.example/x-1.0-py3-none-any.whl#md5=00",
            "E048 requirements.txt:1:5: a hash of `md5` is not taken",
        ),
        (
            "y @ https://h.example/x-1.0-py3-none-any.whl#sha256=0000000000000000000000000000000000000000000000000000000000000000",
            "E169 requirements.txt:1:5: `x-1.0-py3-none-any.whl` is no wheel of `y`",
        ),
        ("file:///x", "E041"),
        (
            "file:///x/x-1.0-py3-none-any.whl",
            "E169 requirements.txt:1:1: `/x/x-1.0-py3-none-any.whl` is not a file of the project",
        ),
        (
            "../x-1.0-py3-none-any.whl",
            "E169 requirements.txt:1:1: `../x-1.0",
        ),
        (
            "wheels/x-1.0-py3-none-any.whl",
            "E169 requirements.txt:1:1: `wheels/x-1.0-py3-none-any.whl` cannot be read: ",
        ),
        (
            "wheels/x.whl",
            "E169 requirements.txt:1:1: `x.whl` is not a wheel's file name",
        ),
        ("./x", "E041"),
        (
            "six\n\n--index-url https://u:canary@h.example/",
            "E042 requirements.txt:3:13: `https://***@h.example/` holds",
        ),
        ("--index-url=https://canary@h.example/", "E042"),
        (
            "--extra-index-url https://u:canary@h.example/",
            "E043 requirements.txt:1:1: the option `--extra-index-url`",
        ),
        ("-f wheels", "E043"),
        ("--pre", "E043"),
        (
            "six==1 --global-option=x",
            "E043 requirements.txt:1:8: the option `--global-option`",
        ),
        ("-r", "E047"),
        (
            "six=1.0",
            "E047 requirements.txt:1:4: `=1.0`: `=` compares nothing",
        ),
        ("six ! 1", "E047"),
        ("six 1.0", "E047"),
        ("six[x", "E047"),
        (
            "six ; pythonversion > '3'",
            "E047 requirements.txt:1:7: `pythonversion` has no meaning in a marker",
        ),
        (
            "six ; python_version > '3",
            "E047 requirements.txt:1:24: a quote",
        ),
        ("six ;", "E047"),
        (
            "${NAME}==1",
            "E167 requirements.txt:1:1: `${NAME}` would make what is locked depend",
        ),
        ("six==${SIX}", "E167 requirements.txt:1:6"),
        ("six\n-r ${DIR}/x.txt", "E167 requirements.txt:2:4"),
        ("-c ${LIMITS}", "E167 requirements.txt:1:4"),
        (
            "--index-url https://${U}:canary@h.example/",
            "E042 requirements.txt:1:13: `https://***@h.example/` holds",
        ),
        (
            "six --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "E048 requirements.txt:1:1: `six` has a hash but no version",
        ),
        (
            "six==1 \\\n  --hash=md5:00",
            "E048 requirements.txt:2:3: a hash of `md5` is not taken",
        ),
        ("six==1 --hash=sha256:00", "E048"),
        (
            "Foo==1\nf-a==1\nfoo==1.0\nf_A==2",
            "E046 requirements.txt:4:1: `f-a==2`, but requirements.txt:2:1 asks for `f-a==1`",
        ),
        ("six\n# \0", "E040 requirements.txt:2:3: a NUL character"),
    ];

    #[test]
    fn what_cannot_be_locked_is_refused_with_its_place() {
        for &(text, wanted) in REFUSED {
            let defects = read_text(text).unwrap_err();
            assert_eq!(defects.len(), 1, "{text}: {defects:?}");
            assert!(defects[0].starts_with(wanted), "{text}: {defects:?}");
            assert!(!defects[0].contains("canary"), "{defects:?}");
        }
        let latin = read_files(&[("requirements.txt", b"six\n# caf\xe9")]).unwrap_err();
        assert_eq!(
            latin,
            ["E040 requirements.txt:2:6: the byte 0xe9 is not UTF-8"]
        );
        let long = read_text(&format!("# {}\nsix", "x".repeat(LINE_LIMIT))).unwrap();
        assert_eq!(long.wanted_lines(), ["six"]);
        let long = read_text(&format!("six=={}", "1".repeat(LINE_LIMIT))).unwrap_err();
        assert!(long[0].starts_with("E040 requirements.txt:1:1"), "{long:?}");
    }

    #[test]
    fn wheels_are_taken_by_path_and_by_url_with_a_hash() {
        let (zeros, wheel) = ("0".repeat(64), b"not read here");
        let text = format!(
            "./wheels/a-1.0-py3-none-any.whl\nB[x,y] @ file:wheels/b-2.0+l%2e1-py3-none-any.whl ; python_version<'3.12'\n\
             c @ https://${{U}}:${{P}}@h.example/d/c-3.0-py3-none-any.whl#egg=c&sha256={zeros} ; os_name == 'posix'\n\
             https://h.example/e-4.0-py3-none-any.whl --hash=sha256:{zeros}\n-r more/more.txt\n"
        );
        let files: [(&str, &[u8]); 5] = [
            ("requirements.txt", text.as_bytes()),
            ("wheels/a-1.0-py3-none-any.whl", wheel),
            ("wheels/b-2.0+l.1-py3-none-any.whl", wheel),
            ("more/more.txt", b"f-5.0-py3-none-any.whl"),
            ("more/f-5.0-py3-none-any.whl", wheel),
        ];
        let read = read_files(&files).unwrap();
        assert_eq!(
            read.wanted_lines(),
            [
                "a==1.0",
                "b[x,y]==2.0+l.1 ; python_version < \"3.12\"",
                "c==3.0 ; os_name == \"posix\"",
                "e==4.0",
                "f==5.0",
            ]
        );
        assert_eq!(read.wanted[0].hashes, [crate::image::Digest::of(wheel)]);
        let url = "https://${U}:${P}@h.example/d/c-3.0-py3-none-any.whl";
        assert_eq!(read.wanted[2].direct, Some(FilePlace::Url(url.to_owned())));
        assert_eq!(read.origins.direct.len(), 5);
        let files: Vec<String> = read
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        assert!(
            files.contains(&"more/f-5.0-py3-none-any.whl".to_owned()),
            "{files:?}"
        );
        // The content counts, and where it lies does not.
        let digest = |name: &str, bytes: &[u8]| {
            let text = format!("{name}\n");
            read_files(&[("requirements.txt", text.as_bytes()), (name, bytes)])
                .unwrap()
                .digest(&[])
        };
        let first = digest("w/a-1.0-py3-none-any.whl", b"1");
        assert_eq!(first, digest("a-1.0-py3-none-any.whl", b"1"));
        assert_ne!(first, digest("w/a-1.0-py3-none-any.whl", b"2"));
    }

    #[test]
    fn all_defects_are_told_at_once() {
        let defects = read_text("-e .\nsix=1\nok\n--hash\n").unwrap_err();
        assert_eq!(defects.len(), 3, "{defects:?}");
    }

    #[test]
    fn included_files_are_followed_from_their_own_folder() {
        let read = read_files(&[
            (
                "jobs/a/requirements.txt",
                b"-r ../common.txt\n-c limits.txt\nsix",
            ),
            ("jobs/common.txt", b"attrs"),
            ("jobs/a/limits.txt", b"attrs<26"),
        ])
        .unwrap();
        assert_eq!(read.wanted_lines(), ["attrs", "six"]);
        assert_eq!(read.constraint_lines(), ["attrs<26"]);
        assert_eq!(read.files.len(), 3);
        assert_eq!(read.wanted[0].place.to_string(), "jobs/common.txt:1:1");
    }

    #[test]
    fn missing_and_circular_files_name_both() {
        let missing = read_files(&[("requirements.txt", b"six\n-r other.txt")]).unwrap_err();
        assert_eq!(
            missing,
            [
                "E044 requirements.txt:2:4: `other.txt` cannot be read as `other.txt`: there is no such file"
            ]
        );
        let outside = read_files(&[("requirements.txt", b"-r ../../other.txt")]).unwrap_err();
        assert!(
            outside[0].starts_with("E044 requirements.txt:1:4"),
            "{outside:?}"
        );
        let cycle = read_files(&[
            ("requirements.txt", b"six\n-r b.txt"),
            ("b.txt", b"-rrequirements.txt"),
        ]);
        assert_eq!(
            cycle.unwrap_err(),
            [
                "E045 b.txt:1:3: files include each other: requirements.txt:2 → b.txt:1 → requirements.txt"
            ]
        );
        let absent =
            Requirements::read(Path::new("nowhere"), Path::new("requirements.txt")).unwrap_err();
        assert_eq!(
            absent[0].to_string(),
            "requirements.txt:1:1: cannot be read: there is no such file"
        );
    }

    #[test]
    fn the_meaning_survives_what_changes_nothing() {
        let digest = |text: &str| read_text(text).unwrap().digest(&[]);
        let plain = digest("six==1.0\nPandas>=2,<3; python_version > '3'\n");
        assert_eq!(
            plain,
            digest("# x\r\npandas <3, >=2 ;python_version>\"3\"\r\n\r\nSIX==1.0 # y")
        );
        let others = [
            "six==1.0\npandas>=2,<3; python_version > '4'",
            "six==1.1\npandas>=2,<3; python_version > '3'",
            "six==1.0",
            "six[x]==1.0\npandas>=2,<3; python_version > '3'",
        ];
        for other in others {
            assert_ne!(plain, digest(other), "{other}");
        }
        let requirements = read_text("six").unwrap();
        let provided = [super::super::Pin::new("NumPy", "2.0")];
        assert_ne!(requirements.digest(&[]), requirements.digest(&provided));
    }

    #[test]
    fn two_versions_under_different_conditions_are_no_contradiction() {
        let text =
            "a==1; python_version < '3.10'\na==2; python_version >= '3.10'\nb==1\nb>0\nb==1.0.0";
        assert_eq!(read_text(text).unwrap().wanted.len(), 5);
    }
}
