//! Which kind of file `requirements` names, and what is said of a wrong one: one error, whatever its lines are.

use std::path::Path;

use super::parse::{Logical, is_location, line};
use crate::{
    code::Code,
    project::place::{Defect, Place},
};

/// A kind of file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A list of requirements, as pip reads it.
    Lines,
    PyProject,
    UvLock,
    PoetryLock,
    PipfileLock,
    PyLock,
}

/// A kind of file that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongKind {
    /// What it is.
    what: &'static str,
    /// What to name instead.
    hint: Option<&'static str>,
}

/// What can be read.
const READABLE: &str =
    "name a requirements.txt, pyproject.toml, uv.lock, poetry.lock, Pipfile.lock or pylock.toml";

impl WrongKind {
    fn new(what: &'static str, hint: Option<&'static str>) -> Self {
        Self { what, hint }
    }

    pub(super) fn defect(&self, file: &Path) -> Defect {
        self.at(Place::of_line(file, 1))
    }

    fn at(&self, place: Place) -> Defect {
        let message = format!("this is {}, not a list of requirements", self.what);
        let hint = match self.hint {
            Some(hint) => format!("{hint}; or {READABLE}"),
            None => READABLE.to_owned(),
        };
        Defect::new(Code::E160, place, message).hint(hint)
    }
}

/// The kind of a file by its name.
pub(super) fn of_name(file: &Path) -> Result<FileKind, WrongKind> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let of_name = name.strip_prefix("pylock.");
    let is_pylock = of_name.is_some_and(|rest| rest.rsplit('.').next() == Some("toml"));
    match name {
        super::pyproject::FILE_NAME => return Ok(FileKind::PyProject),
        "uv.lock" => return Ok(FileKind::UvLock),
        "poetry.lock" => return Ok(FileKind::PoetryLock),
        "Pipfile.lock" => return Ok(FileKind::PipfileLock),
        _ if is_pylock => return Ok(FileKind::PyLock),
        _ => {}
    }
    let wrong = match name {
        "Pipfile" => WrongKind::new("a Pipfile", Some("name its lock: Pipfile.lock")),
        "setup.py" => WrongKind::new(
            "a build script",
            Some("write the dependencies into pyproject.toml, which needs no script to read"),
        ),
        "setup.cfg" => WrongKind::new(
            "a configuration of setuptools",
            Some("write the dependencies into pyproject.toml"),
        ),
        "environment.yml" | "environment.yaml" | "conda-lock.yml" | "pixi.lock" | "pixi.toml" => {
            WrongKind::new(
                "for conda",
                Some("list what the job needs from the package index in a requirements.txt"),
            )
        }
        "pdm.lock" => WrongKind::new(
            "a lock of PDM",
            Some("write a pylock.toml: `pdm export --format pylock --output pylock.toml`"),
        ),
        _ => match name.rsplit_once('.').map(|(_, end)| end) {
            Some("toml") => WrongKind::new("a TOML file that no tool of Python writes", None),
            Some("lock") => WrongKind::new(
                "a lock that is not known, or sparkpack's own",
                Some("name the file that it was made from"),
            ),
            Some("json") => WrongKind::new("a JSON file", None),
            Some("yml" | "yaml") => WrongKind::new("a YAML file", None),
            Some("py") => WrongKind::new("Python code", None),
            Some("ipynb") => WrongKind::new("a notebook", None),
            Some("whl" | "zip" | "gz" | "tgz" | "egg" | "jar") => WrongKind::new(
                "an archive",
                Some("write its path into a requirements.txt: `./wheels/NAME.whl`"),
            ),
            _ => return Ok(FileKind::Lines),
        },
    };
    Err(wrong)
}

/// Refuses what is no text at all.
pub(super) fn refuse_bytes(file: &Path, bytes: &[u8]) -> Result<(), Defect> {
    let archive: [(&[u8], &str); 5] = [
        (b"PK\x03\x04", "an archive"),
        (b"\x1f\x8b", "a compressed file"),
        (b"\x7fELF", "a program"),
        (b"%PDF", "a PDF"),
        (b"\x89PNG", "a picture"),
    ];
    match archive.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, what)) => Err(WrongKind::new(what, None).defect(file)),
        None => Ok(()),
    }
}

