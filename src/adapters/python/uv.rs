//! uv: its arguments, its lock, its error messages.

use std::{collections::BTreeMap, ffi::OsStr, path::Path};

use serde::Deserialize;

use super::{
    Candidates, PythonError, Question, SourceOnIndex, Tool,
    origins::OpenIndex,
    run::{Complaint, ToolRun, between, word_before},
    unsound,
};
use crate::{
    image::Digest,
    project::{
        requirements::LockedWheel,
        wheel::{Target, normalise},
    },
};

/// The minor versions of glibc for which uv has a platform name.
const GLIBCS: [u8; 12] = [17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40];

/// The name of uv's configuration in the folder of a run.
const CONFIGURATION: &str = "sources.toml";

/// uv's name of the platform: the newest whose glibc is no newer than the image's.
fn platform(target: &Target) -> Result<String, PythonError> {
    let unsupported = || PythonError::Unsupported {
        tool: Tool::Uv,
        target: target.to_string(),
    };
    let machine = target.machine();
    let (major, minor) = target.glibc;
    let known = GLIBCS.into_iter().rev().find(|known| *known <= minor);
    match known {
        Some(known) if major == 2 && ["x86_64", "aarch64"].contains(&machine) => {
            Ok(format!("{machine}-manylinux_2_{known}"))
        }
        _ => Err(unsupported()),
    }
}

/// Calls uv, which takes no source distribution.
fn call(
    run: &ToolRun<'_>,
    arguments: &[&str],
    target: &Target,
    any: bool,
) -> Result<(), PythonError> {
    let variables = run.index().for_uv(any);
    call_with(run, arguments, target, variables)
}

fn call_with(
    run: &ToolRun<'_>,
    arguments: &[&str],
    target: &Target,
    mut variables: Vec<(String, String)>,
) -> Result<(), PythonError> {
    let (platform, (major, minor)) = (platform(target)?, target.python);
    let python = format!("{major}.{minor}");
    let mut all = vec!["--color", "never", "--no-progress", "pip"];
    all.extend(arguments);
    all.extend([
        "--python-platform",
        &platform,
        "--python-version",
        &python,
        "--only-binary",
        ":all:",
    ]);
    if run.is_offline() {
        all.push("--offline");
    }
    let all: Vec<&OsStr> = all.into_iter().map(OsStr::new).collect();
    // What it does, for whom it takes too long; and what it passes over as it unpacks.
    let log = "uv_resolver=debug,uv_extract=warn";
    variables.push(("RUST_LOG".to_owned(), log.to_owned()));
    if ToolRun::has_python() {
        // uv would fetch the image's Python for minutes, though it runs nothing of it.
        variables.push(("UV_PYTHON_DOWNLOADS".to_owned(), "never".to_owned()));
    }
    match run.call(&all, &variables)? {
        Ok(()) => Ok(()),
        Err(complaint) => Err(understand(&complaint, target)),
    }
}

pub(super) fn resolve(
    run: &ToolRun<'_>,
    question: &Question,
    target: &Target,
) -> Result<Candidates, PythonError> {
    candidates(compiled(run, question, target, None)?)
}

/// uv's answer to a question; the files of the package `from_source` are source distributions.
fn compiled(
    run: &ToolRun<'_>,
    question: &Question,
    target: &Target,
    from_source: Option<&str>,
) -> Result<PyLock, PythonError> {
    let others = &run.index().origins.others;
    let of_index: Vec<String> = match others.as_slice() {
        [] => Vec::new(),
        _ => question.of_index.iter().map(ToString::to_string).collect(),
    };
    let apart = |line: &&String| !of_index.contains(line);
    let wanted: Vec<String> = question.wanted.iter().filter(apart).cloned().collect();
    run.write_question(&wanted, &question.constraints, true)?;
    let mut arguments = vec!["compile", "requirements.txt"];
    if !of_index.is_empty() {
        run.write("pyproject.toml", &project(question, others))?;
        arguments.push("pyproject.toml");
    }
    let mut variables = run.index().for_uv(false);
    if let Some(package) = from_source {
        arguments.extend(["--no-binary", package]);
        variables.extend(said_to_need_nothing(run, package)?);
    }
    arguments.extend([
        "--constraints",
        "constraints.txt",
        "--output-file",
        "pylock.toml",
        "--format",
        "pylock.toml",
        "--generate-hashes",
        "--resolution",
        "highest",
        "--prerelease",
        "if-necessary-or-explicit",
        // As pip does: uv would otherwise use the index's answers of some minutes ago.
        "--refresh",
    ]);
    arguments.extend(question.is_complete.then_some("--no-deps"));
    call_with(run, &arguments, target, variables)?;
    let text = run.read("pylock.toml")?;
    toml::from_str(&text).map_err(|error| PythonError::Failed {
        tool: Tool::Uv,
        tail: vec![format!("its lock cannot be read: {}", error.message())],
    })
}

