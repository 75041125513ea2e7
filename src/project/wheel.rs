//! Wheels: what their file names mean, and which of them an image can use.

use std::{cmp::Reverse, fmt, str::FromStr};

pub use crate::image::normalise;

use crate::image::Platform;

/// The default glibc of images: that of the oldest distribution in common use.
pub const DEFAULT_GLIBC: (u8, u8) = (2, 28);

/// What wheels are chosen for: the image's Python, platform and C library, never the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Major and minor version of `CPython`.
    pub python: (u8, u8),
    /// The image's platform.
    pub platform: Platform,
    /// Major and minor version of the GNU C library.
    pub glibc: (u8, u8),
}

impl Target {
    /// Python's name of the machine, with which a platform tag ends.
    #[must_use]
    pub fn machine(&self) -> &str {
        match self.platform.architecture.as_str() {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        }
    }

    /// The platform tags, the newest glibc first, without `any`.
    #[must_use]
    pub fn platform_tags(&self) -> Vec<String> {
        let machine = self.machine();
        let (major, newest) = self.glibc;
        let oldest = if machine == "x86_64" { 5 } else { 17 };
        let mut tags = Vec::new();
        for minor in (oldest..=newest).rev() {
            tags.push(format!("manylinux_{major}_{minor}_{machine}"));
            let older_name = match minor {
                17 => "manylinux2014",
                12 => "manylinux2010",
                5 => "manylinux1",
                _ => continue,
            };
            tags.push(format!("{older_name}_{machine}"));
        }
        tags.push(format!("linux_{machine}"));
        tags
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((major, minor), (glibc_major, glibc_minor)) = (self.python, self.glibc);
        write!(
            formatter,
            "Python {major}.{minor} on {} with glibc {glibc_major}.{glibc_minor}",
            self.platform
        )
    }
}

/// The tags of the wheels that a target can use, the best first.
#[must_use]
pub fn supported_tags(target: &Target) -> Vec<String> {
    let (major, minor) = target.python;
    let platforms = target.platform_tags();
    let own = format!("cp{major}{minor}");
    let generic: Vec<String> = std::iter::once(format!("py{major}{minor}"))
        .chain([format!("py{major}")])
        .chain(
            (0..minor)
                .rev()
                .map(|earlier| format!("py{major}{earlier}")),
        )
        .collect();
    let stable = (2..minor)
        .rev()
        .map(|earlier| format!("cp{major}{earlier}-abi3"));
    let native = [
        format!("{own}-{own}"),
        format!("{own}-abi3"),
        format!("{own}-none"),
    ];
    let by_platform = native
        .into_iter()
        .chain(stable)
        .chain(generic.iter().map(|python| format!("{python}-none")));
    let mut tags: Vec<String> = by_platform
        .flat_map(|start| {
            platforms
                .iter()
                .map(move |platform| format!("{start}-{platform}"))
        })
        .collect();
    tags.push(format!("{own}-none-any"));
    tags.extend(
        generic
            .into_iter()
            .map(|python| format!("{python}-none-any")),
    );
    tags
}

/// How well a wheel fits a target: a lower rank is better.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(usize, Reverse<Option<(u64, String)>>);

/// The parts of a wheel's file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    /// The name as it is.
    pub file_name: String,
    /// The package's name, normalised.
    pub name: String,
    /// The package's version, as it is written.
    pub version: String,
    /// The build tag, which breaks ties: its number and what follows.
    pub build: Option<(u64, String)>,
    /// `cp311`, `py2.py3` and the like, split at the dots, as are the next two fields.
    pub pythons: Vec<String>,
    /// `cp311`, `abi3`, `none`.
    pub abis: Vec<String>,
    /// `manylinux_2_28_x86_64`, `any`.
    pub platforms: Vec<String>,
}

/// Why a text is no file name of a wheel.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a wheel's file name: `name-version-python-abi-platform.whl` is wanted")]
pub struct WheelNameError(pub String);

impl WheelName {
    /// The position of the wheel's best tag in `supported`, with its build tag; `None` if no tag is supported.
    #[must_use]
    pub fn rank(&self, supported: &[String]) -> Option<Rank> {
        let tags = self.tags();
        let position = supported.iter().position(|tag| tags.contains(tag))?;
        Some(Rank(position, Reverse(self.build.clone())))
    }

