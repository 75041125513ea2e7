//! A plan as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Planner, words};
use crate::{
    code::Code,
    commands::plan::Known,
    error::Error,
    image::{Digest, Platform},
    operations::resolution::{self, Prepared},
    plan::{
        PlatformStage, Stage,
        decision::{Decision, PlatformDecisions, Reason},
    },
    project::left_out::Folder,
};

/// The version of the document.
const VERSION: u32 = 2;

#[derive(Serialize)]
struct PlanDocument<'a> {
    version: u32,
    project: &'a str,
    registry: &'a str,
    daemon: Asked,
    images: Vec<PlannedImage<'a>>,
    manifests: Vec<ManifestChange<'a>>,
    git: Asked,
    /// Null if git could not be asked.
    untracked: Option<&'a [String]>,
    warnings: Vec<Warning>,
}

/// Whether the daemon or git could be asked; if not, the reason.
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
    /// What a build would do: `reuse`, `build`, `rebuild` (on another parent), `undecided` or `unknown`; null if a
    /// build does not need the image.
    decision: Option<&'static str>,
    reasons: Vec<String>,
    /// Only for an image with several platforms: what a build would do for each that it would look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_platform: Option<Vec<PlannedPlatform>>,
    /// Only where `BuildKit`s build: the address of the one that builds the image, by platform.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    builders: BTreeMap<String, &'a str>,
    /// Null if the registry was not asked, or a push does not need the image.
    push: Option<Push<'a>>,
    reproducible: bool,
    /// The first instruction that may use the network.
    network: Option<Network>,
    /// Packages whose wheels are built from their sources, and kept nowhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    built_from_source: Vec<&'a str>,
    parents: Vec<&'a str>,
    platforms: Vec<String>,
    /// Packages of other versions than the images below have: `six 1.17.0 (ds has 1.16.0)`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    replaced: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<Vec<LeftOut<'a>>>,
}

/// What a build or a push would do for one platform.
#[derive(Serialize)]
struct PlannedPlatform {
    platform: String,
    decision: &'static str,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct Network {
    file: String,
    line: usize,
    built_in: bool,
}

/// What a push would do.
#[derive(Serialize)]
struct Push<'a> {
    /// `adopt`, `push`, `build`, `rebuild` (on the registry's parent), `undecided`, `unknown` or `conflict`.
    decision: &'static str,
    reasons: Vec<String>,
    /// Only for an image with several platforms: the same for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_platform: Option<Vec<PlannedPlatform>>,
    /// The digest that the registry has under the tag.
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
    code: Code,
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
        project: &planner.run.session.project.name,
        registry: known.registry,
        daemon: asked(known.preview.daemon.as_ref().map(ToString::to_string)),
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
    let stages = planner.run.prepared.plan.parents_first();
    let images = stages.filter(|stage| known.has(&stage.name)).map(|stage| {
        let name = &stage.name;
        let reference = stage.reference(planner.run.registry);
        let build = known.preview.build.get(name);
        let network = stage.inputs.recipe.network();
        let network = network.map(|network| Network {
            file: network.file,
            line: network.line,
            built_in: network.is_built_in,
        });
        let built_from_source = words::built_wheels(stage);
        PlannedImage {
            name,
            reference: reference.to_string(),
            repository: reference.repository.to_string(),
            tag: reference.tag.as_deref(),
            fingerprint: &stage.fingerprint,
            decision: build.map(|build| decision_name(build.whole())),
            reasons: build
                .map_or_else(Vec::new, |build| words::reasons(build, words::reason))
                .into_iter()
                .chain(words::daemon_notes(known, stage))
                .collect(),
            by_platform: build.and_then(|build| {
                by_platform(stage, build, |platform, decision| {
                    let note = words::daemon_note(known, stage, platform);
                    words::reason(decision).into_iter().chain(note).collect()
                })
            }),
            builders: words::builders_of(known, stage)
                .into_iter()
                .map(|(platform, address)| (platform.to_string(), address))
                .collect(),
            push: known.push(name).map(|push| Push {
                decision: decision_name(push.decision()),
                reasons: words::reasons(&push.decisions, words::push_reason),
                by_platform: by_platform(stage, &push.decisions, |_, decision| {
                    words::push_reason(decision).into_iter().collect()
                }),
                digest: push.digest.as_ref(),
            }),
            reproducible: network.is_none() && built_from_source.is_empty(),
            network,
            built_from_source,
            parents: stage.parents.iter().map(String::as_str).collect(),
            platforms: resolution::platforms(stage),
            replaced: replaced(planner.run.prepared, stage),
            left_out: known.left_out.get(name).map(|folders| left_out(folders)),
        }
    });
    images.collect()
}

/// What an image replaces on any of its platforms.
fn replaced<'a>(prepared: &'a Prepared, stage: &Stage) -> BTreeSet<&'a str> {
    let of_platform = |on: &PlatformStage| {
        let key = (stage.name.clone(), on.platform.clone());
        prepared.replaced.get(&key)
    };
    let all = stage.platforms.iter().filter_map(of_platform);
    all.flatten().map(String::as_str).collect()
}

fn by_platform(
    stage: &Stage,
    decisions: &PlatformDecisions,
    reasons: impl Fn(&Platform, &Decision) -> Vec<String>,
) -> Option<Vec<PlannedPlatform>> {
    let each = decisions
        .each()
        .map(|(platform, decision)| PlannedPlatform {
            platform: platform.to_string(),
            decision: decision_name(decision),
            reasons: reasons(platform, decision),
        });
    stage.has_several_platforms().then(|| each.collect())
}

fn decision_name(decision: &Decision) -> &'static str {
    match decision {
        Decision::Reuse => "reuse",
        Decision::Build(Reason::OtherParent(_)) => "rebuild",
        Decision::Build(_) => "build",
        Decision::Undecided(_) => "undecided",
        Decision::Unknown => "unknown",
        Decision::Adopt => "adopt",
        Decision::Push => "push",
        Decision::Conflict(_) => "conflict",
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
