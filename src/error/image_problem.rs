//! Images that are not what they should be, and images that cannot be built yet: messages and hints.

use crate::image::{Digest, Platform, Program, ReferenceError};

/// Why an image is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageProblem {
    /// The registry reported success for the image, but does not have it.
    #[error("the registry took it and does not have it")]
    NotKept,
    /// The registry has another image than the one that was sent.
    #[error("the registry has another image there than the one that was sent: {0}")]
    NotWhatWasSent(&'static str),
    /// Somebody set the tag to another image while the others of the set were pushed.
    #[error("the tag was set to {there} by somebody else after {pushed} was pushed")]
    TagMoved {
        /// The digest that was read back.
        pushed: Digest,
        /// The digest that the tag has now.
        there: Digest,
    },
    /// The registry that an image is to be copied from does not have it.
    #[error("the registry `{0}` does not have it, so that it cannot be copied from there")]
    NotInRegistry(String),
    /// It is to be copied into a registry that has another image of its parent.
    #[error(
        "it stands on another image of `{parent}` than the one that the registry `{registry}` has"
    )]
    OtherParent {
        /// The name of the parent.
        parent: String,
        /// The name of the registry.
        registry: String,
    },
    /// What has the tag of an image is for other platforms than the image.
    #[error("the registry has an {} for {there} under this tag, and the image is for {wanted}", if *is_index { "index" } else { "image" })]
    OtherPlatforms {
        /// Whether it is an index.
        is_index: bool,
        /// The platforms of the image.
        wanted: String,
        /// The platforms that the registry has.
        there: String,
    },
    /// The lock has its image ID, and the daemon has another image of that name, or none.
    #[error("the lock wants the image ID {}, but {}", locked.short(12), in_daemon(there.as_ref()))]
    OtherInDaemon {
        /// The ID in the lock.
        locked: Digest,
        /// The ID of the daemon's image with that name.
        there: Option<Digest>,
    },
    /// The lock does not have it.
    #[error("the lock does not have it")]
    NotLocked,
    /// The checksum of a source is neither locked nor configured.
    #[error("its checksum is not known")]
    NoChecksum,
    /// Its name is not a reference, so it cannot be pulled.
    #[error("{0}")]
    CannotBePulled(ReferenceError),
    /// Its name is not a reference, so it cannot be looked up.
    #[error("{0}")]
    CannotBeLookedUp(ReferenceError),
    /// The registry no longer has it.
    #[error("its registry has it no longer")]
    Gone,
    /// Its config names another platform than that of the images that are to stand on it.
    #[error("it is for {there}, and an image for {wanted} is to stand on it")]
    OtherPlatform {
        /// The platform of the image that is built.
        wanted: Platform,
        /// Its own platform.
        there: Platform,
    },
    /// Its config names a platform on which its programs do not run.
    #[error("it says that it is for {wanted}, but its `{}` is a program for {}", program.path, program.architecture())]
    OtherPrograms {
        /// The platform that it names.
        wanted: Platform,
        /// One of its programs.
        program: Program,
    },
    /// Its documents cannot be those of a parent, or what stands on it could not be put together.
    #[error("no image can be put on it: {0}")]
    NoParent(String),
    /// An OCI layout cannot hold it.
    #[error("it cannot be copied into an OCI layout: {0}")]
    NoLayout(String),
    /// The lock has its image ID, and no daemon answers.
    #[error(
        "the lock wants the image ID {}, which is expected in the daemon of this machine, and none answers\n{why}",
        locked.short(12)
    )]
    OnlyInDaemon {
        /// The ID in the lock.
        locked: Digest,
        /// Why there is no daemon.
        why: String,
    },
    /// A `BuildKit` at an address is to build on an image that only a daemon has.
    #[error(
        "the lock wants the image ID {}, which only a Docker daemon can have, and a BuildKit is to build on it",
        .0.short(12)
    )]
    NotForBuildKit(Digest),
    /// The daemon lacks a layer of it.
    #[error("the daemon does not have all of its layers, and so it cannot be taken out of it")]
    NotWhole,
    /// What the daemon has is no image that another place can hold.
    #[error("it cannot be taken out of the daemon: {0}")]
    NotExported(String),
    /// Neither the registry nor the daemon has it.
    #[error("neither its registry nor the local daemon has this image")]
    Nowhere,
}