    /// Whether it runs on every platform.
    #[must_use]
    pub fn is_for_any_platform(&self) -> bool {
        self.platforms.iter().all(|platform| platform == "any")
    }

    /// All tags that the name stands for, each as `python-abi-platform`.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        let mut tags = Vec::new();
        for python in &self.pythons {
            for abi in &self.abis {
                tags.extend(
                    self.platforms
                        .iter()
                        .map(|platform| format!("{python}-{abi}-{platform}")),
                );
            }
        }
        tags
    }
}

impl FromStr for WheelName {
    type Err = WheelNameError;

    fn from_str(text: &str) -> Result<Self, WheelNameError> {
        let wrong = || WheelNameError(text.to_owned());
        let parts: Vec<&str> = text
            .strip_suffix(".whl")
            .ok_or_else(wrong)?
            .split('-')
            .collect();
        let plain = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._+!".contains(&byte))
        };
        if !parts.iter().all(plain) {
            return Err(wrong());
        }
        let (name, version, build, [pythons, abis, platforms]) = match *parts.as_slice() {
            [name, version, python, abi, platform] => {
                (name, version, None, [python, abi, platform])
            }
            [name, version, build, python, abi, platform] => {
                let digits = build.bytes().take_while(u8::is_ascii_digit).count();
                let number = build[..digits].parse().map_err(|_| wrong())?;
                let build = Some((number, build[digits..].to_owned()));
                (name, version, build, [python, abi, platform])
            }
            _ => return Err(wrong()),
        };
        let split = |tags: &str| tags.split('.').map(str::to_owned).collect();
        Ok(Self {
            file_name: text.to_owned(),
            name: normalise(name),
            version: version.to_owned(),
            build,
            pythons: split(pythons),
            abis: split(abis),
            platforms: split(platforms),
        })
    }
}

/// The error that no wheel fits the target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no wheel for {wanted}: the tags found are {}", listed(found))]
pub struct NoWheel {
    /// The tags of the wheels that exist.
    pub found: Vec<String>,
    /// The target, for messages.
    pub wanted: String,
}

/// The wheel that fits the target best.
///
/// # Errors
/// The target can use none of the wheels.
pub fn choose<'a>(
    candidates: impl IntoIterator<Item = &'a WheelName> + Clone,
    target: &Target,
) -> Result<&'a WheelName, NoWheel> {
    let supported = supported_tags(target);
    let usable = candidates
        .clone()
        .into_iter()
        .filter_map(|name| Some((name.rank(&supported)?, name)));
    let best = usable.min_by(|(left, one), (right, other)| {
        (left, &one.file_name).cmp(&(right, &other.file_name))
    });
    best.map(|(_, name)| name).ok_or_else(|| {
        let mut found: Vec<String> = candidates.into_iter().flat_map(WheelName::tags).collect();
        found.sort();
        found.dedup();
        NoWheel {
            found,
            wanted: target.to_string(),
        }
    })
}