/// The source distribution that answers a question about a package without wheels.
pub(super) fn source(
    run: &ToolRun<'_>,
    question: &Question,
    package: &str,
    target: &Target,
) -> Result<SourceOnIndex, PythonError> {
    let lock = compiled(run, question, target, Some(package))?;
    let mut packages = lock.packages.into_iter();
    let found = packages.find(|found| normalise(&found.name) == package);
    let parts = found.and_then(|found| {
        let file = found.sdist?;
        Some((found.version?, file.url.clone()?, file))
    });
    let Some((version, url, file)) = parts else {
        return Err(PythonError::NotFound {
            asked: package.to_owned(),
            versions: Vec::new(),
        });
    };
    let file_name = file
        .name
        .clone()
        .unwrap_or_else(|| super::file_name_of(&url));
    let sha256 = file.sha256();
    Ok(SourceOnIndex {
        version,
        sha256: sha256.ok_or_else(|| PythonError::NoHash {
            wheel: file_name.clone(),
        })?,
        url: run.index().with_login(&url),
        file_name,
    })
}

/// Writes a configuration that says what a package needs, so that uv runs none of its code to find out. Returns the
/// variables that name it.
fn said_to_need_nothing(
    run: &ToolRun<'_>,
    package: &str,
) -> Result<Vec<(String, String)>, PythonError> {
    let mut lines = run.index().uv_configuration();
    lines.push(format!(
        "[[dependency-metadata]]\nname = {}\nrequires-dist = []",
        toml::Value::from(package)
    ));
    run.write(CONFIGURATION, &lines)?;
    let file = run.folder().join(CONFIGURATION);
    Ok(vec![
        (
            "UV_CONFIG_FILE".to_owned(),
            file.to_string_lossy().into_owned(),
        ),
        ("UV_NO_CONFIG".to_owned(), "false".to_owned()),
    ])
}

/// A project that requires what may come from one index only: nothing else says that to uv.
fn project(question: &Question, others: &[OpenIndex]) -> Vec<String> {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut lines = vec![
        "[project]".to_owned(),
        "name = \"requirements-of-one-index\"".to_owned(),
        "version = \"0\"".to_owned(),
        "dependencies = [".to_owned(),
    ];
    let wanted = question.of_index.iter();
    lines.extend(wanted.map(|wanted| format!("  {},", quoted(&wanted.to_string()))));
    lines.push("]\n[tool.uv.sources]".to_owned());
    let sources: BTreeMap<&str, &str> = question
        .of_index
        .iter()
        .filter_map(|wanted| Some((wanted.name.as_str(), wanted.index.as_deref()?)))
        .collect();
    for (package, index) in sources {
        lines.push(format!("{package} = {{ index = {} }}", quoted(index)));
    }
    for index in others {
        lines.push(format!(
            "[[tool.uv.index]]\nname = {}\nurl = {}\nexplicit = {}",
            quoted(&index.name),
            quoted(&index.url),
            index.is_explicit
        ));
    }
    lines
}