fn in_daemon(there: Option<&Digest>) -> String {
    there.map_or_else(
        || "it is not in the local daemon".to_owned(),
        |id| format!("the local daemon has {} under that name", id.short(12)),
    )
}

impl ImageProblem {
    /// What to do about it, for the image `reference`.
    #[must_use]
    pub fn hint(&self, reference: &str) -> String {
        let hint = match self {
            Self::NotKept | Self::NotWhatWasSent(_) => {
                "run it again; if it stays so, the registry, or a proxy before it, is at fault"
            }
            Self::TagMoved { .. } => "run it again: it takes the image that has the tag",
            Self::OtherPlatforms { .. } => {
                "somebody else has set it: delete the tag in the registry, and run it again"
            }
            Self::OtherParent { registry, .. } => {
                return format!(
                    "run `sparkpack push --registry {registry}`, which makes it on the one that is there"
                );
            }
            Self::NotInRegistry(registry) => {
                return format!("run `sparkpack push --registry {registry}` first");
            }
            Self::OtherInDaemon { .. } => {
                return format!(
                    "bring that image back, or run `sparkpack lock --upgrade {reference}` to lock the one that is there; {ON_OTHER_MACHINES}"
                );
            }
            Self::OtherPlatform { wanted, there } => {
                return format!(
                    "{}, or set `platforms = [\"{there}\"]`",
                    other_image(reference, wanted)
                );
            }
            Self::OtherPrograms { wanted, program } => {
                let there = program.architecture();
                return format!(
                    "{}, or give it its true label and set `platforms = [\"linux/{there}\"]`",
                    other_image(reference, wanted)
                );
            }
            Self::NotLocked | Self::NoChecksum => "run `sparkpack lock`",
            Self::NoParent(_) | Self::NoLayout(_) => {
                "build or pull the parent anew; `docker inspect` and `skopeo inspect` show it"
            }
            Self::OnlyInDaemon { .. } => {
                return format!("run this on the machine that has it; {ON_OTHER_MACHINES}");
            }
            Self::NotForBuildKit(_) => {
                return format!("build it by the daemon, `--output daemon`; {ON_OTHER_MACHINES}");
            }
            Self::NotWhole | Self::NotExported(_) => {
                "build or pull it anew; `docker inspect` shows it"
            }
            Self::CannotBePulled(_) => "mend its name",
            Self::CannotBeLookedUp(_) => "name the image as `docker pull` would",
            Self::Gone | Self::Nowhere => {
                "look for a typing error; `docker pull` shows what the registry says"
            }
        };
        hint.to_owned()
    }
}

/// How to make other machines do without the daemon that has an image.
const ON_OTHER_MACHINES: &str = "for other machines, push it to a registry and write its reference there in the place of its name in sparkpack.toml";

