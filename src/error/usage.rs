//! Requests that cannot be met: what is wrong, and what to type instead.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    adapters::{
        git::{Compared, NoGit},
        registry::RegistryError,
    },
    code::Code,
    image::{Reference, ReferenceError},
    project::{
        FILE_NAME, UnknownRegistry,
        place::{Defect, nearest},
    },
};

/// The number of paths that a message lists unless all are asked for.
pub(crate) const SHOWN_PATHS: usize = 20;

/// Why a request cannot be met: a name does not exist, an option forbids it, or git does not answer.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// There is no project here.
    #[error("no {FILE_NAME} in {}{}", folder.display(), if *with_parents { " or its parents" } else { "" })]
    NoProject {
        /// The folder in which a project was looked for.
        folder: PathBuf,
        /// Whether the folders above were searched as well.
        with_parents: bool,
    },
    /// The folder that the run began in is gone.
    #[error("the current folder is not there any more: {0}")]
    NoCurrentFolder(std::io::Error),
    /// There is a project already.
    #[error("there is a {FILE_NAME} in {}{}", folder.display(), if *is_above { ", which is above" } else { " already" })]
    AlreadyAdopted {
        /// The folder that has it.
        folder: PathBuf,
        /// Whether that is a folder above the one that was asked for.
        is_above: bool,
    },
    /// Nothing says what the images of a project would be.
    #[error("no PySpark job is found in {}: nothing is written\n{}", folder.display(), looked.join("\n"))]
    NotUnderstood {
        /// The project's folder.
        folder: PathBuf,
        /// What was looked for, and what was there.
        looked: Vec<String>,
    },
    /// A proposed configuration would be refused.
    #[error("the configuration that follows from the files would be refused, so that nothing is written: {}\n{line}", defect.message)]
    UnfitProposal {
        /// The line that would be refused.
        line: String,
        /// Why.
        defect: Box<Defect>,
    },
    /// A configuration does not say what it follows from.
    #[error("{} has no line `# found: …`", file.display())]
    NoFacts {
        /// The configuration.
        file: PathBuf,
    },
    /// There is no such image.
    #[error("there is no image `{name}`")]
    UnknownImage {
        /// What was typed.
        name: String,
        /// The images that exist.
        images: Vec<String>,
    },
    /// There is no such registry, or none was named and several are configured.
    #[error(transparent)]
    UnknownRegistry(#[from] UnknownRegistry),
    /// No commit has the tag that is to be verified.
    #[error("`{image}` has the tag {here} in this checkout, and no commit is found that has {tag}{}", why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    NoCheckout {
        /// The image.
        image: String,
        /// The tag that was asked for.
        tag: String,
        /// The tag of this checkout.
        here: String,
        /// Why git does not say which commits there are.
        why: Option<NoGit>,
    },
    /// Images are to be copied into the registry that they come from.
    #[error("the images of `{0}` are to be copied into `{0}`")]
    SameRegistry(String),
    /// The locks have no entry with the name that is to be upgraded.
    #[error("`{name}` is nothing that the locks have")]
    NotLocked {
        /// What was typed.
        name: String,
        /// The images of the project.
        images: Vec<String>,
        /// The external images, sources and recipes that those images are built on.
        others: BTreeSet<String>,
        /// The packages that are required or locked.
        packages: BTreeSet<String>,
    },
    /// The reason for a refresh is blank.
    #[error("`--reason` says nothing")]
    NoReason,
    /// `--offline` forbids something that the run needs.
    #[error("{} is needed, and `--offline` forbids it", .0.what())]
    Offline(OnlineWork),
    /// Executable bits must come from git's index, and git does not answer.
    #[error("`core.fileMode` is off, so executable bits come from git's index, but {0}")]
    NoExecutableBits(NoGit),
    /// Inputs that no commit has must be refused, and git does not say which inputs these are.
    #[error("`--strict` refuses inputs that no commit has, but {0}")]
    NotStrict(NoGit),
    /// Inputs are not as git has them, and the run refuses that.
    #[error("{}", uncommitted(inputs, *compared))]
    Uncommitted {
        /// The inputs, relative to the project's folder, each with the reason.
        inputs: Vec<String>,
        /// Those that git calls unchanged, and that a new checkout has with other bytes.
        converted: Vec<String>,
        /// What they were compared with.
        compared: Compared,
    },
    /// The name of an image to compare with is not a reference.
    #[error("{error}")]
    NotAReference {
        /// Why it is not a reference.
        error: ReferenceError,
        /// The verb that compares.
        by: Comparing,
    },
    /// The name of an image to compare with is not a tag.
    #[error("`{0}` is not a tag")]
    NotATag(String),
    /// No manifest names an image to compare with.
    #[error(
        "no manifest of the registry `{registry}` names an image `{image}` that was built, or one that stands on it"
    )]
    NotNamed {
        /// The name of the registry.
        registry: String,
        /// The image.
        image: String,
    },
    /// No record of the image can be found.
    #[error("{}\n{}", lack.headline(what), said.join("\n"))]
    UnknownRecord {
        /// The image, as it was named.
        what: String,
        /// Why there is no record.
        lack: RecordLack,
        /// What each place that was searched answered.
        said: Vec<String>,
        /// The verb that compares.
        by: Comparing,
    },
    /// Two images would set the same environment variable.
    #[error("`{}` and `{}` would both be the variable `{variable}`", images[0], images[1])]
    SameVariable {
        /// The variable.
        variable: String,
        /// The images, in the plan's order.
        images: [String; 2],
    },
}

