//! The `BuildKit`s that build in the place of the daemon.

use super::{daemon::DaemonAnswer, finding::Finding, project::ProjectNeeds};
use crate::{
    adapters::buildkit::BuildKitError,
    code::Code,
    image::Platform,
    project::{BuilderAddress, Builders},
};

/// A `BuildKit`, and what it answered; `None` where it took too long.
pub(super) struct AskedBuilder {
    pub(super) at: BuilderAddress,
    /// The platforms of its workers.
    pub(super) answer: Option<Result<Vec<Platform>, BuildKitError>>,
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
pub(super) fn of_builders(asked: &[AskedBuilder]) -> Finding {
    const CHECK: &str = "builder";
    for AskedBuilder { at, answer } in asked {
        let (code, text, hint) = match answer {
            Some(Ok(_)) => continue,
            Some(Err(error)) => (error.code(), error.to_string(), error.hint()),
            None => {
                let text = format!(
                    "the BuildKit at `{}` takes the connection, and does not answer",
                    at.text
                );
                (Code::E508, text, None)
            }
        };
        let finding = Finding::bad(CHECK, code, text);
        return match hint {
            Some(hint) => finding.hint(hint),
            None => finding.hint(code.cure()),
        };
    }
    let all: Vec<String> = asked.iter().map(|asked| asked.at.text.clone()).collect();
    Finding::good(CHECK, format!("BuildKit at {}", all.join(" and ")))
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
            let finding = Finding::bad(CHECK, error.code(), error.to_string());
            return finding.hint(error.hint().unwrap_or_default());
        };
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
