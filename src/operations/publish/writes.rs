//! What a push would write: requests to the registry, and files of the project.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use super::look_up::InRegistry;
use crate::{
    adapters::journal::Replacement,
    image::{LABEL_RECORD_DIGEST, Reference, Repository},
    operations::{build::Run, provenance},
    plan::{PlatformStage, Stage},
    project::{PinMode, pins},
};

/// One request, or one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// Uploads of the blobs that a repository lacks: each begins with this request, and ends with it if the registry has
    /// the blob in another repository.
    Blobs(Repository),
    /// A manifest gets a tag; what is not known before the image is made stands as `IMAGE_ID` and `DIGEST` in it.
    Tag(Reference),
    /// A file of the project, or a layout's.
    File(PathBuf),
}

impl fmt::Display for Write {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path =
            |repository: &Repository| format!("{}/v2/{}", repository.registry, repository.path);
        match self {
            Self::Blobs(repository) => {
                write!(formatter, "POST {}/blobs/uploads/", path(repository))
            }
            Self::Tag(reference) => {
                let tag = reference.tag.as_deref().unwrap_or_default();
                let repository = path(&reference.repository);
                write!(formatter, "PUT {repository}/manifests/{tag}")
            }
            Self::File(file) => write!(formatter, "write {}", file.display()),
        }
    }
}

/// What a push of `names` writes, in its order: parents first, and the files of the project last.
pub(super) fn writes(
    run: &Run<'_>,
    names: &BTreeSet<String>,
    there: &InRegistry,
    manifests: Vec<Replacement>,
) -> Vec<Write> {
    let mut writes = Vec::new();
    let root = &run.session.project.root;
    let order = run.prepared.plan.parents_first();
    for stage in order.filter(|stage| names.contains(&stage.name)) {
        of_stage(run, stage, there, &mut writes);
    }
    if !writes.is_empty()
        && let Some(layout) = &run.registry.layout
    {
        writes = vec![Write::File(layout.clone())];
    }
    let is_empty = writes.is_empty();
    let mut files: Vec<PathBuf> = manifests.into_iter().map(|file| file.path).collect();
    let has_pins = run.session.project.pin == PinMode::TagAndDigest;
    if has_pins && run.registry.layout.is_none() && !(is_empty && files.is_empty()) {
        files.push(root.join(pins::FILE_NAME));
    }
    if !is_empty {
        files.push(root.join("dist"));
    }
    writes.extend(files.into_iter().map(|file| {
        let within = file.strip_prefix(root);
        Write::File(within.map_or_else(|_| file.clone(), PathBuf::from))
    }));
    writes
}

/// The requests for the images of a stage that the registry lacks.
fn of_stage(run: &Run<'_>, stage: &Stage, there: &InRegistry, writes: &mut Vec<Write>) {
    let there = there.get(&stage.name);
    let is_whole = there.is_some_and(|there| there.digest.is_some());
    for on in &stage.platforms {
        let reference = on.reference(run.registry);
        let there = there.and_then(|there| there.images.get(&on.platform));
        let has_record = if let Some(image) = there {
            let label = image.info.labels.get(LABEL_RECORD_DIGEST);
            label.is_some_and(|label| !label.is_empty())
        } else {
            of_image(on, reference, writes);
            on.record.label().is_none()
        };
        if has_record {
            let beside = provenance::beside(reference, &on.fingerprint);
            writes.push(Write::Tag(beside));
        }
    }
    if stage.platforms.len() > 1 && !is_whole {
        writes.push(Write::Tag(stage.reference(run.registry).clone()));
    }
}

/// The requests for one image.
fn of_image(stage: &PlatformStage, reference: &Reference, writes: &mut Vec<Write>) {
    writes.push(Write::Blobs(reference.repository.clone()));
    if stage.inputs.recipe.needs_builder() {
        // Its own tags, by which pushes of several machines agree on one image.
        writes.push(Write::Tag(reference.with_suffix("IMAGE_ID")));
        writes.push(Write::Tag(reference.with_suffix("DIGEST-r1-alone")));
    }
    writes.push(Write::Tag(reference.clone()));
}