/// What the network is needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnlineWork {
    /// A registry is to be asked.
    AskRegistry,
    /// An image is to be pulled.
    Pull(Reference),
    /// A repository is to be fetched; without a password.
    Repository(String),
}

impl OnlineWork {
    fn what(&self) -> String {
        match self {
            Self::AskRegistry => "asking a registry".to_owned(),
            Self::Pull(reference) => format!("pulling {reference}"),
            Self::Repository(url) => format!("fetching {url}"),
        }
    }
}

const OTHER_FOLDER: &str = "go to a folder that is there, or name the project's by `-C FOLDER`";

const OTHER_REGISTRY: &str =
    "name the registry that has the images by `--registry`, and the other one by `--to`";

fn how_to_verify(image: &str) -> String {
    format!(
        "commits are found by the manifests that name the tag: check out the commit that it is of, then type `sparkpack verify {image}`"
    )
}

/// The verb that compares images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparing {
    /// `why`: compares this checkout's image with another.
    Why,
    /// `diff`: compares any two images.
    Diff,
}

impl Comparing {
    /// How to name another image.
    fn hint(self) -> &'static str {
        match self {
            Self::Why => {
                "name another with `--against TAG` or `--against-image REFERENCE`: of an image that was removed everywhere, \
                 or that has no record, nobody can say why it differs"
            }
            Self::Diff => {
                "write the older and the newer as IMAGE:TAG, as a whole reference, or as a tag of an image of this project"
            }
        }
    }
}

/// Why no record of an image can be found.
#[derive(Debug)]
pub enum RecordLack {
    /// No place has the image.
    Nowhere,
    /// The image exists, but has no record that can be trusted.
    NoRecord,
    /// A place could not be searched.
    NotAsked,
    /// The registry answered with an error.
    Refused(Box<RegistryError>),
}

impl RecordLack {
    fn headline(&self, what: &str) -> String {
        match self {
            Self::Nowhere => format!("{what} is not known anywhere"),
            Self::NoRecord => format!("what {what} was made of is not known"),
            Self::NotAsked | Self::Refused(_) => {
                format!("what {what} was made of cannot be found out")
            }
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Nowhere | Self::NotAsked => Code::E081,
            Self::NoRecord => Code::E082,
            Self::Refused(error) => error.code(),
        }
    }
}