/// How to have the image of another platform under the same name.
fn other_image(reference: &str, platform: &Platform) -> String {
    format!(
        "type `docker pull --platform {platform} {reference}`, or build it for that platform, then `sparkpack lock --upgrade {reference}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        code::Code,
        error::Error,
        image::{Digest, Reference},
    };

    /// Checks the text and the hint of a problem with the image `x:1`.
    fn check(problem: ImageProblem, text: &str, hint: &str) {
        let error = Error::UnexpectedImage {
            reference: "x:1".to_owned(),
            problem,
        };
        assert_eq!(error.to_string(), format!("`x:1`: {text}"));
        assert_eq!(error.hint().as_deref(), Some(hint));
        assert_eq!((error.code(), error.exit_code()), (Code::E606, 6));
    }

    #[test]
    fn what_is_wrong_with_an_image_makes_its_text_and_its_hint() {
        let lock = "run `sparkpack lock`";
        let docker_pull = "look for a typing error; `docker pull` shows what the registry says";
        let wrong = || "a b".parse::<Reference>().unwrap_err();
        check(
            ImageProblem::NotKept,
            "the registry took it and does not have it",
            "run it again; if it stays so, the registry, or a proxy before it, is at fault",
        );
        check(
            ImageProblem::NotWhatWasSent("it has other layers"),
            "the registry has another image there than the one that was sent: it has other layers",
            "run it again; if it stays so, the registry, or a proxy before it, is at fault",
        );
        let (pushed, there) = (Digest::of(b"1"), Digest::of(b"2"));
        check(
            ImageProblem::TagMoved {
                pushed: pushed.clone(),
                there: there.clone(),
            },
            &format!("the tag was set to {there} by somebody else after {pushed} was pushed"),
            "run it again: it takes the image that has the tag",
        );
        check(
            ImageProblem::OtherParent {
                parent: "py".to_owned(),
                registry: "prod".to_owned(),
            },
            "it stands on another image of `py` than the one that the registry `prod` has",
            "run `sparkpack push --registry prod`, which makes it on the one that is there",
        );
        check(
            ImageProblem::NotInRegistry("dev".to_owned()),
            "the registry `dev` does not have it, so that it cannot be copied from there",
            "run `sparkpack push --registry dev` first",
        );
        check(ImageProblem::NotLocked, "the lock does not have it", lock);
        check(ImageProblem::NoChecksum, "its checksum is not known", lock);
        let text = wrong().to_string();
        let pulled = ImageProblem::CannotBePulled(wrong());
        check(pulled, &text, "mend its name");
        let looked_up = ImageProblem::CannotBeLookedUp(wrong());
        check(looked_up, &text, "name the image as `docker pull` would");
        check(
            ImageProblem::Gone,
            "its registry has it no longer",
            docker_pull,
        );
        check(
            ImageProblem::Nowhere,
            "neither its registry nor the local daemon has this image",
            docker_pull,
        );
    }

    #[test]
    fn an_index_for_other_platforms_is_told_with_both() {
        check(
            ImageProblem::OtherPlatforms {
                is_index: true,
                wanted: "linux/amd64, linux/arm64".to_owned(),
                there: "linux/amd64".to_owned(),
            },
            "the registry has an index for linux/amd64 under this tag, and the image is for linux/amd64, linux/arm64",
            "somebody else has set it: delete the tag in the registry, and run it again",
        );
    }

    #[test]
    fn an_image_of_another_platform_is_told_with_how_to_have_the_right_one() {
        let wanted: Platform = "linux/arm64".parse().unwrap();
        let program = Program {
            path: "/bin/sh".to_owned(),
            machine: 62,
        };
        let pull = "type `docker pull --platform linux/arm64 x:1`, or build it for that platform, then `sparkpack lock --upgrade x:1`";
        check(
            ImageProblem::OtherPlatform {
                wanted: wanted.clone(),
                there: Platform::default(),
            },
            "it is for linux/amd64, and an image for linux/arm64 is to stand on it",
            &format!("{pull}, or set `platforms = [\"linux/amd64\"]`"),
        );
        check(
            ImageProblem::OtherPrograms { wanted, program },
            "it says that it is for linux/arm64, but its `/bin/sh` is a program for amd64",
            &format!("{pull}, or give it its true label and set `platforms = [\"linux/amd64\"]`"),
        );
    }

    #[test]
    fn an_image_that_only_the_daemon_can_have_is_told_with_what_the_daemon_has() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let elsewhere = "for other machines, push it to a registry and write its reference there in the place of its name in sparkpack.toml";
        let hint = format!(
            "bring that image back, or run `sparkpack lock --upgrade x:1` to lock the one that is there; {elsewhere}"
        );
        let wants = format!("the lock wants the image ID {}, but", one.short(12));
        for (there, what) in [
            (None, "it is not in the local daemon".to_owned()),
            (
                Some(two.clone()),
                format!("the local daemon has {} under that name", two.short(12)),
            ),
        ] {
            let locked = one.clone();
            let problem = ImageProblem::OtherInDaemon { locked, there };
            check(problem, &format!("{wants} {what}"), &hint);
        }
        let why = "no Docker daemon answers".to_owned();
        let locked = one.clone();
        check(
            ImageProblem::OnlyInDaemon { locked, why },
            &format!(
                "the lock wants the image ID {}, which is expected in the daemon of this machine, and none answers\nno Docker daemon answers",
                one.short(12)
            ),
            &format!("run this on the machine that has it; {elsewhere}"),
        );
    }
}
