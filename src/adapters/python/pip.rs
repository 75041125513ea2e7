//! pip: its arguments, its report, its error messages.

use std::{collections::BTreeSet, ffi::OsStr, path::Path};

use serde::Deserialize;

use super::{
    Candidates, PythonError, Question, Tool,
    run::{Complaint, ToolRun, between, command, on_path},
    unsound,
};
use crate::{
    image::Digest,
    project::{
        requirements::{LockedWheel, same_version},
        wheel::{Target, WheelName, normalise},
    },
};

/// The oldest pip with installation reports (`--report`).
const OLDEST: (u32, u32) = (22, 2);

/// The launcher's message if pip's marker values cannot be replaced by the image's.
const NO_MARKERS: &str = "sparkpack: the markers cannot be set";

/// A Python with a recent enough pip, or why there is none.
pub(super) fn python() -> Result<std::path::PathBuf, String> {
    let mut reason = "`python3` is not on the PATH".to_owned();
    for program in ["python3", "python"].into_iter().filter_map(on_path) {
        let asked = command(&program)
            .args(["-m", "pip", "--version"])
            .current_dir("/")
            .output();
        let shown = program.display();
        let Ok(output) = asked
            .as_ref()
            .map(|output| String::from_utf8_lossy(&output.stdout))
        else {
            reason = format!("`{shown}` cannot be run");
            continue;
        };
        let version = output
            .strip_prefix("pip ")
            .and_then(|rest| rest.split_whitespace().next());
        match version {
            Some(version) if is_new_enough(version) => return Ok(program),
            Some(version) => {
                reason = format!(
                    "pip {version} of `{shown}` is older than {}.{}",
                    OLDEST.0, OLDEST.1
                );
            }
            None => reason = format!("`{shown}` has no pip"),
        }
    }
    Err(reason)
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or_default());
    let version = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    version >= OLDEST
}

/// A script that starts pip with the image's values for environment markers. pip itself would use those of the Python
/// that runs it.
fn launcher(target: &Target) -> String {
    let ((major, minor), machine) = (target.python, target.machine());
    format!(
        r#"import runpy
import sys

from pip._vendor.packaging import markers

host = markers.default_environment
image = {{
    "implementation_name": "cpython",
    "implementation_version": "{major}.{minor}.0",
    "os_name": "posix",
    "platform_machine": "{machine}",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "{major}.{minor}.0",
    "python_version": "{major}.{minor}",
    "sys_platform": "linux",
}}
markers.default_environment = lambda: {{**host(), **image}}
probe = 'python_full_version == "{major}.{minor}.0" and platform_release == "" and platform_machine == "{machine}"'
if not markers.Marker(probe).evaluate():
    sys.exit("{NO_MARKERS}")
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"#
    )
}

fn call(
    run: &ToolRun<'_>,
    arguments: &[&str],
    target: &Target,
    any: bool,
) -> Result<Result<(), Complaint>, PythonError> {
    run.write("launch.py", &[launcher(target)])?;
    let (major, minor) = target.python;
    let (python, abi) = (format!("{major}.{minor}"), format!("cp{major}{minor}"));
    let mut all = vec![
        "launch.py",
        "install",
        "--requirement",
        "requirements.txt",
        "--quiet",
        "--progress-bar",
        "off",
    ];
    all.extend([
        "--log",
        "pip.log",
        "--no-compile",
        "--only-binary",
        ":all:",
        "--implementation",
        "cp",
    ]);
    all.extend(["--python-version", &python, "--abi", &abi]);
    let platforms = target.platform_tags();
    all.extend(
        platforms
            .iter()
            .flat_map(|platform| ["--platform", platform]),
    );
    all.extend(arguments);
    let all: Vec<&OsStr> = all.into_iter().map(OsStr::new).collect();
    run.call(&all, &run.index().for_pip(any))
}

