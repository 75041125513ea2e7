//! A plan for programs.

use serde::Serialize;

use super::Planner;
use crate::{
    adapters::registry::Presence, commands::plan::Known, error::Error, image::Digest,
    operations::resolution, plan::reasons::State, project::left_out::Folder,
};

/// The version of the document.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct PlanDocument<'a> {
    version: u32,
    project: &'a str,
    registry: &'a str,
    daemon: Asked,
    images: Vec<PlannedImage<'a>>,
    manifests: Vec<ManifestChange<'a>>,
    git: Asked,
    /// Null where git could not be asked.
    untracked: Option<&'a [String]>,
    warnings: Vec<Warning>,
}

/// Whether something outside could be asked, and if not, why.
#[derive(Serialize)]
struct Asked {
    asked: bool,
    reason: Option<String>,
}

#[derive(Serialize)]
struct PlannedImage<'a> {
    name: &'a str,
    reference: String,
    repository: String,
    tag: Option<&'a str>,
    fingerprint: &'a Digest,
    /// `current`, `to-build`, `undecided` or `unknown`.
    state: &'static str,
    reasons: Vec<String>,
    reproducible: bool,
    /// The first instruction that may use the network.
    network: Option<Network>,
    parents: Vec<&'a str>,
    platforms: Vec<String>,
    /// Null where the registry was not asked.
    remote: Option<Remote<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<Vec<LeftOut<'a>>>,
}

#[derive(Serialize)]
struct Network {
    file: String,
    line: usize,
    built_in: bool,
}

#[derive(Serialize)]
struct Remote<'a> {
    present: bool,
    digest: Option<&'a Digest>,
}

#[derive(Serialize)]
struct LeftOut<'a> {
    role: &'static str,
    folder: &'a str,
    path: &'a str,
    rule: String,
}

#[derive(Serialize)]
struct ManifestChange<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    path: &'a str,
    old: &'a str,
    new: &'a str,
}

#[derive(Serialize)]
struct Warning {
    code: &'static str,
    place: String,
    message: String,
    hint: Option<String>,
}

pub(super) fn print(planner: &Planner<'_>, known: &Known<'_>) -> Result<(), Error> {
    let asked = |reason: Option<String>| Asked {
        asked: reason.is_none(),
        reason,
    };
    let changes = known.examined.iter().flat_map(|examined| {
        examined
            .rewritten
            .changes
            .iter()
            .map(|change| ManifestChange {
                file: &examined.file,
                line: change.place.line,
                column: change.place.column,
                path: &change.path,
                old: &change.old,
                new: &change.new,
            })
    });
    let warnings = planner.ui.warnings().into_iter();
    let document = PlanDocument {
        version: VERSION,
        project: &planner.session.project.name,
        registry: known.registry,
        daemon: asked(known.daemon.as_ref().map(ToString::to_string)),
        images: images(planner, known),
        manifests: changes.collect(),
        git: asked(known.untracked.as_ref().err().map(ToString::to_string)),
        untracked: known.untracked.as_deref().ok(),
        warnings: warnings
            .map(|defect| Warning {
                code: defect.code,
                place: defect.place.to_string(),
                message: defect.message,
                hint: defect.hint,
            })
            .collect(),
    };
    Ok(planner.ui.document(&document)?)
}

fn images<'a>(planner: &'a Planner<'_>, known: &'a Known<'_>) -> Vec<PlannedImage<'a>> {
    let order = planner.prepared.order.iter();
    let images = order.filter_map(|name| {
        let state = known.states.get(name)?;
        let stage = planner.prepared.plan.stages.get(name)?;
        let reference = planner.references.get(name)?;
        let network = planner.network(name).map(|network| Network {
            file: network.file,
            line: network.line,
            built_in: network.is_built_in,
        });
        let presence = known.remote.as_ref().and_then(|remote| remote.get(name));
        Some(PlannedImage {
            name,
            reference: reference.to_string(),
            repository: reference.repository.to_string(),
            tag: reference.tag.as_deref(),
            fingerprint: &stage.fingerprint,
            state: state_name(state),
            reasons: super::text::reason(state).into_iter().collect(),
            reproducible: !stage.uses_network,
            network,
            parents: stage.parents.iter().map(String::as_str).collect(),
            platforms: resolution::platforms(stage),
            remote: presence.map(remote),
            left_out: known.left_out.get(name).map(|folders| left_out(folders)),
        })
    });
    images.collect()
}

fn state_name(state: &State) -> &'static str {
    match state {
        State::Current => "current",
        State::ToBuild(_) => "to-build",
        State::Undecided(_) => "undecided",
        State::Unknown => "unknown",
    }
}

fn remote(presence: &Presence) -> Remote<'_> {
    match presence {
        Presence::Absent => Remote {
            present: false,
            digest: None,
        },
        Presence::There(digest) => Remote {
            present: true,
            digest: digest.as_ref(),
        },
    }
}

fn left_out(folders: &[Folder]) -> Vec<LeftOut<'_>> {
    let rows = folders.iter().flat_map(|folder| {
        folder.paths.iter().map(|(path, rule)| LeftOut {
            role: folder.role,
            folder: &folder.folder,
            path,
            rule: rule.to_string(),
        })
    });
    rows.collect()
}