impl UsageError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoProject { .. } => Code::E010,
            Self::NoCurrentFolder(_) => Code::E071,
            Self::AlreadyAdopted { .. } => Code::E013,
            Self::NotUnderstood { .. } | Self::UnfitProposal { .. } => Code::E014,
            Self::NoFacts { .. } => Code::E015,
            Self::UnknownImage { .. } => Code::E084,
            Self::UnknownRegistry(_) | Self::SameRegistry(_) => Code::E087,
            Self::NotLocked { .. } => Code::E036,
            Self::NoReason => Code::E037,
            Self::Offline(_) => Code::E035,
            Self::NoExecutableBits(_) | Self::NotStrict(_) => Code::E097,
            Self::Uncommitted { .. } => Code::E098,
            Self::NotAReference { .. } | Self::NotATag(_) | Self::NoCheckout { .. } => Code::E080,
            Self::NotNamed { .. } => Code::E067,
            Self::UnknownRecord { lack, .. } => lack.code(),
            Self::SameVariable { .. } => Code::E079,
        }
    }

    /// What to type.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoProject { .. } | Self::NoFacts { .. } => self.code().cure().to_owned(),
            Self::NoCurrentFolder(_) => OTHER_FOLDER.to_owned(),
            Self::AlreadyAdopted { folder, is_above } => how_to_adopt(folder, *is_above),
            Self::NotUnderstood { .. } => BY_HAND.to_owned(),
            Self::UnfitProposal { defect, .. } => {
                let hint = defect.hint.clone();
                hint.unwrap_or_else(|| Code::E014.cure().to_owned())
            }
            Self::UnknownImage { name, images } => did_you_mean(name, strs(images))
                .unwrap_or_else(|| format!("the images are {}", images.join(", "))),
            Self::UnknownRegistry(_) => "choose one with `--registry NAME`".to_owned(),
            Self::NoCheckout { image, .. } => how_to_verify(image),
            Self::SameRegistry(_) => OTHER_REGISTRY.to_owned(),
            Self::NotLocked {
                name,
                images,
                others,
                packages,
            } => {
                let all = strs(images).chain(strs(others)).chain(strs(packages));
                did_you_mean(name, all).unwrap_or_else(|| {
                    format!(
                        "it may be an image ({}), what one stands on ({}), or a package of a requirements file",
                        sorted(images),
                        sorted(others)
                    )
                })
            }
            Self::NoReason => {
                "say why, as `sparkpack why` will print it: `--reason \"CVE-2026-1234\"`".to_owned()
            }
            Self::Offline(_) => "run it once without `--offline`".to_owned(),
            Self::NoExecutableBits(reason) | Self::NotStrict(reason) => reason.hint(),
            Self::Uncommitted {
                inputs,
                converted,
                compared,
            } => how_to_commit(inputs.len(), converted, *compared),
            Self::NotAReference {
                by: Comparing::Why, ..
            } => "write HOST[:PORT]/PATH:TAG".to_owned(),
            Self::NotATag(_) => {
                "for a whole reference there is `--against-image REFERENCE`".to_owned()
            }
            Self::NotNamed { image, .. } => format!(
                "say what to compare with: `sparkpack why {image} --against TAG`, or `--against-image REFERENCE`"
            ),
            Self::UnknownRecord {
                lack: RecordLack::Refused(error),
                by,
                ..
            } => error.hint().unwrap_or_else(|| by.hint().to_owned()),
            Self::NotAReference { by, .. } | Self::UnknownRecord { by, .. } => by.hint().to_owned(),
            Self::SameVariable { images, .. } => format!(
                "print one of them: `sparkpack tags --format env {}`, or rename an image",
                images[1]
            ),
        }
    }
}

/// What to do where nothing says what a project's images are.
const BY_HAND: &str = "go to the folder with the job's code, or write sparkpack.toml: `[images.job]` with `src` and `main`, \
                       `[chains.main]` with `spark` and `python`";

fn how_to_adopt(folder: &Path, is_above: bool) -> String {
    if is_above {
        let file = folder.join(FILE_NAME);
        return format!(
            "add an image to that one, `{}`, or go to another folder",
            file.display()
        );
    }
    Code::E013.cure().to_owned()
}

fn strs<'a>(names: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = &'a str> {
    names.into_iter().map(String::as_str)
}

pub(super) fn did_you_mean<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(name, all).map(|near| format!("did you mean `{near}`?"))
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: BTreeSet<&str> = strs(names).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn uncommitted(inputs: &[String], compared: Compared) -> String {
    let compared = match compared {
        Compared::Index => "git's index",
        Compared::Commit => "the commit",
    };
    let mut lines = vec![match inputs {
        [_] => {
            format!("an input is not as {compared} has it, so that no commit stands for the tags")
        }
        several => format!(
            "{} inputs are not as {compared} has them, so that no commit stands for the tags",
            several.len()
        ),
    }];
    lines.extend(shown_paths(inputs, SHOWN_PATHS));
    lines.join("\n")
}

