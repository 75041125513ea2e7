//! Downloads by programs of the user: artifacts by Maven, Python source distributions by pip.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Progress, SourceError};
use crate::{image::Digest, project::source::MavenCoordinates};

/// The number of characters of a program's output that a message shows.
const SHOWN_OUTPUT: usize = 1200;

/// Downloads the artifact into `folder` with `mvn`.
pub(super) fn maven(coordinates: &MavenCoordinates, folder: &Path) -> Result<PathBuf, SourceError> {
    let what = coordinates.to_string();
    let MavenCoordinates {
        group,
        artifact,
        version,
        classifier,
    } = coordinates;
    let classifier = classifier
        .as_ref()
        .map(|name| format!(":{name}"))
        .unwrap_or_default();
    let mut command = command("mvn");
    command
        .args([
            "--batch-mode",
            "--quiet",
            "dependency:copy",
            "-Dmdep.useBaseVersion=true",
        ])
        .arg(format!(
            "-Dartifact={group}:{artifact}:{version}:jar{classifier}"
        ))
        .arg(option("-DoutputDirectory=", folder))
        .current_dir(folder);
    let run =
        run(&mut command, folder, &mut |_, _| {})?.ok_or_else(|| SourceError::MissingTool {
            what: what.clone(),
            tool: "`mvn`",
            instead: "set `[mirrors] maven` to the URL of a Maven repository",
        })?;
    let file = folder.join(coordinates.file_name());
    if run.succeeded && file.is_file() {
        return Ok(file);
    }
    Err(maven_failure(what, &run))
}

fn maven_failure(what: String, run: &Run) -> SourceError {
    let network = [
        "Could not transfer",
        "Unknown host",
        "Connection refused",
        "timed out",
    ];
    let missing = [
        "Could not find artifact",
        "was not found in",
        "from the specified remote repositories",
    ];
    if run.says(&network) {
        SourceError::Unreachable {
            from: what,
            reason: run.shown(),
        }
    } else if run.says(&missing) {
        SourceError::NotFound {
            from: what,
            at: Some("Maven's repositories".to_owned()),
        }
    } else {
        SourceError::Tool {
            command: "mvn dependency:copy".to_owned(),
            output: run.shown(),
        }
    }
}

/// A source distribution on the Python index.
pub(super) struct Sdist<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// Given to the installer as a hash, so that it does not even open other bytes.
    pub(super) expected: Option<&'a Digest>,
}

/// A build backend that knows nothing but the name and the version of the distribution.
///
/// pip asks the build backend for these before it hands out the file. The real backend would run the distribution's
/// code on this machine, and needs `setuptools`, `wheel` and more (with whose current versions old distributions fail).
const BACKEND: &str = r#"import os, sys

__legacy__ = sys.modules[__name__]


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(directory, config_settings=None):
    with open("PKG-INFO", encoding="utf-8") as file:
        head = file.read().split("\n\n", 1)[0].splitlines()
    wanted = ("Metadata-Version: ", "Name: ", "Version: ")
    fields = dict(line.split(": ", 1) for line in head if line.startswith(wanted))
    folder = "{}-{}.dist-info".format(fields["Name"].replace("-", "_"), fields["Version"])
    os.mkdir(os.path.join(directory, folder))
    with open(os.path.join(directory, folder, "METADATA"), "w", encoding="utf-8") as file:
        file.writelines("{}: {}\n".format(*field) for field in fields.items())
    return folder
"#;

