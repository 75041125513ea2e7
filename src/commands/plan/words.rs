//! Why a plan is as it is, in words.

use super::Known;
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    image::Platform,
    operations::{publish::DaemonNeed, resolution::Prepared},
    plan::{
        PlatformStage, Stage,
        decision::{Decision, PlatformDecisions, Reason},
    },
    project::requirements::LockedWheel,
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

/// The reasons for decisions. If platforms differ, each is named.
pub(super) fn reasons(
    decisions: &PlatformDecisions,
    reason: impl Fn(&Decision) -> Option<String>,
) -> Vec<String> {
    let current = |decision: &Decision| {
        let text = match decision {
            Decision::Reuse => "it is current",
            Decision::Adopt => "the registry has it",
            Decision::Push => "what is there is pushed",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let each = decisions.each();
    told_of(each.map(|(platform, decision)| (platform, reason(decision), current(decision))))
}

/// What is told of platforms: once if it is the same for all, else of each by its name. Where there is nothing to tell of
/// one, what comes last is told of it.
fn told_of<'p>(
    platforms: impl IntoIterator<Item = (&'p Platform, Option<String>, Option<String>)>,
) -> Vec<String> {
    let platforms: Vec<_> = platforms.into_iter().collect();
    let told: BTreeSet<&Option<String>> = platforms.iter().map(|(_, told, _)| told).collect();
    if told.len() == 1 {
        return told.into_iter().flatten().cloned().collect();
    }
    let each = platforms.into_iter();
    each.filter_map(|(platform, told, or_else)| Some(format!("{platform}: {}", told.or(or_else)?)))
        .collect()
}

/// Which other packages the lock has for the other platforms of an image than for its first.
fn other_packages(stage: &Stage) -> Vec<String> {
    let versions = |on: &PlatformStage| -> BTreeMap<String, String> {
        let pins = on.wheels.iter().map(LockedWheel::pin);
        pins.map(|pin| (pin.name, pin.version)).collect()
    };
    let first = stage.first();
    let of_first = versions(first);
    let others = stage.platforms.iter().skip(1);
    let others = others.filter_map(|on| {
        let of_other = versions(on);
        let mut told = Vec::new();
        for (name, version) in &of_other {
            match of_first.get(name) {
                Some(same) if same == version => {}
                Some(other) => told.push(format!("{name} {version} in place of {other}")),
                None => told.push(format!("{name} {version} as well")),
            }
        }
        let missing = of_first.keys().filter(|name| !of_other.contains_key(*name));
        told.extend(missing.map(|name| format!("no {name}")));
        (!told.is_empty()).then(|| {
            let (other, first) = (&on.platform, &first.platform);
            format!(
                "the lock for {other} differs from that for {first}: {}",
                told.join(", ")
            )
        })
    });
    others.collect()
}

/// Which of the packages below it an image replaces by other versions in its own folder.
pub(super) fn replaced(prepared: &Prepared, stage: &Stage) -> Vec<String> {
    let platforms = stage.platforms.iter().map(|on| &on.platform);
    told_of(platforms.map(|platform| {
        let replaced = prepared
            .replaced
            .get(&(stage.name.clone(), platform.clone()));
        let told =
            replaced.map(|all| format!("replaces what came along below it: {}", all.join(", ")));
        let nothing = "replaces nothing of what came along below it".to_owned();
        (platform, told, Some(nothing))
    }))
}

/// That an image needs a daemon, and none is there. If platforms differ, each that needs it is named.
pub(super) fn daemon_notes(known: &Known<'_>, stage: &Stage) -> Vec<String> {
    let platforms = stage.platforms.iter().map(|on| &on.platform);
    told_of(platforms.map(|platform| (platform, daemon_note(known, stage, platform), None)))
}

/// That an image needs a daemon on a platform, and none is there.
pub(super) fn daemon_note(known: &Known<'_>, stage: &Stage, platform: &Platform) -> Option<String> {
    let needs = known.preview.without_daemon.get(&stage.name)?;
    let needs = match needs.get(platform)? {
        DaemonNeed::Builder => "its Dockerfile needs a Docker daemon, and none answers",
        DaemonNeed::Parent => "what it stands on is in a Docker daemon alone, and none answers",
    };
    let unless = match known.preview.push {
        Some(_) => "",
        None => ", unless the registry has the image",
    };
    Some(format!("{needs}{unless}"))
}

/// The `BuildKit`s that build an image, if they do and it has to be built: their addresses by platform.
pub(super) fn builders_of<'k>(
    known: &'k Known<'_>,
    stage: &'k Stage,
) -> BTreeMap<&'k Platform, &'k str> {
    let builders = known.preview.builders.as_ref();
    let builders = builders.filter(|_| stage.inputs.recipe.needs_builder());
    let to_build = known.preview.build.get(&stage.name).into_iter();
    let to_build = to_build.flat_map(PlatformDecisions::each);
    let to_build = to_build.filter(|(_, decision)| matches!(decision, Decision::Build(_)));
    to_build
        .filter_map(|(platform, _)| Some((platform, &*builders?.of(platform)?.text)))
        .collect()
}

/// What stands below an image's row.
pub(super) fn notes_of(known: &Known<'_>, prepared: &Prepared, stage: &Stage) -> Vec<String> {
    let name = &stage.name;
    let build = known.preview.build.get(name);
    let mut notes = build.map_or_else(Vec::new, |build| reasons(build, reason));
    if let Some(push) = known.push(name) {
        // A push's decision is listed only if it differs from that of a build, and says more than the row.
        let said = |decision: &Decision| match decision {
            Decision::Unknown | Decision::Build(Reason::NotInRegistry) => None,
            other => reason(other),
        };
        let reasons = reasons(&push.decisions, said).into_iter();
        let reasons: Vec<String> = reasons.filter(|reason| !notes.contains(reason)).collect();
        notes.extend(reasons.into_iter().map(|reason| match push.decision() {
            Decision::Conflict(_) => reason,
            _ => format!("for a push: {reason}"),
        }));
    }
    let builders = builders_of(known, stage);
    let builders = builders.iter().map(|(platform, address)| {
        let told = format!("a Dockerfile: built by the BuildKit at {address}");
        (*platform, Some(told), None)
    });
    notes.extend(told_of(builders));
    notes.extend(replaced(prepared, stage));
    notes.extend(other_packages(stage));
    notes.extend(daemon_notes(known, stage));
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
    let built = built_wheels(stage);
    if !built.is_empty() {
        notes.push(format!(
            "not reproducible: built from source, whose builds may give other bytes each time: {}",
            built.join(", ")
        ));
    }
    notes
}

/// The packages of an image whose wheels are built from their sources and kept nowhere.
pub(super) fn built_wheels(stage: &Stage) -> Vec<&str> {
    let wheels = stage.platforms.iter().flat_map(|on| &on.wheels);
    let built = wheels.filter(|wheel| wheel.built_anew().is_some());
    let names: std::collections::BTreeSet<&str> =
        built.map(|wheel| wheel.wheel.name.as_str()).collect();
    names.into_iter().collect()
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