/// Installs wheels; `anew` takes nothing out of the cache.
pub(super) fn install(
    run: &ToolRun<'_>,
    target: &Target,
    anew: bool,
    into: &Path,
) -> Result<(), PythonError> {
    let into = into.to_string_lossy();
    let mut arguments = vec![
        "install",
        "--requirements",
        "requirements.txt",
        "--target",
        &into,
        "--require-hashes",
        "--no-deps",
        "--no-compile-bytecode",
        // Where the cache is on another disk, uv copies.
        "--link-mode",
        "hardlink",
    ];
    if anew {
        arguments.push("--no-cache");
    } else if !run.is_offline() {
        // What it has in its cache it would still ask the indexes about. The hashes say that it is the same.
        arguments.push("--offline");
        if call(run, &arguments, target, true).is_ok() {
            return unsound::passed_over(&run.said()).map_or(Ok(()), Err);
        }
        arguments.pop();
    }
    call(run, &arguments, target, true)?;
    unsound::passed_over(&run.said()).map_or(Ok(()), Err)
}

/// Takes a package out of the cache: what is unpacked there lacks what was passed over, and the next run would not be told.
pub(super) fn forget(run: &ToolRun<'_>, package: &str) -> Result<(), PythonError> {
    let arguments = ["cache", "clean", package].map(OsStr::new);
    // Without it the next run only says less.
    run.call(&arguments, &[]).map(drop)
}

/// The used parts of a `pylock.toml`.
#[derive(Deserialize)]
struct PyLock {
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    #[serde(default)]
    wheels: Vec<IndexFile>,
    /// A wheel that is named by its place.
    archive: Option<IndexFile>,
    /// The source distribution.
    sdist: Option<IndexFile>,
}