/// Downloads a source distribution into `folder` with `pip`, or with the `pip` that `uv` provides.
pub(super) fn python_sdist(
    sdist: &Sdist<'_>,
    index: Option<&str>,
    ca: Option<&Path>,
    folder: &Path,
    progress: Progress<'_>,
) -> Result<PathBuf, SourceError> {
    let what = format!("{}=={}", sdist.name, sdist.version);
    let backend = folder.join("backend");
    let (downloads, temporary) = (folder.join("downloads"), folder.join("temporary"));
    fs_err::create_dir_all(backend.join("setuptools"))?;
    fs_err::create_dir_all(&temporary)?;
    fs_err::write(backend.join("setuptools/__init__.py"), "")?;
    fs_err::write(backend.join("setuptools/build_meta.py"), BACKEND)?;
    let hash = sdist
        .expected
        .map(|digest| format!(" --hash={digest}"))
        .unwrap_or_default();
    let requirements = folder.join("requirements.txt");
    fs_err::write(&requirements, format!("{what}{hash}\n"))?;
    let pip = find_pip(folder)?.ok_or_else(|| SourceError::MissingTool {
        what: what.clone(),
        tool: "`python3` with `pip`, or `uv`",
        instead: "name the Spark distribution's file or URL under `[sources]`",
    })?;
    let mut command = command(pip.program);
    command
        .args(pip.arguments)
        .args([
            "download",
            "--no-input",
            "--disable-pip-version-check",
            "--no-cache-dir",
            "--no-deps",
        ])
        .args([
            "--no-binary",
            ":all:",
            "--ignore-requires-python",
            "--use-pep517",
            "--no-build-isolation",
        ])
        .args(if pip.raw_progress {
            &["--progress-bar", "raw"][..]
        } else {
            &["--progress-bar", "off"]
        })
        .args(sdist.expected.map(|_| "--require-hashes"))
        .args(index.map(|index| option("--index-url=", index)))
        .args(ca.map(|ca| option("--cert=", ca)))
        .arg(option("--dest=", &downloads))
        .arg(option("--requirement=", &requirements))
        .env("PYTHONPATH", &backend)
        .env("TMPDIR", &temporary)
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .current_dir(folder);
    let run = run(&mut command, folder, progress)?;
    let run = run.ok_or_else(|| SourceError::Tool {
        command: pip.program.to_owned(),
        output: "it vanished".to_owned(),
    })?;
    match (run.succeeded, only_file(&downloads)) {
        (true, Some(file)) => Ok(file),
        _ => Err(pip_failure(sdist, what, &run)),
    }
}

fn pip_failure(sdist: &Sdist<'_>, what: String, run: &Run) -> SourceError {
    if let (Some(expected), Some((_, got))) = (sdist.expected, run.output.split_once("Got ")) {
        let got = got.split_whitespace().next().unwrap_or_default();
        if let Ok(actual) = format!("sha256:{got}").parse() {
            let name = sdist.name.to_owned();
            return SourceError::Checksum {
                name,
                from: what,
                expected: expected.clone(),
                actual,
            };
        }
    }
    let network = [
        "Could not fetch URL",
        "Retrying (",
        "ConnectionError",
        "NewConnectionError",
        "ConnectTimeout",
        "ProxyError",
        "SSLError",
        "name resolution",
        "ReadTimeoutError",
        "IncompleteRead",
    ];
    if run.says(&["No space left on device"]) {
        SourceError::DiskFull {
            reason: run.shown(),
        }
    } else if run.says(&[
        "401 Error",
        "403 Error",
        "401 Client Error",
        "403 Client Error",
    ]) {
        SourceError::Denied {
            from: what,
            reason: run.shown(),
        }
    } else if run.says(&network) {
        SourceError::Unreachable {
            from: what,
            reason: run.shown(),
        }
    } else if run.says(&["No matching distribution", "Could not find a version"]) {
        SourceError::NotFound {
            from: what,
            at: Some("the Python index, as a source distribution".to_owned()),
        }
    } else {
        SourceError::Tool {
            command: "pip download".to_owned(),
            output: run.shown(),
        }
    }
}

fn only_file(folder: &Path) -> Option<PathBuf> {
    let mut files = fs_err::read_dir(folder).ok()?;
    let file = files.next()?.ok()?.path();
    files.next().is_none().then_some(file)
}

/// A way to call `pip`.
struct Pip {
    program: &'static str,
    arguments: &'static [&'static str],
    /// Whether it can report its progress as numbers.
    raw_progress: bool,
}

