//! `sparkpack tags`: prints the reference of every image of this checkout, offline.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    cli::{TagsArguments, TagsFormat},
    error::{Error, UsageError},
    image::{Digest, Reference},
    operations::{
        resolution::{self, Prepared},
        workspace::{LockPolicy, Services, Session},
    },
    plan::Stage,
    project::Registry,
    ui::Ui,
};

/// The version of the document.
const VERSION: u32 = 1;

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &TagsArguments) -> Result<(), Error> {
    let registry = session.registry(arguments.images.registry.registry.as_deref())?;
    let targets = session.targets(&arguments.images.images)?;
    let services = Services::new(session, LockPolicy::ReadOnly);
    let prepared = resolution::prepare_for(session, &services, &targets)?;
    let mut references = Vec::new();
    let targets: BTreeSet<&String> = targets.iter().collect();
    let stages = prepared.plan.parents_first();
    for stage in stages.filter(|stage| targets.contains(&stage.name)) {
        references.push((stage.name.as_str(), stage.reference(registry).clone()));
    }
    match arguments.format {
        TagsFormat::Lines => {
            for (_, reference) in &references {
                ui.data(reference)?;
            }
        }
        TagsFormat::Env => {
            for line in variables(&references)? {
                ui.data(line)?;
            }
        }
        TagsFormat::Json => {
            let document = document(session, &prepared, registry, &references);
            ui.document(&document)?;
        }
    }
    Ok(())
}

/// The lines of an environment file for CI. References need no quotes: none of their characters is special in such a
/// file or in a shell.
fn variables(references: &[(&str, Reference)]) -> Result<Vec<String>, Error> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut lines = Vec::new();
    for (name, reference) in references {
        let variable = variable(name);
        if let Some(other) = taken.insert(variable.clone(), name) {
            let images = [other, name].map(str::to_owned);
            return Err(UsageError::SameVariable { variable, images }.into());
        }
        lines.push(format!("{variable}={reference}"));
    }
    Ok(lines)
}

/// The name of an image's variable, which is valid in every shell.
fn variable(image: &str) -> String {
    let plain = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => character.to_ascii_uppercase(),
        _ => '_',
    };
    let name: String = image.chars().map(plain).collect();
    let before = if name.starts_with(|first: char| first.is_ascii_digit()) {
        "_"
    } else {
        ""
    };
    format!("{before}{name}_IMAGE")
}

#[derive(Serialize)]
struct TagsDocument<'a> {
    version: u32,
    project: &'a str,
    registry: &'a str,
    images: Vec<TaggedImage<'a>>,
}

#[derive(Serialize)]
struct TaggedImage<'a> {
    name: &'a str,
    reference: String,
    repository: String,
    tag: Option<&'a str>,
    fingerprint: &'a Digest,
    platforms: Vec<String>,
    /// Only for an image with several platforms, whose index has the reference: the image of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by_platform: Vec<TaggedPlatform<'a>>,
}

/// The image of one of several platforms.
#[derive(Serialize)]
struct TaggedPlatform<'a> {
    platform: String,
    reference: String,
    fingerprint: &'a Digest,
}

fn document<'a>(
    session: &'a Session<'_>,
    prepared: &'a Prepared,
    registry: &'a Registry,
    references: &'a [(&str, Reference)],
) -> TagsDocument<'a> {
    let images = references.iter().map(|(name, reference)| {
        let stage = &prepared.plan.stages[*name];
        TaggedImage {
            name,
            reference: reference.to_string(),
            repository: reference.repository.to_string(),
            tag: reference.tag.as_deref(),
            fingerprint: &stage.fingerprint,
            platforms: resolution::platforms(stage),
            by_platform: by_platform(stage, registry),
        }
    });
    TagsDocument {
        version: VERSION,
        project: &session.project.name,
        registry: &registry.name,
        images: images.collect(),
    }
}

fn by_platform<'a>(stage: &'a Stage, registry: &Registry) -> Vec<TaggedPlatform<'a>> {
    if !stage.has_several_platforms() {
        return Vec::new();
    }
    let platforms = stage.platforms.iter().map(|on| TaggedPlatform {
        platform: on.platform.to_string(),
        reference: on.reference(registry).to_string(),
        fingerprint: &on.fingerprint,
    });
    platforms.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(names: &[&'a str]) -> Vec<(&'a str, Reference)> {
        let reference =
            |name: &&'a str| (*name, format!("registry.example/{name}:1").parse().unwrap());
        names.iter().map(reference).collect()
    }

    #[test]
    fn every_image_has_a_variable_of_its_own() {
        assert_eq!(
            variables(&references(&["job", "spark35-base", "a.b", "3d"])).unwrap(),
            [
                "JOB_IMAGE=registry.example/job:1",
                "SPARK35_BASE_IMAGE=registry.example/spark35-base:1",
                "A_B_IMAGE=registry.example/a.b:1",
                "_3D_IMAGE=registry.example/3d:1"
            ]
        );
        let error = variables(&references(&["a-b", "a.b"])).unwrap_err();
        assert_eq!(error.code(), "E079");
        assert_eq!(error.exit_code(), 2);
        assert_eq!(
            error.headline(),
            "`a-b` and `a.b` would both be the variable `A_B_IMAGE`"
        );
    }
}