pub(super) fn resolve(
    run: &ToolRun<'_>,
    question: &Question,
    target: &Target,
) -> Result<Candidates, PythonError> {
    run.write_question(&question.wanted, &question.constraints, false)?;
    let mut arguments = vec![
        "--constraint",
        "constraints.txt",
        "--dry-run",
        "--ignore-installed",
        "--report",
        "report.json",
        "--target",
        "nowhere",
    ];
    arguments.extend(question.is_complete.then_some("--no-deps"));
    match call(run, &arguments, target, question.has_all_hashes)? {
        Ok(()) => read_report(&run.read("report.json")?),
        Err(complaint) => Err(understand(run, &complaint, target)),
    }
}

/// pip's best wheel for a line with hashes: pip skips files with other hashes.
pub(super) fn choose_hashed(
    run: &ToolRun<'_>,
    line: String,
    target: &Target,
) -> Result<Candidates, PythonError> {
    let mut lines = run.index().lines(false, run.is_offline());
    lines.push(line);
    run.write("requirements.txt", &lines)?;
    let arguments = [
        "--dry-run",
        "--ignore-installed",
        "--report",
        "report.json",
        "--target",
        "nowhere",
        "--no-deps",
        "--require-hashes",
    ];
    match call(run, &arguments, target, true)? {
        Ok(()) => read_report(&run.read("report.json")?),
        Err(complaint) => Err(understand(run, &complaint, target)),
    }
}

pub(super) fn install(run: &ToolRun<'_>, target: &Target, into: &Path) -> Result<(), PythonError> {
    let into = into.to_string_lossy();
    let arguments = ["--target", &into, "--no-deps", "--require-hashes"];
    match call(run, &arguments, target, true)? {
        Ok(()) => Ok(()),
        Err(complaint) => Err(understand(run, &complaint, target)),
    }
}

/// The used parts of pip's report.
#[derive(Deserialize)]
struct Report {
    install: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    download_info: Download,
}

#[derive(Deserialize)]
struct Download {
    url: String,
    #[serde(default)]
    archive_info: Archive,
}

#[derive(Default, Deserialize)]
struct Archive {
    hash: Option<String>,
}

fn read_report(text: &str) -> Result<Candidates, PythonError> {
    let broken = |what: String| PythonError::Failed {
        tool: Tool::Pip,
        tail: vec![what],
    };
    let report: Report = serde_json::from_str(text)
        .map_err(|error| broken(format!("its report cannot be read: {error}")))?;
    let mut candidates = Candidates::new();
    for item in report.install {
        let file_name = super::file_name_of(&item.download_info.url);
        let wheel: WheelName = file_name
            .parse()
            .map_err(|error| broken(format!("{error}")))?;
        let told = item.download_info.archive_info.hash;
        let told = told.and_then(|hash| hash.replacen('=', ":", 1).parse::<Digest>().ok());
        let sha256 = told.ok_or(PythonError::NoHash { wheel: file_name })?;
        let locked = LockedWheel::of_file(wheel, sha256);
        candidates
            .entry(locked.wheel.name.clone())
            .or_default()
            .push(locked);
    }
    Ok(candidates)
}

/// The error for pip's message. pip may change its wording; an unknown message is shown as it is.
fn understand(run: &ToolRun<'_>, complaint: &Complaint, target: &Target) -> PythonError {
    let text = complaint.text.as_str();
    let log = run.without_secrets(&run.read("pip.log").unwrap_or_default());
    if text.contains(NO_MARKERS) {
        return PythonError::Unsupported {
            tool: Tool::Pip,
            target: target.to_string(),
        };
    }
    if let Some(error) = mismatch(text).or_else(|| unsound::of_pip(text)) {
        return error;
    }
    if let Some(package) = between(text, "Package '", "' requires a different Python") {
        return other_python(
            package,
            between(text, " not in '", "'").unwrap_or_default(),
            target,
        );
    }
    if let Some(error) = fetch_failure(text, &log) {
        return error;
    }
    if let Some(line) = text
        .lines()
        .find_map(|line| line.split_once("No matching distribution found for "))
    {
        return missing(line.1, text, &log, target);
    }
    if text.contains("ResolutionImpossible") {
        let detail = conflict(text, &log);
        return match absent(&detail) {
            Some(asked) => PythonError::NotFound {
                asked,
                versions: Vec::new(),
            },
            None => PythonError::Conflict { detail },
        };
    }
    complaint.unknown()
}