fn how_to_commit(count: usize, converted: &[String], compared: Compared) -> String {
    let (commit, anyway) = match compared {
        Compared::Index => ("`git add`", "with `--no-strict` they count"),
        Compared::Commit => ("commit", "`--no-strict` pushes them all the same"),
    };
    let mut ways = Vec::new();
    if converted.len() < count {
        ways.push(format!(
            "{commit} them, or leave them out by `.dockerignore` or `exclude`; what every checkout makes is allowed by \
             `untracked` in sparkpack.toml"
        ));
    }
    if let Some(first) = converted.first() {
        ways.push(format!(
            "to have a file as a new checkout has it: `rm {first} && git -c core.autocrlf=false checkout -- {first}`; to \
             have git keep its bytes, write `{first} -text -filter -ident` into .gitattributes and `git add \
             --renormalize {first}`"
        ));
    }
    ways.push(anyway.to_owned());
    ways.join("; ")
}

/// The first `limit` paths, and the number of the others.
pub(crate) fn shown_paths(paths: &[String], limit: usize) -> Vec<String> {
    let mut shown: Vec<String> = paths.iter().take(limit).cloned().collect();
    if paths.len() > limit {
        shown.push(format!("… and {} more", paths.len() - limit));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{adapters::registry::Cause, error::Error};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The message of an error and its hint, on one line.
    fn printed(error: UsageError) -> String {
        let (text, hint) = (error.to_string(), error.hint());
        let error = Error::from(error);
        assert_eq!(error.exit_code(), 2);
        assert_eq!(error.hint().as_ref(), Some(&hint));
        format!("{} {} => {hint}", error.code(), text.replace('\n', " | "))
    }

    fn not_locked(name: &str) -> UsageError {
        UsageError::NotLocked {
            name: name.to_owned(),
            images: names(&["job", "base"]),
            others: names(&["debian:12", "a-jar"]).into_iter().collect(),
            packages: names(&["pandas"]).into_iter().collect(),
        }
    }

    fn unknown_record(lack: RecordLack, by: Comparing) -> UsageError {
        UsageError::UnknownRecord {
            what: "`x`".to_owned(),
            lack,
            said: names(&["not here", "nor there"]),
            by,
        }
    }

    #[test]
    fn a_name_that_there_is_not_is_told_with_the_nearest() {
        let (name, images) = ("jbo".to_owned(), names(&["base", "job"]));
        assert_eq!(
            printed(UsageError::UnknownImage { name, images }),
            "E084 there is no image `jbo` => did you mean `job`?"
        );
        let (name, images) = ("zzzzzz".to_owned(), names(&["base", "job"]));
        assert_eq!(
            printed(UsageError::UnknownImage { name, images }),
            "E084 there is no image `zzzzzz` => the images are base, job"
        );
        assert_eq!(
            printed(not_locked("pandsa")),
            "E036 `pandsa` is nothing that the locks have => did you mean `pandas`?"
        );
        assert_eq!(
            printed(not_locked("zzzzzzzzzz")),
            "E036 `zzzzzzzzzz` is nothing that the locks have => it may be an image (base, job), \
             what one stands on (a-jar, debian:12), or a package of a requirements file"
        );
        let registry = UnknownRegistry {
            name: "x".to_owned(),
            registries: names(&["main", "test"]),
        };
        assert_eq!(
            printed(registry.into()),
            "E087 there is no registry `x`; configured: `main`, `test` => choose one with `--registry NAME`"
        );
    }

    #[test]
    fn a_project_is_looked_for_in_a_folder_or_above() {
        let no_project = |with_parents| UsageError::NoProject {
            folder: PathBuf::from("/a"),
            with_parents,
        };
        let hint = "go to the project's folder, or have one written there: `sparkpack init`";
        assert_eq!(
            printed(no_project(false)),
            format!("E010 no sparkpack.toml in /a => {hint}")
        );
        assert_eq!(
            printed(no_project(true)),
            format!("E010 no sparkpack.toml in /a or its parents => {hint}")
        );
    }

    #[test]
    fn what_an_option_forbids_is_told_with_the_way_around_it() {
        assert_eq!(
            printed(UsageError::NoReason),
            "E037 `--reason` says nothing => say why, as `sparkpack why` will print it: `--reason \"CVE-2026-1234\"`"
        );
        assert_eq!(
            printed(UsageError::Offline(OnlineWork::AskRegistry)),
            "E035 asking a registry is needed, and `--offline` forbids it => run it once without `--offline`"
        );
        let uncommitted = |inputs: Vec<String>, converted: &[&str], compared| {
            printed(UsageError::Uncommitted {
                inputs,
                converted: names(converted),
                compared,
            })
        };
        assert_eq!(
            uncommitted(names(&["a.py (changed)"]), &[], Compared::Index),
            "E098 an input is not as git's index has it, so that no commit stands for the tags | a.py (changed) => \
             `git add` them, or leave them out by `.dockerignore` or `exclude`; what every checkout makes is allowed by \
             `untracked` in sparkpack.toml; with `--no-strict` they count"
        );
        let inputs = (0..22).map(|number| number.to_string()).collect();
        let text = uncommitted(inputs, &[], Compared::Commit);
        assert!(text.starts_with("E098 22 inputs are not"), "{text}");
        assert!(text.contains(" | 19 | … and 2 more => "), "{text}");
        assert!(
            text.ends_with("; `--no-strict` pushes them all the same"),
            "{text}"
        );
        let text = uncommitted(names(&["a.py (line ends)"]), &["a.py"], Compared::Commit);
        let (way, other) = (
            "to have a file as a new checkout has it: `rm a.py",
            "commit them",
        );
        assert!(text.contains(&format!(" => {way}")), "{text}");
        let inputs = names(&["a.py (line ends)", "b.py (changed)"]);
        let text = uncommitted(inputs, &["a.py"], Compared::Commit);
        assert!(text.contains(way) && text.contains(other), "{text}");
    }

    #[test]
    fn a_git_that_does_not_answer_has_its_own_hint() {
        assert_eq!(
            printed(UsageError::NotStrict(NoGit::NotInstalled)),
            "E097 `--strict` refuses inputs that no commit has, but git is not installed => install git"
        );
        assert_eq!(
            printed(UsageError::NoExecutableBits(NoGit::NotInstalled)),
            "E097 `core.fileMode` is off, so executable bits come from git's index, but git is not installed => install git"
        );
    }

    #[test]
    fn what_cannot_be_compared_is_told_with_another_way_to_name_it() {
        let not_a_reference = |by| UsageError::NotAReference {
            error: "http://a/b".parse::<Reference>().unwrap_err(),
            by,
        };
        let text = "E080 `http://a/b` is not an image reference: leave out `http://`";
        assert_eq!(
            printed(not_a_reference(Comparing::Why)),
            format!("{text} => write HOST[:PORT]/PATH:TAG")
        );
        assert_eq!(
            printed(not_a_reference(Comparing::Diff)),
            format!("{text} => {}", Comparing::Diff.hint())
        );
        assert_eq!(
            printed(UsageError::NotATag("a:b".to_owned())),
            "E080 `a:b` is not a tag => for a whole reference there is `--against-image REFERENCE`"
        );
        let (registry, image) = ("main".to_owned(), "job".to_owned());
        assert_eq!(
            printed(UsageError::NotNamed { registry, image }),
            "E067 no manifest of the registry `main` names an image `job` that was built, or one that stands on it => \
             say what to compare with: `sparkpack why job --against TAG`, or `--against-image REFERENCE`"
        );
        let (variable, images) = ("A_B_IMAGE".to_owned(), ["a-b", "a.b"].map(str::to_owned));
        assert_eq!(
            printed(UsageError::SameVariable { variable, images }),
            "E079 `a-b` and `a.b` would both be the variable `A_B_IMAGE` => \
             print one of them: `sparkpack tags --format env a.b`, or rename an image"
        );
    }

    #[test]
    fn why_a_record_is_not_known_makes_its_text() {
        let said = "not here | nor there";
        for (lack, text) in [
            (RecordLack::Nowhere, "E081 `x` is not known anywhere"),
            (
                RecordLack::NoRecord,
                "E082 what `x` was made of is not known",
            ),
            (
                RecordLack::NotAsked,
                "E081 what `x` was made of cannot be found out",
            ),
        ] {
            assert_eq!(
                printed(unknown_record(lack, Comparing::Why)),
                format!("{text} | {said} => {}", Comparing::Why.hint())
            );
        }
        let refused = RegistryError::Denied {
            action: "look up x".to_owned(),
            registry: "registry.example".to_owned(),
            because: Cause("no".to_owned()),
        };
        let hint = refused.hint();
        let error = unknown_record(RecordLack::Refused(Box::new(refused)), Comparing::Diff);
        assert_eq!(error.code(), Code::E402);
        assert_eq!(Some(error.hint()), hint);
        assert_eq!(
            error.to_string(),
            "what `x` was made of cannot be found out\nnot here\nnor there"
        );
    }
}