fn listed(tags: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = tags
        .iter()
        .take(SHOWN)
        .map(|tag| format!("`{tag}`"))
        .collect();
    match (tags.len(), tags.len().checked_sub(SHOWN)) {
        (0, _) => "none".to_owned(),
        (_, Some(more @ 1..)) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(platform: &str, python: (u8, u8), glibc: (u8, u8)) -> Target {
        Target {
            python,
            platform: platform.parse().unwrap(),
            glibc,
        }
    }

    fn names(names: &[&str]) -> Vec<WheelName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn names_are_taken_apart() {
        let plain: WheelName =
            "MarkupSafe-3.0.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
                .parse()
                .unwrap();
        assert_eq!(
            (plain.name.as_str(), plain.version.as_str()),
            ("markupsafe", "3.0.2")
        );
        assert_eq!(
            plain.platforms,
            ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]
        );
        let built: WheelName = "a_b.c-1.0+local-12x-py2.py3-none-any.whl".parse().unwrap();
        assert_eq!(built.name, "a-b-c");
        assert_eq!(built.build, Some((12, "x".to_owned())));
        assert_eq!(built.tags(), ["py2-none-any", "py3-none-any"]);
        assert!(built.is_for_any_platform() && !plain.is_for_any_platform());
        for wrong in [
            "",
            "a.whl",
            "a-1-py3-none-any.zip",
            "a-1-b1-py3-none-any.whl",
            "a-1-py3-none-.whl",
            "a-1-1-1-py3-none-any.whl",
            "../a-1-py3-none-any.whl",
            "a 1-1-py3-none-any.whl",
        ] {
            assert_eq!(
                wrong.parse::<WheelName>(),
                Err(WheelNameError(wrong.to_owned()))
            );
        }
    }

    #[test]
    fn tags_come_in_the_order_of_preference() {
        let tags = supported_tags(&target("linux/arm64", (3, 11), (2, 18)));
        let shown: Vec<&str> = tags.iter().map(String::as_str).take(5).collect();
        assert_eq!(
            shown,
            [
                "cp311-cp311-manylinux_2_18_aarch64",
                "cp311-cp311-manylinux_2_17_aarch64",
                "cp311-cp311-manylinux2014_aarch64",
                "cp311-cp311-linux_aarch64",
                "cp311-abi3-manylinux_2_18_aarch64",
            ]
        );
        let position = |tag: &str| tags.iter().position(|known| known == tag).unwrap();
        let falling = [
            "cp311-none-linux_aarch64",
            "cp310-abi3-manylinux_2_18_aarch64",
            "cp32-abi3-linux_aarch64",
            "py311-none-manylinux_2_18_aarch64",
            "py3-none-manylinux_2_17_aarch64",
            "py310-none-linux_aarch64",
            "cp311-none-any",
            "py311-none-any",
            "py3-none-any",
            "py30-none-any",
        ];
        assert!(
            falling
                .windows(2)
                .all(|pair| position(pair[0]) < position(pair[1]))
        );
        let old = supported_tags(&target("linux/amd64", (3, 9), (2, 17)));
        assert!(old.contains(&"cp39-cp39-manylinux1_x86_64".to_owned()));
        assert!(
            !tags
                .iter()
                .any(|tag| tag.contains("2_19") || tag.contains("manylinux1_"))
        );
    }

    #[test]
    fn the_best_wheel_is_chosen_whatever_the_order() {
        let here = target("linux/amd64", (3, 11), DEFAULT_GLIBC);
        let mut wheels = names(&[
            "x-1-py3-none-any.whl",
            "x-1-cp311-cp311-musllinux_1_2_x86_64.whl",
            "x-1-cp311-cp311-manylinux_2_34_x86_64.whl",
            "x-1-cp38-abi3-manylinux_2_28_x86_64.whl",
            "x-1-cp311-cp311-manylinux2014_x86_64.whl",
            "x-1-2-cp311-cp311-manylinux2014_x86_64.whl",
            "x-1-10-cp311-cp311-manylinux2014_x86_64.whl",
            "x-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        ]);
        let best = "x-1-10-cp311-cp311-manylinux2014_x86_64.whl";
        assert_eq!(choose(&wheels, &here).unwrap().file_name, best);
        wheels.reverse();
        assert_eq!(choose(&wheels, &here).unwrap().file_name, best);
        let newer = target("linux/amd64", (3, 11), (2, 36));
        assert_eq!(
            choose(&wheels, &newer).unwrap().file_name,
            "x-1-cp311-cp311-manylinux_2_34_x86_64.whl"
        );
        let abi3 = target("linux/amd64", (3, 13), (2, 28));
        assert_eq!(
            choose(&wheels, &abi3).unwrap().file_name,
            "x-1-cp38-abi3-manylinux_2_28_x86_64.whl"
        );
    }

    #[test]
    fn no_wheel_lists_what_was_found_and_wanted() {
        let wheels = names(&[
            "x-1-cp311-cp311-win_amd64.whl",
            "x-1-cp39-cp39-manylinux2014_x86_64.whl",
        ]);
        let error = choose(&wheels, &target("linux/arm64", (3, 11), DEFAULT_GLIBC)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no wheel for Python 3.11 on linux/arm64 with glibc 2.28: the tags found are \
             `cp311-cp311-win_amd64`, `cp39-cp39-manylinux2014_x86_64`"
        );
    }

    #[test]
    fn names_of_packages_are_normalised() {
        for (written, normal) in [("Foo", "foo"), ("f.o_o", "f-o-o"), ("F--o..o", "f-o-o")] {
            assert_eq!(normalise(written), normal);
        }
        assert_eq!(normalise("F-_.o"), "f-o");
    }
}