fn mismatch(text: &str) -> Option<PythonError> {
    let (_, rest) = text.split_once("DO NOT MATCH THE HASHES")?;
    let expected = between(rest, "Expected sha256 ", "\n")?;
    let got = rest
        .split_once(" Got ")
        .map_or("", |(_, got)| got.trim_start());
    let wheel = rest.lines().find_map(|line| {
        line.split_once(" from ")
            .filter(|_| line.starts_with("    "))
    });
    Some(PythonError::HashMismatch {
        wheel: wheel.map_or("", |(wheel, _)| wheel.trim()).to_owned(),
        expected: format!("sha256:{}", expected.trim()),
        got: format!(
            "sha256:{}",
            got.split_whitespace().next().unwrap_or_default()
        ),
    })
}

fn other_python(package: &str, required: &str, target: &Target) -> PythonError {
    let (major, minor) = target.python;
    PythonError::OtherPython {
        package: package.to_owned(),
        required: required.to_owned(),
        python: format!("{major}.{minor}"),
    }
}

/// pip prints the same for an unreachable index and for a missing package. Its log tells them apart.
fn fetch_failure(text: &str, log: &str) -> Option<PythonError> {
    let in_log = log
        .lines()
        .filter_map(|line| line.split_once("Could not fetch URL "))
        .map(|(_, rest)| rest);
    let in_text = text.lines().filter(|line| {
        line.contains("HTTP error ")
            || line.contains("OSError: HTTP")
            || line.contains("NetworkConnectionError")
    });
    let mut failures = in_log
        .chain(in_text)
        .filter(|failure| !failure.contains("404 Client Error"));
    let reason = failures.next()?.trim_end_matches(" - skipping").to_owned();
    let denied = [" 401", " 403"]
        .iter()
        .any(|status| reason.contains(status));
    Some(if denied {
        PythonError::Denied { reason }
    } else {
        PythonError::Unreachable { reason }
    })
}

/// Why pip found nothing for a requirement: its log lists the files that it skipped.
fn missing(asked: &str, text: &str, log: &str, target: &Target) -> PythonError {
    let asked = asked.split(" (from ").next().unwrap_or(asked);
    let asked = asked.split(';').next().unwrap_or(asked).trim();
    let versions = between(text, "(from versions: ", ")").filter(|versions| *versions != "none");
    let asked = asked.to_owned();
    if let Some(versions) = versions.filter(|_| pinned(&asked).is_none()) {
        // There are usable wheels of other versions, so the skipped files are not the reason.
        let versions = versions.split(", ").map(str::to_owned).collect();
        // Without a condition only what was taken back is passed over.
        if asked
            .chars()
            .all(|next| next.is_ascii_alphanumeric() || "._-".contains(next))
        {
            return PythonError::TakenBack { asked, versions };
        }
        return PythonError::NotFound { asked, versions };
    }
    let passed_over = PassedOver::of(&asked, log);
    if !passed_over.tags.is_empty() {
        let found = passed_over.tags.into_iter().collect();
        return PythonError::OtherPlatforms {
            asked,
            found,
            wanted: target.to_string(),
        };
    }
    if let Some(required) = passed_over.required {
        return other_python(&asked, &required, target);
    }
    if passed_over.source {
        return PythonError::OnlySource { asked };
    }
    let versions = versions.map_or(Vec::new(), |all| {
        all.split(", ").map(str::to_owned).collect()
    });
    PythonError::NotFound { asked, versions }
}

/// The version that a requirement pins by `==` after its name and extras.
fn pinned(asked: &str) -> Option<&str> {
    let (_, version) = asked.split_once("==")?;
    let version = version.trim_start_matches('=').trim();
    (!version.contains(['*', ','])).then_some(version)
}

/// The files of a package that pip skipped.
#[derive(Default)]
struct PassedOver {
    /// The tags of wheels for other targets.
    tags: BTreeSet<String>,
    /// Whether there is a source distribution.
    source: bool,
    /// The Python version that a wheel requires.
    required: Option<String>,
}

