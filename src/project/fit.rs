//! Whether the Spark, Java and Python of a chain fit each other and the root image, where a built-in recipe puts them
//! together. Whatever is not in the tables is not known, and so is not refused.

use super::{Chain, Image, Kind, MadeChain, Project, place::Defect};
use crate::{
    code::Code,
    image::{ImagePython, Reference},
};

/// The value of a chain that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfitting {
    /// `java`.
    Java,
    /// `python`.
    Python,
}

/// Why a chain cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) what: Misfitting,
    pub(super) message: String,
    pub(super) hint: String,
}

/// A major and minor version.
type Version = (u8, u8);

/// What the versions of Spark from one to another run on, as their documentation and packages say.
struct Needs {
    first: Version,
    last: Version,
    javas: &'static [&'static str],
    oldest_python: Option<Version>,
    newest_python: Option<Version>,
}

impl Needs {
    const fn of(
        (first, last): (Version, Version),
        javas: &'static [&'static str],
        (oldest_python, newest_python): (Option<Version>, Option<Version>),
    ) -> Self {
        Self {
            first,
            last,
            javas,
            oldest_python,
            newest_python,
        }
    }
}

const SPARKS: [Needs; 9] = [
    Needs::of(((2, 4), (2, 4)), &["8"], (None, Some((3, 7)))),
    Needs::of(((3, 0), (3, 0)), &["8", "11"], (None, None)),
    Needs::of(((3, 1), (3, 2)), &["8", "11"], (Some((3, 6)), None)),
    Needs::of(((3, 3), (3, 4)), &["8", "11", "17"], (Some((3, 7)), None)),
    Needs::of(((3, 5), (3, 5)), &["8", "11", "17"], (Some((3, 8)), None)),
    Needs::of(((4, 0), (4, 0)), &["17", "21"], (Some((3, 9)), None)),
    Needs::of(((4, 1), (4, 1)), &["17", "21"], (Some((3, 10)), None)),
    Needs::of(((4, 2), (4, 2)), &["17", "21", "25"], (Some((3, 10)), None)),
    Needs::of(((4, 3), (4, 3)), &["17", "21", "25"], (Some((3, 11)), None)),
];

/// A release of a distribution: its name, the beginnings of the tags of its official image, its Python, and its Javas
/// if they are known.
struct Release {
    name: &'static str,
    image: &'static str,
    tags: [&'static str; 2],
    python: Version,
    javas: &'static [&'static str],
}

const RELEASES: [Release; 7] = [
    Release::new("Debian 10", "debian", ["10", "buster"], (3, 7), &["11"]),
    Release::new(
        "Debian 11",
        "debian",
        ["11", "bullseye"],
        (3, 9),
        &["11", "17"],
    ),
    Release::new("Debian 12", "debian", ["12", "bookworm"], (3, 11), &["17"]),
    Release::new(
        "Debian 13",
        "debian",
        ["13", "trixie"],
        (3, 13),
        &["21", "25"],
    ),
    Release::new("Ubuntu 20.04", "ubuntu", ["20.04", "focal"], (3, 8), &[]),
    Release::new("Ubuntu 22.04", "ubuntu", ["22.04", "jammy"], (3, 10), &[]),
    Release::new("Ubuntu 24.04", "ubuntu", ["24.04", "noble"], (3, 12), &[]),
];

impl Release {
    const fn new(
        name: &'static str,
        image: &'static str,
        tags: [&'static str; 2],
        python: Version,
        javas: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            image,
            tags,
            python,
            javas,
        }
    }

    /// The release in an official image, or in a mirror's copy of it, by its name.
    fn of_image(root: &str) -> Option<&'static Self> {
        let reference: Reference = root.parse().ok()?;
        let path = &reference.repository.path;
        let image = path.strip_prefix("library/").or_else(|| {
            let (_, image) = path.rsplit_once("/library/")?;
            Some(image)
        })?;
        let tag = reference.tag.as_deref()?;
        let is_of = |release: &&Self| {
            release.image == image
                && release.tags.iter().any(|known| {
                    let rest = tag.strip_prefix(known);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
                })
        };
        RELEASES.iter().find(is_of)
    }
}

/// Refuses the image `py` of a built-in recipe if the image `root`, which its parent stands on, has another Python.
///
/// # Errors
/// It has another one, as far as that is known.
pub fn refuse_other_python(
    project: &Project,
    py: &Image,
    root: &str,
    there: &ImagePython,
) -> Result<(), Defect> {
    let Some(chain) = project.chain_of(py).and_then(Chain::made) else {
        return Ok(());
    };
    let (major, minor) = chain.python;
    let of_chain = format!("{major}.{minor}");
    let text = argument(py, "PYTHON", &of_chain);
    let Some((has, found)) = version_in(there) else {
        return Ok(());
    };
    if version(text).is_none_or(|wanted| wanted == found) {
        return Ok(());
    }
    let message = format!("`{root}` {has}, not Python {text}");
    let defect = Defect::new(Code::E039, chain.python_place.clone(), message);
    Err(defect.hint(python_hint(py, found)))
}

