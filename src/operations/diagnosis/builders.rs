//! The `BuildKit`s that build in the place of the daemon.

use super::{daemon::DaemonAnswer, finding::Finding, project::ProjectNeeds};
use crate::{
    adapters::buildkit::BuildKitError,
    code::Code,
    error::Error,
    image::Platform,
    project::{BuilderAddress, Builders},
};

/// Why a `BuildKit` on another machine is not asked.
const OFFLINE: &str = "--offline asks nobody";

/// A `BuildKit`, and what it answered; `None` where it took too long.
pub(super) struct AskedBuilder {
    pub(super) at: BuilderAddress,
    /// The platforms of its workers.
    pub(super) answer: Option<Result<Vec<Platform>, Error>>,
}

/// The daemon, which builds nothing here.
pub(super) fn of_daemon(answer: &DaemonAnswer) -> Option<Finding> {
    let Some(Err(error)) = answer else {
        return None;
    };
    let text = format!(
        "{error}; `[builder]` builds Dockerfiles: only `run` and `build --test-imports` need a daemon"
    );
    Some(Finding::note("daemon", text))
}

/// The builders: all of them answer, or what keeps the first.
pub(super) fn of_builders(builders: &Builders, asked: &[AskedBuilder]) -> Finding {
    const CHECK: &str = "builder";
    for AskedBuilder { at, answer } in asked {
        match answer {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Finding::of_error(CHECK, error),
            None => {
                let text = format!(
                    "the BuildKit at `{}` takes the connection, and does not answer",
                    at.text
                );
                return Finding::bad(CHECK, Code::E508, text).hint(Code::E508.cure());
            }
        }
    }
    if let Some(at) = builders.all().find(|at| is_not_asked(at, asked)) {
        return Finding::not_asked(CHECK, format!("{}: {OFFLINE}", at.text));
    }
    let all: Vec<String> = asked.iter().map(|asked| asked.at.text.clone()).collect();
    Finding::good(CHECK, format!("BuildKit at {}", all.join(" and ")))
}

fn is_not_asked(at: &BuilderAddress, asked: &[AskedBuilder]) -> bool {
    asked.iter().all(|asked| asked.at != *at)
}

/// The platforms of the images that have a Dockerfile.
pub(super) fn of_platforms(
    builders: &Builders,
    asked: &[AskedBuilder],
    needs: &ProjectNeeds,
) -> Finding {
    const CHECK: &str = "platforms";
    for platform in &needs.platforms {
        let Some(at) = builders.of(platform) else {
            let error = BuildKitError::NoAddress(platform.clone());
            return Finding::of_error(CHECK, &error.into());
        };
        if is_not_asked(at, asked) {
            return Finding::not_asked(CHECK, OFFLINE);
        }
        let workers = asked.iter().find(|asked| asked.at == *at);
        let Some(Some(Ok(workers))) = workers.map(|asked| &asked.answer) else {
            return Finding::not_asked(CHECK, "a BuildKit does not answer");
        };
        if !workers.contains(platform) {
            let text = format!(
                "the BuildKit at {} runs no programs for {platform}: Dockerfiles with `RUN` cannot be built there",
                at.text
            );
            return Finding::note(CHECK, text);
        }
    }
    let all: Vec<String> = needs.platforms.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        return Finding::good(CHECK, "nothing is run for another machine");
    }
    Finding::good(CHECK, all.join(", "))
}