fn find_pip(folder: &Path) -> Result<Option<Pip>, SourceError> {
    let ways: [(&str, &[&str]); 4] = [
        ("python3", &["-m", "pip"]),
        ("python", &["-m", "pip"]),
        ("uv", &["tool", "run", "pip"]),
        ("uvx", &["pip"]),
    ];
    for (program, arguments) in ways {
        let mut command = command(program);
        command.args(arguments).arg("--version").current_dir(folder);
        match run(&mut command, folder, &mut |_, _| {})? {
            Some(run) if run.succeeded => {
                let raw_progress =
                    pip_version(&run.output).is_some_and(|version| version >= (24, 1));
                return Ok(Some(Pip {
                    program,
                    arguments,
                    raw_progress,
                }));
            }
            // A Python without pip is skipped, but uv must provide it.
            Some(run) if program.starts_with("uv") => {
                let command = format!("{program} {}", arguments.join(" "));
                return Err(SourceError::Tool {
                    command,
                    output: run.shown(),
                });
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The major and minor version in `pip 24.1.2 from …`.
fn pip_version(output: &str) -> Option<(u32, u32)> {
    let version = output.split_once("pip ")?.1.split_whitespace().next()?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[expect(clippy::disallowed_methods, reason = "an adapter calls other programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// The result of a program.
struct Run {
    succeeded: bool,
    /// Both outputs, without passwords in URLs.
    output: String,
}

impl Run {
    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.output.contains(word))
    }

    /// A summary of the output on one line: its errors, or else its last lines.
    fn shown(&self) -> String {
        let lines = || self.output.lines().map(str::trim);
        let mut errors: Vec<&str> = lines().filter(|line| line.starts_with("ERROR:")).collect();
        errors.dedup();
        if errors.is_empty() {
            let mut end: Vec<&str> = lines().filter(|line| !line.is_empty()).collect();
            errors = end.split_off(end.len().saturating_sub(3));
        }
        let lines = errors;
        let text = lines.join("; ");
        let start = text.len().saturating_sub(SHOWN_OUTPUT);
        let start = (start..=text.len())
            .find(|&start| text.is_char_boundary(start))
            .unwrap_or(0);
        crate::project::ignore::escaped(&text[start..])
    }
}

/// Runs a program to its end; `None` if it is not installed.
fn run(
    command: &mut Command,
    folder: &Path,
    progress: Progress<'_>,
) -> Result<Option<Run>, SourceError> {
    let errors = folder.join("errors.txt");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs_err::File::create(&errors)?.into_file())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            match raw_progress(&text) {
                Some((done, total)) => progress(done, total),
                None => output.push_str(&text),
            }
            line.clear();
        }
    }
    let status = child.wait()?;
    let mut bytes = Vec::new();
    fs_err::File::open(&errors)?.read_to_end(&mut bytes)?;
    output.push_str(&String::from_utf8_lossy(&bytes));
    Ok(Some(Run {
        succeeded: status.success(),
        output: without_passwords(&output),
    }))
}

/// The two numbers of a line such as `Progress 262144 of 220464734`.
fn raw_progress(line: &str) -> Option<(u64, Option<u64>)> {
    let (done, total) = line.trim().strip_prefix("Progress ")?.split_once(" of ")?;
    Some((done.parse().ok()?, total.parse().ok()))
}

fn without_passwords(text: &str) -> String {
    let mut pieces = text.split("://");
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece
            .find(|c: char| c == '/' || c.is_whitespace() || "\"'`()<>".contains(c))
            .unwrap_or(piece.len());
        let host = piece[..end]
            .rsplit_once('@')
            .map_or(&piece[..end], |(_, host)| host);
        result.push_str("://");
        result.push_str(host);
        result.push_str(&piece[end..]);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_understood() {
        assert_eq!(
            pip_version("pip 24.1.2 from /x (python 3.11)"),
            Some((24, 1))
        );
        assert_eq!(pip_version("pip 26.3 from"), Some((26, 3)));
        assert_eq!(pip_version("nothing"), None);
        assert_eq!(raw_progress("Progress 1 of 20\n"), Some((1, Some(20))));
        assert_eq!(raw_progress("Saved ./x"), None);
        assert_eq!(
            without_passwords("at https://u:p@h.example/a and http://h2.example/b@c"),
            "at https://h.example/a and http://h2.example/b@c"
        );
    }

    #[test]
    fn failures_of_maven_are_told_apart() {
        for (output, code) in [
            ("Could not transfer artifact a:b:1: Unknown host h", "E621"),
            ("Could not find artifact a:b:jar:1 in x", "E623"),
            ("Unknown lifecycle phase", "E628"),
        ] {
            let run = Run {
                succeeded: false,
                output: output.to_owned(),
            };
            assert_eq!(
                maven_failure("a:b:1".to_owned(), &run).code(),
                code,
                "{output}"
            );
        }
    }

    #[test]
    fn failures_of_pip_are_told_apart() {
        let expected = Digest::of(b"wanted");
        let sdist = Sdist {
            name: "pyspark",
            version: "4.1.4",
            expected: Some(&expected),
        };
        let actual = Digest::of(b"got");
        for (output, code) in [
            (format!("DO NOT MATCH THE HASHES\n  Expected sha256 x\n  Got        {}\n", actual.hex()), "E620"),
            ("WARNING: Retrying (Retry(total=4)): NewConnectionError\nERROR: No matching distribution".to_owned(), "E621"),
            ("ERROR: HTTP error 403 Client Error: Forbidden".to_owned(), "E622"),
            ("ERROR: No matching distribution found for pyspark==9".to_owned(), "E623"),
            ("OSError: [Errno 28] No space left on device".to_owned(), "E626"),
            ("Traceback".to_owned(), "E628"),
        ] {
            let error = pip_failure(&sdist, "pyspark==4.1.4".to_owned(), &Run { succeeded: false, output });
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
