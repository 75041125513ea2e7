//! Why a plan is as it is, in words.

use super::Known;
use crate::{
    operations::publish::DaemonNeed,
    plan::{
        Stage,
        decision::{Decision, Reason},
    },
};

/// The reason for a decision, if it needs one.
pub(super) fn reason(decision: &Decision) -> Option<String> {
    match decision {
        Decision::Reuse | Decision::Adopt | Decision::Push => None,
        Decision::Build(reason) => Some(reason.to_string()),
        Decision::Undecided(parent) => Some(format!(
            "it is there, and is built again if `{parent}` comes out with other layers"
        )),
        Decision::Unknown => {
            Some("no manifest names it, and nobody else could be asked".to_owned())
        }
        Decision::Conflict(conflict) => Some(format!("a push stops: the registry has {conflict}")),
    }
}

/// That an image needs a daemon, and none is there.
pub(super) fn daemon_note(known: &Known<'_>, name: &str) -> Option<String> {
    let need = known.preview.without_daemon.get(name)?;
    let needs = match need {
        DaemonNeed::Builder => "its Dockerfile needs a Docker daemon, and none answers",
        DaemonNeed::Parent => "what it stands on is in a Docker daemon alone, and none answers",
    };
    let unless = match known.preview.push {
        Some(_) => "",
        None => ", unless the registry has the image",
    };
    Some(format!("{needs}{unless}"))
}

/// What stands below an image's row.
pub(super) fn notes_of(known: &Known<'_>, stage: &Stage) -> Vec<String> {
    let name = &stage.name;
    let decision = known.preview.build.get(name);
    let mut notes: Vec<String> = decision.and_then(reason).into_iter().collect();
    if let Some(push) = known.push(name) {
        // A push's decision is listed only if it differs from that of a build, and says more than the row.
        let is_said = matches!(
            push.decision,
            Decision::Unknown | Decision::Build(Reason::NotInRegistry)
        );
        let is_other = !is_said && Some(&push.decision) != decision;
        let reason = reason(&push.decision).filter(|reason| is_other && !notes.contains(reason));
        notes.extend(reason.map(|reason| match push.decision {
            Decision::Conflict(_) => reason,
            _ => format!("for a push: {reason}"),
        }));
    }
    notes.extend(daemon_note(known, name));
    if let Some(network) = stage.inputs.recipe.network() {
        let recipe = if network.is_built_in {
            "built-in recipe, "
        } else {
            ""
        };
        notes.push(format!(
            "not reproducible: {recipe}{}:{} may use the network, and what it fetches is no input",
            network.file, network.line
        ));
    }
    notes
}

/// The reason for a push's decision, if it needs one.
pub(super) fn push_reason(decision: &Decision) -> Option<String> {
    match decision {
        Decision::Unknown => Some(
            "the registry does not have it, and what the daemon has could not be asked".to_owned(),
        ),
        other => reason(other),
    }
}