/// Refuses a text that is a file of another kind under a name that says nothing: by its first line that means anything,
/// or because hardly any line is a requirement.
pub(super) fn refuse_text(file: &Path, text: &str) -> Option<Defect> {
    let is_empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let mut lines = text.lines().enumerate().filter(|(_, line)| !is_empty(line));
    let (number, first) = lines.next()?;
    let found = of_first_line(first.trim_end()).map(|what| (number, what));
    let (number, what) = found.or_else(|| {
        let lines = Logical::of(text).into_iter();
        let lines: Vec<Logical> = lines.filter(|line| !is_empty(&line.text)).collect();
        let is_wrong = |logical: &&Logical| {
            let text = logical.text.trim();
            let is_told_apart = text.starts_with('-') || is_location(text);
            !is_told_apart && line(text).is_err()
        };
        let wrong: Vec<&Logical> = lines.iter().filter(is_wrong).collect();
        let is_alien = wrong.len() > 10 && wrong.len() > lines.len() / 2;
        let number = wrong.first()?.place(file, 0).line - 1;
        is_alien.then_some((
            number,
            "something else: most of its lines are no requirements",
        ))
    })?;
    Some(WrongKind::new(what, None).at(Place::of_line(file, number + 1)))
}

fn of_first_line(line: &str) -> Option<&'static str> {
    let begins = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
    let is_key = |line: &str| {
        let key = line.strip_suffix(':');
        key.is_some_and(|key| {
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    };
    if line.starts_with('[') && line.ends_with(']') {
        Some("a TOML or INI file")
    } else if begins(&["{", "["]) {
        Some("a JSON file")
    } else if begins(&["<"]) {
        Some("a web page")
    } else if begins(&["---", "name: ", "channels:"]) || is_key(line) {
        Some("a YAML file")
    } else if begins(&["import ", "from ", "def ", "#!"]) {
        Some("Python code")
    } else if begins(&["version https://git-lfs"]) {
        Some("a pointer of Git LFS, whose content was not fetched")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_tools_are_known_by_their_names() {
        for (name, kind) in [
            ("requirements.txt", FileKind::Lines),
            ("a/requirements-dev.in", FileKind::Lines),
            ("reqs", FileKind::Lines),
            ("a/pyproject.toml", FileKind::PyProject),
            ("a/uv.lock", FileKind::UvLock),
            ("poetry.lock", FileKind::PoetryLock),
            ("Pipfile.lock", FileKind::PipfileLock),
            ("pylock.toml", FileKind::PyLock),
            ("pylock.prod.toml", FileKind::PyLock),
        ] {
            assert_eq!(of_name(Path::new(name)), Ok(kind), "{name}");
        }
        for name in [
            "setup.py",
            "setup.cfg",
            "Pipfile",
            "environment.yml",
            "pdm.lock",
            "requirements.lock",
            "x.whl",
            "sparkpack.toml",
        ] {
            let defect = of_name(Path::new(name))
                .unwrap_err()
                .defect(Path::new(name));
            assert_eq!(defect.code, Code::E160, "{name}");
            assert!(defect.hint.unwrap().contains("pylock.toml"), "{name}");
        }
    }

    #[test]
    fn what_is_no_list_is_told_once() {
        let alien = [
            ("[[package]]\nname = \"x\"\n", 1),
            ("# by a tool\n\n[packages]\n", 3),
            ("{\n  \"_meta\": {}\n}\n", 1),
            ("name: env\ndependencies:\n  - pip\n", 1),
            ("dependencies:\n  - pip\n", 1),
            ("from setuptools import setup\n", 1),
            ("<!DOCTYPE html>\n", 1),
            (
                "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                1,
            ),
        ];
        for (text, line) in alien {
            let defect = refuse_text(Path::new("r.txt"), text).unwrap();
            assert_eq!(
                (defect.code, defect.place.line),
                (Code::E160, line),
                "{text}"
            );
        }
        let prose = "six\n".to_owned() + &"this is no requirement\n".repeat(20);
        let defect = refuse_text(Path::new("r.txt"), &prose).unwrap();
        assert_eq!(defect.place.line, 2);
        for text in [
            "",
            "# only\n",
            "six\n",
            "-e .\n",
            "six=1\nsix==1\n",
            &"six=1\n".repeat(9),
        ] {
            assert_eq!(refuse_text(Path::new("r.txt"), text), None, "{text}");
        }
        let archive = refuse_bytes(Path::new("r.txt"), b"PK\x03\x04\0\0").unwrap_err();
        assert_eq!(archive.code, Code::E160);
    }
}
