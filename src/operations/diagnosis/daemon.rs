//! The daemon, its builder, and the platforms that it can build for.

use std::collections::BTreeMap;

use super::{cure, finding::Finding, project::ProjectNeeds};
use crate::{
    adapters::docker::{AboutDaemon, BuilderInUse, DaemonKind, DockerError, Unreachable},
    code::Code,
    image::Platform,
};

/// What is known of the daemon; `None` where it took too long to answer.
pub(super) type DaemonAnswer = Option<Result<AboutDaemon, DockerError>>;

/// The daemon, and what this project can do without one.
pub(super) fn of_daemon(answer: &DaemonAnswer, needs: &ProjectNeeds) -> Finding {
    const CHECK: &str = "daemon";
    match answer {
        Some(Ok(about)) => Finding::good(CHECK, words(about)),
        None => Finding::bad(
            CHECK,
            Code::E601,
            "it takes the connection, and does not answer",
        )
        .run("systemctl restart docker"),
        Some(Err(error)) => {
            let command = cure::start(error);
            if error.is_absence() && is_nobodys_wish(error) {
                let text = format!("{error}; {}", without_daemon(needs));
                return Finding::note(CHECK, text).run_if(command);
            }
            let hint = error.hint();
            let finding = Finding::bad(
                CHECK,
                error.code(),
                format!("{error}; {}", without_daemon(needs)),
            );
            let finding = match hint {
                Some(hint) => finding.hint(hint),
                None => finding,
            };
            finding.run_if(command)
        }
    }
}

/// Whether nothing says that there should be a daemon: no setting names one, and no socket is kept from this user.
fn is_nobodys_wish(error: &DockerError) -> bool {
    match error {
        DockerError::Unreachable {
            named_by, reason, ..
        } => named_by.is_none() && *reason != Unreachable::Denied,
        _ => false,
    }
}

fn words(about: &AboutDaemon) -> String {
    let kind = match about.kind {
        DaemonKind::Docker => "Docker",
        DaemonKind::Podman => "Podman",
    };
    let rootless = if about.is_rootless { ", rootless" } else { "" };
    let named_by = about.named_by.as_ref();
    let named_by = named_by.map_or_else(String::new, |by| format!(", named by {by}"));
    format!(
        "{kind} {}{rootless} at {}{named_by}",
        about.version, about.address
    )
}

fn without_daemon(needs: &ProjectNeeds) -> String {
    match (&needs.built[..], &needs.assembled[..]) {
        ([], []) => "without one, images that only get files can be made".to_owned(),
        ([], _) => "this project needs none".to_owned(),
        (built, []) => format!(
            "only a daemon can make `{}`, which have a Dockerfile",
            built.join("`, `")
        ),
        (built, assembled) => format!(
            "without one, `{}` can be made where the registry has `{}`, which have a Dockerfile",
            assembled.join("`, `"),
            built.join("`, `")
        ),
    }
}

/// The builder.
pub(super) fn of_builder(answer: &DaemonAnswer, needs: &ProjectNeeds) -> Finding {
    const CHECK: &str = "builder";
    let Some(Ok(about)) = answer else {
        return Finding::not_asked(CHECK, "there is no daemon");
    };
    let chosen = match about.builder {
        BuilderInUse::BuildKit => return Finding::good(CHECK, "BuildKit"),
        BuilderInUse::Classic => "",
        BuilderInUse::ClassicByChoice => ", which DOCKER_BUILDKIT=0 asks for",
    };
    let Some(first) = needs.buildkit.first() else {
        let text = format!(
            "the classic builder{chosen}: no secrets, no `RUN --mount`, no heredocs; no Dockerfile here has them"
        );
        return Finding::good(CHECK, text);
    };
    let text = format!("{first} needs BuildKit, and the classic builder is in use{chosen}");
    let finding = Finding::bad(CHECK, Code::E095, text);
    if about.builder == BuilderInUse::ClassicByChoice {
        finding.run("unset DOCKER_BUILDKIT")
    } else {
        finding.hint("use a daemon with BuildKit (Docker 18.09 or newer), or write it the old way")
    }
}

/// The platforms of images that a builder makes. `emulated` says by architecture whether this machine emulates it.
pub(super) fn of_platforms(
    answer: &DaemonAnswer,
    needs: &ProjectNeeds,
    emulated: &BTreeMap<String, Option<bool>>,
) -> Finding {
    const CHECK: &str = "platforms";
    if needs.built.is_empty() {
        return Finding::good(CHECK, "nothing is run for another machine");
    }
    let Some(Ok(about)) = answer else {
        return Finding::not_asked(CHECK, "there is no daemon");
    };
    let Some(own) = &about.platform else {
        return Finding::note(CHECK, "the daemon does not say what it runs on");
    };
    let is_foreign = |wanted: &&Platform| wanted.architecture != own.architecture;
    let foreign: Vec<&Platform> = needs.platforms.iter().filter(is_foreign).collect();
    if foreign.is_empty() {
        return Finding::good(CHECK, format!("{own}, as the images are"));
    }
    let shown: Vec<String> = foreign.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
    let known = |platform: &Platform| emulated.get(&platform.architecture).copied().flatten();
    let lacks = foreign
        .iter()
        .find(|platform| known(platform) == Some(false));
    match lacks {
        _ if !about.is_local => Finding::note(
            CHECK,
            format!(
                "the daemon runs on {own}, and has to emulate {shown}: that cannot be asked here"
            ),
        ),
        Some(lacks) => Finding::bad(
            CHECK,
            Code::E631,
            format!("the daemon runs on {own}, and nothing here runs programs for {lacks}"),
        )
        .run(format!(
            "docker run --privileged --rm tonistiigi/binfmt --install {}",
            lacks.architecture
        )),
        None if foreign.iter().all(|platform| known(platform) == Some(true)) => {
            Finding::good(CHECK, format!("{own}, and {shown} is emulated"))
        }
        None => Finding::note(
            CHECK,
            format!(
                "the daemon runs on {own}, and has to emulate {shown}: that cannot be asked here"
            ),
        ),
    }
}

/// The error that a daemon gave, for checks that build on it.
pub(super) fn about(answer: &DaemonAnswer) -> Option<&AboutDaemon> {
    answer.as_ref()?.as_ref().ok()
}