/// What an image has, and the version of its Python; `None` if that is not known.
fn version_in(there: &ImagePython) -> Option<(String, Version)> {
    match there {
        ImagePython::Unknown => None,
        ImagePython::Program(path) => {
            let found = version(path.rsplit('/').next()?.strip_prefix("python")?)?;
            Some((format!("has `{path}` as its `python3`"), found))
        }
        ImagePython::OfDistribution { id, version } => {
            let mut releases = RELEASES.iter();
            let release =
                releases.find(|release| release.image == id && release.tags[0] == version)?;
            let (major, minor) = release.python;
            let has = format!(
                "is {} by its `os-release`, which has Python {major}.{minor}",
                release.name
            );
            Some((has, release.python))
        }
    }
}

fn python_hint(py: &Image, (major, minor): Version) -> String {
    format!(
        "write `python = \"{major}.{minor}\"`, with a `root` that has it, or give `{}` a Dockerfile of its own",
        py.name
    )
}

/// What does not fit in the images of a chain that built-in recipes make.
pub(super) fn misfits(project: &Project, chain: &Chain) -> Vec<Misfit> {
    let made = |kind: Kind| {
        let mut images = project.images.values();
        images.find(|image| {
            image.kind == kind
                && image.dockerfile.is_none()
                && image.chain.as_ref() == Some(&chain.name)
        })
    };
    let base = made(Kind::Base);
    let mut found = Vec::new();
    let Some(chain) = chain.made() else {
        return found;
    };
    if let Some(base) = base {
        found.extend(java(chain, base));
    }
    if let Some(py) = made(Kind::Py) {
        let stands_on = base.filter(|base| py.parent.as_ref() == Some(&base.name));
        found.extend(python(chain, py, stands_on.map(|base| &**base)));
    }
    found
}

/// The value of a build argument, which the image may have changed.
fn argument<'a>(image: &'a Image, name: &str, of_chain: &'a str) -> &'a str {
    image
        .build_arguments
        .get(name)
        .map_or(of_chain, String::as_str)
}

fn java(chain: &MadeChain, base: &Image) -> Option<Misfit> {
    let java = argument(base, "JAVA", &chain.java);
    let misfit = |message: String, javas: &[&str]| Misfit {
        what: Misfitting::Java,
        message,
        hint: format!(
            "write `java = \"{}\"`, with a `root` that has it, or give `{}` a Dockerfile of its own",
            javas.last().unwrap_or(&""),
            base.name
        ),
    };
    if let Some(needs) = of_spark(chain, base)
        && !needs.javas.contains(&java)
    {
        let spark = &chain.spark;
        let message = format!(
            "Spark {spark} runs on Java {}, not on {java}",
            listed(needs.javas)
        );
        return Some(misfit(message, needs.javas));
    }
    let root = argument(base, "ROOT", &chain.root);
    let release = Release::of_image(root)?;
    if release.javas.is_empty() || release.javas.contains(&java) {
        return None;
    }
    let message = format!(
        "`{root}` is {}, which has Java {}, not {java}",
        release.name,
        listed(release.javas)
    );
    Some(misfit(message, release.javas))
}

fn python(chain: &MadeChain, py: &Image, base: Option<&Image>) -> Option<Misfit> {
    let (major, minor) = chain.python;
    let of_chain = format!("{major}.{minor}");
    let text = argument(py, "PYTHON", &of_chain);
    let python = version(text)?;
    let misfit = |message: String, fitting: Version| Misfit {
        what: Misfitting::Python,
        message,
        hint: python_hint(py, fitting),
    };
    if let Some(needs) = of_spark(chain, py) {
        let spark = &chain.spark;
        if let Some(oldest) = needs.oldest_python.filter(|oldest| python < *oldest) {
            let message = format!(
                "Spark {spark} needs Python {}.{} or newer, not {text}",
                oldest.0, oldest.1
            );
            return Some(misfit(message, oldest));
        }
        if let Some(newest) = needs.newest_python.filter(|newest| python > *newest) {
            let message = format!(
                "Spark {spark} runs on Python {}.{} at most, not on {text}",
                newest.0, newest.1
            );
            return Some(misfit(message, newest));
        }
    }
    let root = argument(base?, "ROOT", &chain.root);
    let release = Release::of_image(root)?;
    let (major, minor) = release.python;
    let message = format!(
        "`{root}` is {}, which has Python {major}.{minor}, not {text}",
        release.name
    );
    (python != release.python).then(|| misfit(message, release.python))
}

