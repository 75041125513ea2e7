//! What goes wrong sooner or later in projects such as this one, with its places.

use super::{
    code::JobCode,
    dockerfile_traps,
    image_name::{ImageName, short},
    manifests::Manifest,
    naming::Naming,
    remark::{Remark, listed},
    survey::ProjectSurvey,
    units::Units,
};
use crate::project::place::Place;

/// Packages with native code, which Python cannot import from a zip.
const NATIVE: [&str; 20] = [
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "cryptography",
    "psycopg2",
    "psycopg2-binary",
    "lxml",
    "grpcio",
    "protobuf",
    "pydantic-core",
    "orjson",
    "rapidfuzz",
    "shapely",
    "pillow",
    "torch",
    "xgboost",
    "lightgbm",
    "confluent-kafka",
];

/// How many places of one kind are told.
const SHOWN: usize = 4;

/// Everything that is seen.
pub(super) fn traps(
    survey: &ProjectSurvey,
    units: &Units<'_>,
    naming: &Naming,
    (codes, requirements): (&[JobCode], &[String]),
) -> Vec<Remark> {
    let mut told = Vec::new();
    told.extend(of_requirements(survey, requirements));
    told.extend(native_in_zips(survey));
    told.extend(dockerfile_traps::traps(survey, units));
    told.extend(mutable_tags(survey, units, naming));
    told.extend(always_pulled(survey));
    told.extend(unreadable_code(survey));
    for code in codes.iter().filter(|code| code.roots.len() > 1) {
        let text = format!(
            "the code is imported from several folders: {}",
            listed(&code.roots)
        );
        told.push(
            Remark::new(text).cure("`src` names each of them; one folder for all is simpler"),
        );
    }
    told
}

fn of_requirements(survey: &ProjectSurvey, chosen: &[String]) -> Vec<Remark> {
    let mut told = Vec::new();
    for found in chosen
        .iter()
        .filter_map(|path| survey.requirements.get(path))
    {
        let unpinned = found.unpinned();
        if let Some(first) = unpinned.first() {
            let names: Vec<String> = unpinned.iter().map(|wanted| wanted.name.clone()).collect();
            let text = format!("without an exact version: {}", listed(&names));
            told.push(
                Remark::at(&first.place, text)
                    .cure("`requirements.lock` holds the versions: commit it"),
            );
        }
        let read = found.read.as_ref();
        let spark = read.ok().and_then(|read| read.place_of("pyspark").cloned());
        if let Some(place) = spark {
            let text =
                "pyspark is required here: the image has Spark, so that it is not shipped again";
            told.push(Remark::at(&place, text));
        }
        let lock = read.ok().map(|read| read.lock_file.display().to_string());
        if let Some(lock) = lock.filter(|lock| survey.tree.has(lock)) {
            let is_own = survey
                .tree
                .text(&lock)
                .is_some_and(|text| text.contains("sparkpack"));
            if !is_own {
                let text =
                    format!("`{lock}` is another tool's, and sparkpack's lock has the same name");
                let cure = "rename it, or name it as `requirements`";
                told.push(Remark::at(&Place::of_line(lock, 1), text).cure(cure));
            }
        }
    }
    told
}

fn native_in_zips(survey: &ProjectSurvey) -> Vec<Remark> {
    let packed = survey
        .commands
        .installed
        .iter()
        .filter(|(_, _, is_packed)| *is_packed);
    let mut told = Vec::new();
    for (place, file, _) in packed {
        let found = survey.requirements.get(file);
        let packages = found.map(|found| found.packages()).unwrap_or_default();
        let native = packages
            .iter()
            .filter(|wanted| NATIVE.contains(&wanted.name.as_str()));
        let names: Vec<String> = native.map(|wanted| wanted.name.clone()).collect();
        if !names.is_empty() && told.len() < SHOWN {
            let text = format!(
                "native code cannot be imported from a zip: {}",
                listed(&names)
            );
            let cure = "sparkpack puts such packages into a folder of the image";
            told.push(Remark::at(place, text).cure(cure));
        }
    }
    told
}

fn mutable_tags(survey: &ProjectSurvey, units: &Units<'_>, naming: &Naming) -> Vec<Remark> {
    let is_mutable = |name: &ImageName| {
        let moving = ["latest", "stable", "main", "master", "dev", "prod"];
        name.tag.as_deref().is_none_or(|tag| moving.contains(&tag))
    };
    let mut told = Vec::new();
    for (image, name) in survey.manifests.iter().flat_map(Manifest::names) {
        let called = naming.images.iter().filter_map(|own| own.called.as_ref());
        let is_own = called
            .into_iter()
            .any(|(own, _)| super::naming::is_same_image(own, &name));
        if is_own && is_mutable(&name) && image.reference.digest.is_none() && told.len() < SHOWN {
            let text = format!(
                "`{}` may be another image tomorrow",
                short(&image.reference.to_string())
            );
            told.push(
                Remark::at(&image.place, text)
                    .cure("`sparkpack pin` writes a tag that never moves"),
            );
        }
    }
    for unit in &units.all {
        let Some((image, line)) = &unit.resolved.base else {
            continue;
        };
        let is_moving = ImageName::parse(image).is_some_and(|name| is_mutable(&name));
        if unit.parent.is_none() && is_moving && !image.contains('@') && told.len() < 2 * SHOWN {
            let text = format!("`{image}` may be another image tomorrow");
            told.push(
                Remark::at(&unit.dockerfile.at(*line), text)
                    .cure("`sparkpack.lock` holds its digest: commit it"),
            );
        }
    }
    told
}

fn always_pulled(survey: &ProjectSurvey) -> Vec<Remark> {
    let manifests = survey.manifests.iter();
    let mut lines =
        manifests.flat_map(|manifest| manifest.always.iter().map(|line| (&manifest.path, *line)));
    let told = lines.next().map(|(path, line)| {
        let more = lines.count();
        let text = match more {
            0 => "`imagePullPolicy: Always`: each pod asks the registry".to_owned(),
            more => {
                format!("`imagePullPolicy: Always`, and {more} more: each pod asks the registry")
            }
        };
        Remark::at(&Place::of_line(path, line), text)
            .cure("with tags that never move, `IfNotPresent` is enough")
    });
    told.into_iter().collect()
}

fn unreadable_code(survey: &ProjectSurvey) -> Vec<Remark> {
    let unreadable = survey.modules.unreadable().take(SHOWN);
    unreadable
        .map(|(place, why)| Remark::at(&place, format!("Python cannot read this: {why}")))
        .collect()
}