#[derive(Deserialize)]
struct IndexFile {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

impl IndexFile {
    fn sha256(&self) -> Option<Digest> {
        let hex = self.hashes.get("sha256")?;
        format!("sha256:{hex}").parse().ok()
    }
}

fn candidates(lock: PyLock) -> Result<Candidates, PythonError> {
    let mut candidates = Candidates::new();
    for package in lock.packages {
        let wheels = candidates.entry(package.name.clone()).or_default();
        for wheel in package.wheels.into_iter().chain(package.archive) {
            let digest = wheel.sha256();
            let place = wheel.url.or(wheel.path).unwrap_or_default();
            let file_name = wheel.name.unwrap_or_else(|| super::file_name_of(&place));
            let Ok(name) = file_name.parse() else {
                continue;
            };
            let sha256 = digest.ok_or(PythonError::NoHash { wheel: file_name })?;
            wheels.push(LockedWheel::of_file(name, sha256));
        }
        if wheels.is_empty() {
            return Err(PythonError::OnlySource {
                asked: package.name,
            });
        }
    }
    Ok(candidates)
}

/// The error for uv's message. uv may change its wording; an unknown message is shown as it is.
fn understand(complaint: &Complaint, target: &Target) -> PythonError {
    let no_frame = |character: char| {
        if "╰─▶│├×".contains(character) {
            ' '
        } else {
            character
        }
    };
    let lines: String = complaint.text.chars().map(no_frame).collect();
    let text = lines.split_whitespace().collect::<Vec<_>>().join(" ");
    mismatch(&text)
        .or_else(|| unsound::of_uv(&text))
        .or_else(|| fetch_failure(&text, &lines))
        .or_else(|| not_found(&text, " was not found in "))
        .or_else(|| no_wheel(&text, target))
        .or_else(|| other_python(&text, target))
        .or_else(|| {
            let asked = between(&text, "there is no version of ", " ")?;
            Some(PythonError::NotFound {
                asked: bare(asked),
                versions: Vec::new(),
            })
        })
        .or_else(|| unsound::taken_back(&text))
        .or_else(|| conflict(&text))
        .unwrap_or_else(|| complaint.unknown())
}

/// A word without the punctuation around it.
fn bare(word: &str) -> String {
    word.trim_matches(['`', ',', ':', '(', ')']).to_owned()
}

fn mismatch(text: &str) -> Option<PythonError> {
    let wheel = between(text, "Hash mismatch for ", " ")?;
    let digest = |label: &str| {
        let rest = text.split_once(label).map_or("", |(_, rest)| rest);
        rest.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    Some(PythonError::HashMismatch {
        wheel: bare(wheel),
        expected: digest("Expected: "),
        got: digest("Computed: "),
    })
}

fn fetch_failure(text: &str, lines: &str) -> Option<PythonError> {
    const NETWORK: [&str; 5] = [
        "Failed to fetch",
        "error sending request",
        "dns error",
        "HTTP status server error",
        "Could not connect",
    ];
    let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let reason = reason(lines);
    if says(&["401 Unauthorized", "403 Forbidden"]) {
        return Some(PythonError::Denied { reason });
    }
    says(&NETWORK).then_some(PythonError::Unreachable { reason })
}

fn not_found(text: &str, sign: &str) -> Option<PythonError> {
    let asked = bare(word_before(text, sign)?);
    Some(PythonError::NotFound {
        asked,
        versions: Vec::new(),
    })
}

fn no_wheel(text: &str, target: &Target) -> Option<PythonError> {
    // Of a package with many versions uv tells those that it passed over as well.
    let signs = [
        " has no usable wheels and only ",
        " has no usable wheels",
        " have no usable wheels",
    ];
    if let Some(word) = signs.iter().find_map(|sign| word_before(text, sign)) {
        return Some(PythonError::OnlySource { asked: bare(word) });
    }
    let asked = bare(word_before(text, " has no wheels with a matching ")?);
    let hint = text.split_once("hint: ").map_or("", |(_, hint)| hint);
    let hint = hint.split("hint: ").next().unwrap_or_default();
    let tags = ["on the following platform", "with the following Python"]
        .iter()
        .find_map(|sign| hint.split_once(sign))
        .map_or("", |(_, tags)| tags);
    Some(PythonError::OtherPlatforms {
        asked,
        found: tags
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect(),
        wanted: target.to_string(),
    })
}

fn conflict(text: &str) -> Option<PythonError> {
    let (_, detail) = text.split_once("No solution found when resolving dependencies")?;
    let detail = detail
        .trim_start_matches([':', ' '])
        .trim_start_matches("cause:");
    let detail = detail.split("hint:").next().unwrap_or_default().trim();
    Some(PythonError::Conflict {
        detail: detail.to_owned(),
    })
}

fn other_python(text: &str, target: &Target) -> Option<PythonError> {
    let (major, minor) = target.python;
    let (word, rest) = text
        .split_once(" requires Python ")
        .or_else(|| text.split_once(" depends on Python"))?;
    let required = rest.split_whitespace().next()?.trim_end_matches([',', '.']);
    let word = word.split_whitespace().next_back()?;
    Some(PythonError::OtherPython {
        package: word.to_owned(),
        required: required.to_owned(),
        python: format!("{major}.{minor}"),
    })
}

/// The first and the last cause in the message.
fn reason(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned();
    let last = lines.next_back().map(|line| {
        line.trim_start_matches("cause: ")
            .trim_start_matches("Caused by: ")
    });
    last.map_or(first.clone(), |last| format!("{first}: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Platform;

    #[test]
    fn the_platform_is_the_newest_that_is_old_enough() {
        let target = |platform: &str, minor| Target {
            python: (3, 11),
            platform: platform.parse::<Platform>().unwrap(),
            glibc: (2, minor),
        };
        assert_eq!(
            platform(&target("linux/amd64", 36)).unwrap(),
            "x86_64-manylinux_2_36"
        );
        assert_eq!(
            platform(&target("linux/arm64", 30)).unwrap(),
            "aarch64-manylinux_2_28"
        );
        assert_eq!(
            platform(&target("linux/amd64", 99)).unwrap(),
            "x86_64-manylinux_2_40"
        );
        assert_eq!(
            platform(&target("linux/s390x", 36)).unwrap_err().code(),
            "E711"
        );
        assert_eq!(
            platform(&target("linux/amd64", 12)).unwrap_err().code(),
            "E711"
        );
    }
}