/// What a chain's Spark runs on; `None` if that is not known: a version that others than Apache release, a version that
/// is too new, or another one in this image.
fn of_spark(chain: &MadeChain, image: &Image) -> Option<&'static Needs> {
    let numbers: Vec<&str> = chain.spark.split('.').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_replaced = image.build_arguments.contains_key("SPARK");
    if numbers.len() != 3 || !numbers.iter().all(is_number) || is_replaced {
        return None;
    }
    let spark = (numbers[0].parse().ok()?, numbers[1].parse().ok()?);
    SPARKS
        .iter()
        .find(|needs| (needs.first..=needs.last).contains(&spark))
}

fn version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `8, 11 or 17`.
fn listed(versions: &[&str]) -> String {
    match versions {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use crate::{image::ImagePython, project::load};

    /// What loading a project with this chain and these images says; empty if it is taken.
    fn told(chain: &str, images: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs_err::create_dir(root.join("src")).unwrap();
        fs_err::write(root.join("src/main.py"), "").unwrap();
        fs_err::write(root.join("Dockerfile"), "ARG PARENT\nFROM ${PARENT}\n").unwrap();
        let text = format!(
            "format = 1\nproject = 'p'\nregistries.main = 'r.example/t'\n[chains.main]\n{chain}\n{images}"
        );
        fs_err::write(root.join("sparkpack.toml"), text).unwrap();
        load::load(root, &|_| None).map_or_else(|defect| defect.to_string(), |_| String::new())
    }

    const JOB: &str = "[images.job]\nparent = 'py'\nsrc = 'src'\n";

    #[test]
    fn versions_that_do_not_fit_are_told_at_their_key() {
        for (chain, wanted) in [
            (
                "spark = '3.2.4'\npython = '3.11'",
                "5:9: Spark 3.2.4 runs on Java 8 or 11, not on 17",
            ),
            (
                "spark = '3.2.4'\npython = '3.9'\njava = '17'\nroot = 'debian:bullseye'",
                "7:8: Spark 3.2.4 runs on Java 8 or 11, not on 17",
            ),
            (
                "spark = '2.4.8'\npython = '3.7'\njava = '11'\nroot = 'debian:buster'",
                "7:8: Spark 2.4.8 runs on Java 8, not on 11",
            ),
            (
                "spark = '4.1.4'\npython = '3.11'\njava = '11'\nroot = 'r.example/own:1'",
                "7:8: Spark 4.1.4 runs on Java 17 or 21, not on 11",
            ),
            (
                "spark = '4.1.4'\npython = '3.12'",
                "6:10: `debian:bookworm-slim` is Debian 12, which has Python 3.11, not 3.12",
            ),
            (
                "spark = '4.1.4'\npython = '3.11'\njava = '21'",
                "7:8: `debian:bookworm-slim` is Debian 12, which has Java 17, not 21",
            ),
            (
                "spark = '4.1.4'\npython = '3.13'\nroot = 'mirror.example/library/debian:13.1-slim'",
                "5:9: `mirror.example/library/debian:13.1-slim` is Debian 13, which has Java 21 or 25, not 17",
            ),
            (
                "spark = '4.1.4'\npython = '3.11'\nroot = 'ubuntu:24.04'",
                "6:10: `ubuntu:24.04` is Ubuntu 24.04, which has Python 3.12, not 3.11",
            ),
            (
                "spark = '4.1.4'\npython = '3.9'\nroot = 'debian:11'",
                "6:10: Spark 4.1.4 needs Python 3.10 or newer, not 3.9",
            ),
            (
                "spark = '4.3.0'\npython = '3.10'\nroot = 'ubuntu:22.04'",
                "6:10: Spark 4.3.0 needs Python 3.11 or newer, not 3.10",
            ),
            (
                "spark = '2.4.8'\npython = '3.9'\njava = '8'\nroot = 'r.example/own:1'",
                "6:10: Spark 2.4.8 runs on Python 3.7 at most, not on 3.9",
            ),
        ] {
            assert_eq!(told(chain, JOB), format!("sparkpack.toml:{wanted}"));
        }
    }

    #[test]
    fn what_fits_or_is_not_known_is_taken() {
        for chain in [
            "spark = '4.1.4'\npython = '3.11'",
            "spark = '3.5.9'\npython = '3.11'\nroot = 'docker.io/library/debian:12.11-slim'",
            "spark = '3.3.4'\npython = '3.9'\nroot = 'debian:bullseye-slim'",
            "spark = '4.2.1'\npython = '3.13'\njava = '25'\nroot = 'debian:trixie'",
            "spark = '4.1.4'\npython = '3.10'\njava = '21'\nroot = 'ubuntu:jammy'",
            // Tags and images of which nothing is known.
            "spark = '4.1.4'\npython = '3.14'\njava = '21'\nroot = 'debian:testing'",
            "spark = '4.1.4'\npython = '3.12'\nroot = 'debian:120'",
            "spark = '4.1.4'\npython = '3.12'\nroot = 'r.example/debian:12'",
            "spark = '4.1.4'\npython = '3.12'\nroot = 'python:3.12-bookworm'",
            // A Spark that is newer than the tables, and one that others have changed.
            "spark = '5.0.0'\npython = '3.13'\njava = '25'\nroot = 'debian:13'",
            "spark = '3.2.4.7'\npython = '3.11'",
        ] {
            assert_eq!(told(chain, JOB), "", "{chain}");
        }
    }

    #[test]
    fn what_is_in_the_root_image_is_judged_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs_err::create_dir(root.join("src")).unwrap();
        fs_err::write(root.join("src/main.py"), "").unwrap();
        let told = |python: &str, images: &str, there: &ImagePython| {
            let text = format!(
                "format = 1\nproject = 'p'\nregistries.main = 'r.example/t'\n[chains.main]\nspark = '4.1.4'\n\
                 python = '{python}'\nroot = 'r.example/own:1'\n{images}{JOB}"
            );
            fs_err::write(root.join("sparkpack.toml"), text).unwrap();
            let project = load::load(root, &|_| None).unwrap();
            let py = &project.images["py"];
            super::refuse_other_python(&project, py, "r.example/own:1", there)
                .map_or_else(|defect| defect.to_string(), |()| String::new())
        };
        let of = |id: &str, version: &str| ImagePython::OfDistribution {
            id: id.to_owned(),
            version: version.to_owned(),
        };
        for (id, version, name, wanted) in [
            ("debian", "11", "Debian 11", "3.9"),
            ("debian", "12", "Debian 12", "3.11"),
            ("debian", "13", "Debian 13", "3.13"),
            ("ubuntu", "22.04", "Ubuntu 22.04", "3.10"),
            ("ubuntu", "24.04", "Ubuntu 24.04", "3.12"),
        ] {
            let there = of(id, version);
            if wanted != "3.9" {
                assert_eq!(told(wanted, "", &there), "", "{name}");
            }
            assert_eq!(
                told("3.14", "", &there),
                format!(
                    "sparkpack.toml:6:10: `r.example/own:1` is {name} by its `os-release`, which has Python {wanted}, not Python 3.14"
                ),
            );
        }
        let program = |path: &str| ImagePython::Program(path.to_owned());
        assert_eq!(told("3.12", "", &program("/usr/local/bin/python3.12")), "");
        assert_eq!(
            told("3.11", "", &program("/usr/local/bin/python3.12")),
            "sparkpack.toml:6:10: `r.example/own:1` has `/usr/local/bin/python3.12` as its `python3`, not Python 3.11"
        );
        for there in [
            ImagePython::Unknown,
            of("debian", "14"),
            of("linuxmint", "12"),
            program("/opt/shims/python3"),
        ] {
            assert_eq!(told("3.11", "", &there), "", "{there:?}");
        }
        let other = "[images.py]\nbuild-args.PYTHON = '3.13'\n";
        assert_eq!(told("3.11", other, &of("debian", "13")), "");
    }

    #[test]
    fn dockerfiles_of_ones_own_are_not_judged() {
        let misfit = "spark = '3.2.4'\npython = '3.12'";
        let base = "[images.base]\ndockerfile = 'Dockerfile'\n";
        let py = "[images.py]\nparent = 'base'\ndockerfile = 'Dockerfile'\n";
        assert_eq!(
            told(misfit, &[base, JOB].concat()),
            "",
            "its root is unknown"
        );
        assert_ne!(
            told(misfit, &[py, JOB].concat()),
            "",
            "base is not of one's own"
        );
        assert_eq!(told(misfit, &[base, py, JOB].concat()), "");
        let unused = "[images.own]\ndockerfile = 'Dockerfile'\nparent = 'base'\n";
        assert_eq!(told(misfit, &[base, unused].concat()), "");
        // Arguments that an image changes count instead of the chain's.
        let other = "[images.base]\nbuild-args.JAVA = '11'\nbuild-args.ROOT = 'r.example/own:1'\n";
        assert_eq!(told(misfit, &[other, JOB].concat()), "");
    }
}
