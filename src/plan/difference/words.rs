//! Changes and rows in plain words, one line each.

use std::fmt;

use super::{Change, RecordRow};
use crate::{
    image::Digest,
    plan::Input,
    project::{ignore::escaped, template::TAG_DIGITS, wheel::WheelName},
};

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Removed(RecordRow::Known(Input::Revision { number, reason })) => {
                format!("revision {number} taken back: {reason}")
            }
            Self::Added(RecordRow::Known(Input::Revision { number, reason })) => {
                format!("revision {number}: {reason}")
            }
            Self::Removed(row) => format!("{} removed", thing(row)),
            Self::Added(row) => format!("{} added", thing(row)),
            Self::Changed {
                old: RecordRow::Known(old),
                new: RecordRow::Known(new),
            } => turned(old, new),
            Self::Changed { old, new } => format!("{} -> {}", thing(old), thing(new)),
        };
        // The text may hold foreign paths or values, which must not break the line.
        formatter.write_str(&escaped(text))
    }
}

/// The noun for a row.
fn thing(row: &RecordRow) -> String {
    let input = match row {
        RecordRow::Known(input) => input,
        RecordRow::Unknown(fields) => return format!("{} (of a newer format)", fields.join(" ")),
    };
    match input {
        Input::Format(format) => format!("fingerprint format {format}"),
        Input::Stage(name) => format!("image name {name}"),
        Input::Platform(platform) => format!("platform {platform}"),
        Input::Dockerfile(_) => "Dockerfile".to_owned(),
        Input::Target(target) => format!("target {target}"),
        Input::PackageContext => "context dist (the job's package)".to_owned(),
        Input::BuildArgument { name, value } => format!("build argument {name}={value}"),
        Input::Revision { number, reason } => format!("revision {number}: {reason}"),
        Input::File { path, .. } => format!("file {path}"),
        Input::Symlink { path, target } => format!("symbolic link {path} to {target}"),
        Input::Parent { .. } | Input::External { .. } | Input::Source { .. } => {
            format!("{} ({})", below(input), role(input))
        }
        Input::Main { name, .. } => format!("main file {name}"),
        Input::Place { what, folder } => format!("{what} in {folder}"),
        Input::Environment { name, value } => format!("{name}={value} before the parent's"),
        Input::SparkHome(folder) => format!("Spark's folder {folder}"),
        Input::Module { path, .. } => format!("module {path}"),
        Input::CodeFolder => "a folder with the job's code".to_owned(),
        Input::JobFile { path, .. } => format!("file beside the code {path}"),
        Input::Wheel { file_name, .. } => match file_name.parse::<WheelName>() {
            Ok(wheel) => format!("{} {}", wheel.name, wheel.version),
            Err(_) => format!("wheel {file_name}"),
        },
        Input::BuildPackage(name) => format!("{name} where wheels are built"),
    }
}

/// The image or source, without its role.
fn below(input: &Input) -> String {
    match input {
        Input::Parent {
            stage, fingerprint, ..
        } => format!("parent {stage} {}", fingerprint.short(TAG_DIGITS)),
        Input::External { digest, .. } => format!("external image {}", short(digest)),
        Input::Source { unpack, sha256, .. } => {
            format!("source {} (unpacked: {unpack})", short(sha256))
        }
        _ => String::new(),
    }
}

fn role(input: &Input) -> &str {
    match input {
        Input::Parent { role, .. } | Input::External { role, .. } | Input::Source { role, .. } => {
            role
        }
        _ => "",
    }
}

fn short(digest: &Digest) -> String {
    format!("sha256:{}", digest.short(12))
}

/// The words for a change of an input.
fn turned(old: &Input, new: &Input) -> String {
    match (old, new) {
        (Input::Format(old), Input::Format(new)) => format!("fingerprint format {old} -> {new}"),
        (Input::Stage(old), Input::Stage(new)) => format!("image name {old} -> {new}"),
        (Input::Platform(old), Input::Platform(new)) => format!("platform {old} -> {new}"),
        (Input::Dockerfile(_), Input::Dockerfile(_)) => "Dockerfile changed".to_owned(),
        (Input::SparkHome(old), Input::SparkHome(new)) => {
            format!("Spark's folder {old} -> {new}")
        }
        (Input::Target(old), Input::Target(new)) => format!("target {old} -> {new}"),
        (
            Input::BuildArgument { name, value: old },
            Input::BuildArgument {
                name: new_name,
                value: new,
            },
        ) => format!("build argument {name}={old} -> {new_name}={new}"),
        (
            Input::Revision {
                number: old,
                reason: old_reason,
            },
            Input::Revision {
                number: new,
                reason,
            },
        ) if old == new => format!("revision {new}: {old_reason} -> {reason}"),
        (
            Input::Revision { number: old, .. },
            Input::Revision {
                number: new,
                reason,
            },
        ) => format!("revision {old} -> {new}: {reason}"),
        (Input::Wheel { .. }, Input::Wheel { .. }) => wheels(old, new),
        (Input::Place { folder: old, .. }, Input::Place { what, folder }) => {
            format!("{what} in {old} -> in {folder}")
        }
        (Input::Environment { value: old, .. }, Input::Environment { name, value }) => {
            format!("{name}={old} -> {value} before the parent's")
        }
        (
            Input::Main { name: old, .. },
            Input::Main {
                name: new,
                digest: _,
            },
        ) if old != new => format!("main file {old} -> {new}"),
        (Input::Main { name, .. }, Input::Main { .. }) => format!("main file {name} changed"),
        (
            Input::Parent { .. } | Input::External { .. } | Input::Source { .. },
            Input::Parent { .. } | Input::External { .. } | Input::Source { .. },
        ) => stands_on(old, new),
        _ => paths(old, new),
    }
}

