//! Stages for tests: each adds files to another stage or to `scratch`, and has a reference in one registry.

use std::{collections::BTreeMap, sync::Arc};

use super::{Input, Plan, PlatformStage, Recipe, Record, Stage, StageInputs, stages::References};
use crate::{
    image::Platform,
    project::{
        Context, Image, Kind, Registry, WheelBuilds,
        inputs::{FilesInputs, FilesPlace, UsedImage},
        place::Place,
    },
};

/// The only registry.
pub(crate) fn registry() -> Registry {
    Registry {
        name: "main".to_owned(),
        prefix: "registry.example".to_owned(),
        layout: None,
    }
}

pub(crate) fn image(name: &str) -> Image {
    Image {
        name: name.to_owned(),
        place: Place::of_line("sparkpack.toml", 1),
        kind: Kind::Own,
        chain: None,
        parent: None,
        elsewhere: None,
        dockerfile: None,
        context: Context::Folder(".".to_owned()),
        contexts: BTreeMap::new(),
        build_arguments: BTreeMap::new(),
        target: None,
        secrets: BTreeMap::new(),
        ssh: false,
        platforms: vec![Platform::default()],
        package: None,
        requirements: None,
        wheel_builds: WheelBuilds::default(),
    }
}

pub(crate) fn files_on(base: UsedImage) -> StageInputs {
    StageInputs {
        recipe: Recipe::Files(FilesInputs {
            base,
            built_in: None,
            places: vec![FilesPlace {
                what: "job",
                folder: "/opt/job",
            }],
            python_path: vec!["/opt/a", "/opt/b"],
            jars: Vec::new(),
            single_files: BTreeMap::new(),
        }),
        package: None,
        requirements: None,
    }
}

/// A stage on `base` whose record has these inputs.
pub(crate) fn stage(name: &str, base: Option<&str>, inputs: &[Input]) -> Stage {
    let below = base.map_or(UsedImage::Scratch, |base| UsedImage::Stage(base.to_owned()));
    let (image, of_stage) = (Arc::new(image(name)), Arc::new(files_on(below)));
    let record = Record::of(inputs);
    let fingerprint = record.fingerprint();
    let registry = registry();
    let reference = format!("{}/{name}:{}", registry.prefix, fingerprint.short(16));
    let references = BTreeMap::from([(registry.name, reference.parse().unwrap())]);
    let references = References(references);
    let parents = of_stage.recipe.parents();
    Stage {
        name: name.to_owned(),
        title: name.to_owned(),
        image: Arc::clone(&image),
        inputs: Arc::clone(&of_stage),
        parents: parents.clone(),
        platforms: vec![PlatformStage {
            name: name.to_owned(),
            title: name.to_owned(),
            platform: Platform::default(),
            image,
            inputs: of_stage,
            parents,
            target: None,
            elsewhere: None,
            wheels: Vec::new(),
            record,
            fingerprint: fingerprint.clone(),
            references: references.clone(),
        }],
        fingerprint,
        references,
    }
}

/// A plan of stages, which are given parents first.
pub(crate) fn plan(stages: impl IntoIterator<Item = Stage>) -> Plan {
    let mut plan = Plan::default();
    for stage in stages {
        plan.order.push(stage.name.clone());
        plan.stages.insert(stage.name.clone(), stage);
    }
    plan
}