impl PassedOver {
    fn of(asked: &str, log: &str) -> Self {
        let of_name =
            |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        let name_end = asked
            .find(|character| !of_name(character))
            .unwrap_or(asked.len());
        let name = normalise(&asked[..name_end]);
        let pinned = pinned(asked);
        let is_asked = |package: &str, version: &str| {
            normalise(package) == name && pinned.is_none_or(|pinned| same_version(pinned, version))
        };
        let mut passed_over = Self::default();
        for line in log.lines() {
            let other_python = line.contains(" Requires-Python ");
            if !line.contains("Skipping link: ") {
                continue;
            }
            let url = line
                .split_whitespace()
                .find(|word| word.contains("://"))
                .unwrap_or_default();
            let file = super::file_name_of(url);
            let stem = file.trim_end_matches(".tar.gz").trim_end_matches(".zip");
            match (file.parse::<WheelName>(), stem.rsplit_once('-')) {
                (Ok(wheel), _) if !is_asked(&wheel.name, &wheel.version) => {}
                (Ok(_), _) if other_python => {
                    let required = between(line, " Requires-Python ", ": ");
                    passed_over.required = required.map(str::to_owned);
                }
                (Ok(wheel), _) => passed_over.tags.extend(wheel.tags()),
                (Err(_), Some((package, version))) => {
                    passed_over.source |= is_asked(package, version);
                }
                (Err(_), None) => {}
            }
        }
        passed_over
    }
}

/// The requirement that is told to be in conflict with nothing but itself: the index does not have it.
fn absent(detail: &str) -> Option<String> {
    let mut asked = detail.split("; ").map(|line| {
        let asked = line.strip_prefix("The user requested ")?;
        Some(asked.trim_start_matches("(constraint) "))
    });
    let first = asked.next()??;
    let is_same = |other: Option<&str>| other == Some(first);
    (first.contains("==") && asked.all(is_same)).then(|| first.to_owned())
}

/// The lines of the log that describe the conflict, or else pip's one-line message.
fn conflict(text: &str, log: &str) -> String {
    let told: Vec<&str> = log
        .lines()
        .skip_while(|line| !line.contains("The conflict is caused by:"))
        .skip(1)
        .map(|line| line.split_once(' ').map_or("", |(_, rest)| rest))
        .take_while(|line| line.starts_with(' '))
        .map(str::trim)
        .collect();
    if told.is_empty() {
        return text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("ERROR: ")
            .to_owned();
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_pip_are_compared_as_numbers() {
        for version in ["22.2", "23.0.1", "26.3", "100.0"] {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["9.0.3", "22.0.2", "22.1", "x"] {
            assert!(!is_new_enough(version), "{version}");
        }
    }

    #[test]
    fn what_is_in_conflict_with_itself_alone_is_absent() {
        for (detail, asked) in [
            (
                "The user requested a==1; The user requested (constraint) a==1",
                Some("a==1"),
            ),
            (
                "The user requested a==1; The user requested (constraint) a==2",
                None,
            ),
            (
                "The user requested a; The user requested (constraint) a==2",
                None,
            ),
            (
                "b 1 depends on a; The user requested (constraint) a==2",
                None,
            ),
            ("", None),
        ] {
            assert_eq!(absent(detail).as_deref(), asked, "{detail}");
        }
    }

    #[test]
    fn the_digest_of_a_report_is_needed() {
        let report = |archive: &str| {
            read_report(&format!(
                r#"{{"install": [{{"download_info": {{"url": "https://h.example/a%2Bb/x-1.0%2Blocal-py3-none-any.whl#x", "archive_info": {archive}}}}}]}}"#
            ))
        };
        let hex = "0".repeat(64);
        let read = report(&format!(r#"{{"hash": "sha256={hex}"}}"#)).unwrap();
        assert_eq!(read["x"][0].wheel.version, "1.0+local");
        assert_eq!(report("{}").unwrap_err().code(), "E712");
    }
}
