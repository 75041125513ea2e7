//! Changes and rows in plain words, one line each.

use std::fmt;

use super::{Change, Row};
use crate::{
    image::Digest,
    plan::Input,
    project::{ignore::escaped, template::TAG_DIGITS, wheel::WheelName},
};

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Removed(Row::Known(Input::Revision { number, reason })) => {
                format!("revision {number} taken back: {reason}")
            }
            Self::Added(Row::Known(Input::Revision { number, reason })) => {
                format!("revision {number}: {reason}")
            }
            Self::Removed(row) => format!("{} removed", thing(row)),
            Self::Added(row) => format!("{} added", thing(row)),
            Self::Changed {
                old: Row::Known(old),
                new: Row::Known(new),
            } => turned(old, new),
            Self::Changed { old, new } => format!("{} -> {}", thing(old), thing(new)),
        };
        // A path or a value of somebody else's must stay on its line.
        formatter.write_str(&escaped(text))
    }
}

/// A row as a thing that is there or not.
fn thing(row: &Row) -> String {
    let input = match row {
        Row::Known(input) => input,
        Row::Unknown(fields) => return format!("{} (of a newer format)", fields.join(" ")),
    };
    match input {
        Input::Format(format) => format!("fingerprint format {format}"),
        Input::Stage(name) => format!("image name {name}"),
        Input::Platform(platform) => format!("platform {platform}"),
        Input::Dockerfile(_) => "Dockerfile".to_owned(),
        Input::Target(target) => format!("target {target}"),
        Input::BuildArgument { name, value } => format!("build argument {name}={value}"),
        Input::Revision { number, reason } => format!("revision {number}: {reason}"),
        Input::File { path, .. } => format!("file {path}"),
        Input::Symlink { path, target } => format!("symbolic link {path} to {target}"),
        Input::Parent { .. } | Input::External { .. } | Input::Source { .. } => {
            format!("{} ({})", below(input), role(input))
        }
        Input::Main { name, .. } => format!("main file {name}"),
        Input::Module { path, .. } => format!("module {path}"),
        Input::Wheel { file_name, .. } => match file_name.parse::<WheelName>() {
            Ok(wheel) => format!("{} {}", wheel.name, wheel.version),
            Err(_) => format!("wheel {file_name}"),
        },
    }
}

/// What an image stands on, without its role.
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

/// Two inputs about the same thing.
fn turned(old: &Input, new: &Input) -> String {
    match (old, new) {
        (Input::Format(old), Input::Format(new)) => format!("fingerprint format {old} -> {new}"),
        (Input::Stage(old), Input::Stage(new)) => format!("image name {old} -> {new}"),
        (Input::Platform(old), Input::Platform(new)) => format!("platform {old} -> {new}"),
        (Input::Dockerfile(_), Input::Dockerfile(_)) => "Dockerfile changed".to_owned(),
        (Input::Target(old), Input::Target(new)) => format!("target {old} -> {new}"),
        (
            Input::BuildArgument { name, value: old },
            Input::BuildArgument {
                name: new_name,
                value: new,
            },
        ) => format!("build argument {name}={old} -> {new_name}={new}"),
        (
            Input::Revision { number: old, .. },
            Input::Revision {
                number: new,
                reason,
            },
        ) => format!("revision {old} -> {new}: {reason}"),
        (Input::Wheel { .. }, Input::Wheel { .. }) => wheels(old, new),
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
    let moved = (role(old) != role(new)).then(|| format!("{} -> {}", role(old), role(new)));
    let what = match (old, new) {
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
            let fingerprints = (old != new).then(|| {
                let (old, new) = (old.short(TAG_DIGITS), new.short(TAG_DIGITS));
                format!(" changed ({old} -> {new})")
            });
            format!("parent {stage}{}", fingerprints.unwrap_or_default())
        }
        (Input::External { digest: old, .. }, Input::External { digest: new, .. }) => {
            let digests =
                (old != new).then(|| format!(" changed ({} -> {})", short(old), short(new)));
            format!(
                "external image{}",
                digests.unwrap_or_else(|| format!(" {}", short(new)))
            )
        }
        (
            Input::Source {
                unpack: old_unpack,
                sha256: old,
                ..
            },
            Input::Source {
                unpack: new_unpack,
                sha256: new,
                ..
            },
        ) => {
            let mut parts = Vec::new();
            if old != new {
                parts.push(format!(" changed ({} -> {})", short(old), short(new)));
            }
            if old_unpack != new_unpack {
                parts.push(format!(" unpacked: {old_unpack} -> {new_unpack}"));
            }
            format!("source{}", parts.join(","))
        }
        _ => format!("{} replaced by {}", below(old), below(new)),
    };
    match moved {
        Some(moved) => format!("{what}, {moved}"),
        None if matches!(new, Input::Parent { .. }) && what.contains("changed") => what,
        None => format!("{what} ({})", role(new)),
    }
}

fn paths(old: &Input, new: &Input) -> String {
    let mode = |executable: bool| if executable { "0755" } else { "0644" };
    match (old, new) {
        (
            Input::File {
                path: old_path,
                executable: old_mode,
                digest: old_digest,
            }
            | Input::Module {
                path: old_path,
                executable: old_mode,
                digest: old_digest,
            },
            Input::File {
                path,
                executable,
                digest,
            }
            | Input::Module {
                path,
                executable,
                digest,
            },
        ) => {
            let kind = if matches!(new, Input::Module { .. }) {
                "module"
            } else {
                "file"
            };
            let mut parts = Vec::new();
            if old_path != path {
                parts.push(format!("renamed {old_path} -> {path}"));
            }
            if old_digest != digest {
                parts.push("changed".to_owned());
            }
            if old_mode != executable {
                parts.push(format!("mode {} -> {}", mode(*old_mode), mode(*executable)));
            }
            let name = if old_path == path {
                format!(" {path}")
            } else {
                String::new()
            };
            format!("{kind}{name} {}", parts.join(", "))
        }
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
            thing(&Row::Known(old.clone())),
            thing(&Row::Known(new.clone()))
        ),
    }
}