fn wheels(old: &Input, new: &Input) -> String {
    let (
        Input::Wheel {
            file_name: old_file,
            sha256: old_sha256,
        },
        Input::Wheel {
            file_name: new_file,
            sha256: new_sha256,
        },
    ) = (old, new)
    else {
        return String::new();
    };
    let same_file = || {
        let (old, new) = (short(old_sha256), short(new_sha256));
        format!("another file of the same name, {new_file}: {old} -> {new}")
    };
    match (old_file.parse::<WheelName>(), new_file.parse::<WheelName>()) {
        (Ok(old), Ok(new)) if old.version != new.version => {
            format!("{} {} -> {}", new.name, old.version, new.version)
        }
        (Ok(_), Ok(new)) if old_file != new_file => {
            let version = &new.version;
            format!(
                "{} {version}: another wheel, {old_file} -> {new_file}",
                new.name
            )
        }
        (_, Ok(new)) => format!("{} {}: {}", new.name, new.version, same_file()),
        _ => format!("wheel: {}", same_file()),
    }
}

fn stands_on(old: &Input, new: &Input) -> String {
    let (what, mut parts) = match (old, new) {
        (
            Input::Parent {
                stage: old_stage,
                fingerprint: old,
                ..
            },
            Input::Parent {
                stage,
                fingerprint: new,
                ..
            },
        ) if old_stage == stage => {
            let (old, new) = (old.short(TAG_DIGITS), new.short(TAG_DIGITS));
            let changed = (old != new).then(|| format!("changed ({old} -> {new})"));
            (format!("parent {stage}"), Vec::from_iter(changed))
        }
        (Input::External { digest: old, .. }, Input::External { digest: new, .. }) => (
            "external image".to_owned(),
            Vec::from_iter(turn(&short(old), &short(new))),
        ),
        (
            Input::Source {
                unpack: old_unpack,
                sha256: old,
                ..
            },
            Input::Source {
                unpack,
                sha256: new,
                ..
            },
        ) => {
            let bytes = turn(&short(old), &short(new));
            let unpacked = turn(old_unpack, unpack).map(|turn| format!("unpacked {turn}"));
            (
                "source".to_owned(),
                bytes.into_iter().chain(unpacked).collect(),
            )
        }
        _ => return format!("{}: {} -> {}", role(new), below(old), below(new)),
    };
    parts.extend(turn(role(old), role(new)));
    // A parent is identified by its name, any other image only by its role.
    if role(old) == role(new) && !matches!(new, Input::Parent { .. }) {
        format!("{what} ({}) {}", role(new), parts.join(", "))
    } else {
        format!("{what} {}", parts.join(", "))
    }
}

/// The old and the new value, if they differ.
fn turn(old: &str, new: &str) -> Option<String> {
    (old != new).then(|| format!("{old} -> {new}"))
}

/// A file or link: its path and its content.
struct File<'a> {
    kind: &'static str,
    path: &'a str,
    executable: bool,
    digest: &'a Digest,
}

impl<'a> File<'a> {
    fn of(input: &'a Input) -> Option<Self> {
        let (kind, path, executable, digest) = match input {
            Input::File {
                path,
                executable,
                digest,
            } => ("file", path, *executable, digest),
            Input::Module {
                path,
                executable,
                digest,
            } => ("module", path, *executable, digest),
            Input::JobFile {
                path,
                executable,
                digest,
            } => ("file beside the code", path, *executable, digest),
            _ => return None,
        };
        Some(Self {
            kind,
            path,
            executable,
            digest,
        })
    }

    fn mode(&self) -> &'static str {
        if self.executable { "0755" } else { "0644" }
    }
}

fn files(old: &File<'_>, new: &File<'_>) -> String {
    let mut parts = Vec::new();
    if old.path != new.path {
        parts.push(format!("renamed {} -> {}", old.path, new.path));
    }
    if old.digest != new.digest {
        parts.push("changed".to_owned());
    }
    parts.extend(turn(old.mode(), new.mode()).map(|turn| format!("mode {turn}")));
    let what = if old.path == new.path {
        format!("{} {}", new.kind, new.path)
    } else {
        new.kind.to_owned()
    };
    format!("{what} {}", parts.join(", "))
}

fn paths(old: &Input, new: &Input) -> String {
    if let (Some(old), Some(new)) = (File::of(old), File::of(new)) {
        return files(&old, &new);
    }
    match (old, new) {
        (
            Input::Symlink {
                path: old_path,
                target: old_target,
            },
            Input::Symlink { path, target },
        ) => {
            if old_path == path {
                format!("symbolic link {path} to {old_target} -> {target}")
            } else {
                format!("symbolic link to {target} renamed {old_path} -> {path}")
            }
        }
        (Input::File { path, .. }, Input::Symlink { target, .. }) => {
            format!("file {path} -> symbolic link to {target}")
        }
        (Input::Symlink { path, target }, Input::File { .. }) => {
            format!("symbolic link {path} to {target} -> file")
        }
        _ => format!(
            "{} -> {}",
            thing(&RecordRow::Known(old.clone())),
            thing(&RecordRow::Known(new.clone()))
        ),
    }
}
