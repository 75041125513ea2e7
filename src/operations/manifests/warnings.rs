//! Warnings about manifests, apart from those about references that are out of date.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    examined::{Examined, Scope},
    expected::ExpectedReferences,
};
use crate::{
    code::Code,
    operations::{resolution::Prepared, workspace::Session},
    project::{
        FILE_NAME, Project,
        place::{Defect, Place},
        template::Names,
    },
    yaml::{self, ImagePlace, Located, Rewritten},
};

/// The warnings about one manifest.
pub(crate) fn of(
    project: &Project,
    expected: &ExpectedReferences,
    located: &Located,
    rewritten: &Rewritten,
) -> Vec<Defect> {
    let mut warnings = Vec::new();
    for place in located.places.iter().filter(|place| place.is_refused) {
        let message = format!(
            "`{}`: the Spark operator refuses images in `sparkConf` since 2.5.2",
            place.path
        );
        let spec = place.path.split(".sparkConf").next().unwrap_or("spec");
        let hint = format!(
            "name it as `{spec}.image`, `{spec}.driver.image` or `{spec}.executor.image`, and remove it here"
        );
        warnings.push(Defect::new(Code::W106, place.place.clone(), message).hint(hint));
    }
    let managed = located
        .places
        .iter()
        .filter(|place| place.managed().is_some());
    for scalar in managed.flat_map(ImagePlace::with_line_ends) {
        let message = format!(
            "`{}` ends with a line break, which no image's name has",
            scalar.path
        );
        let hint = "write the value on the line of its key, or `|-` in the place of `|`";
        warnings.push(Defect::new(Code::W126, scalar.place.clone(), message).hint(hint));
    }
    let mut told = HashSet::new();
    for place in &located.places {
        let Some((image, object)) = place.image.as_ref().zip(place.object) else {
            continue;
        };
        let spark = expected.sparks.get(image);
        let version = located.objects[object].spark_version.as_ref();
        if let Some(((place, version), spark)) = version.zip(spark)
            && !is_for_spark(version, spark)
            && told.insert(object)
        {
            let message =
                format!("this object is for Spark {version}, and `{image}` has Spark {spark}");
            let hint = format!("write \"{spark}\", unless the operator needs the other");
            warnings.push(Defect::new(Code::W107, place.clone(), message).hint(hint));
        }
    }
    warnings.extend(expected.contents.warnings(located));
    warnings.extend(of_other_tags(project, located));
    for change in &rewritten.changes {
        if let [_, ..] = change.reaches.as_slice() {
            let also: Vec<String> = change.reaches.iter().map(ToString::to_string).collect();
            let message = format!(
                "`{}` belongs to an anchor: with it changes what stands at {}",
                change.path,
                also.join(", ")
            );
            warnings.push(
                Defect::new(Code::W110, change.place.clone(), message)
                    .hint("`anchors` in sparkpack.toml allows it"),
            );
        }
    }
    warnings
}

/// Whether what a manifest states as its Spark version agrees with the image's: `4.1` does with 4.1.4. What something
/// else fills in is not judged.
fn is_for_spark(stated: &str, spark: &str) -> bool {
    let rest = spark.strip_prefix(stated.trim_start_matches('v'));
    yaml::holds_expression(stated)
        || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The places that name a repository shared by several images, with a tag that begins like the tag of one of them, but
/// is none.
fn of_other_tags(project: &Project, located: &Located) -> Vec<Defect> {
    let places = located.places.iter();
    let places = places.filter(|place| place.mark.is_none() && place.left_alone.is_none());
    let defects = places.filter_map(|place| {
        let reference = place.reference()?;
        let image = project.image_matcher.near_miss(&reference)?;
        let message = format!(
            "`{reference}` is left alone: its tag begins like one of `{image}`, and is none"
        );
        let hint = format!(
            "if it is `{image}`, put `# sparkpack: {image}` behind it, else `# sparkpack: ignore`"
        );
        Some(Defect::new(Code::W112, place.place.clone(), message).hint(hint))
    });
    defects.collect()
}

/// Warns of each image without children that no manifest names; if no manifest names any image, of that alone.
pub(crate) fn unused(
    session: &Session<'_>,
    prepared: &Prepared,
    scope: Scope<'_>,
    examined: &[Arc<Examined>],
) -> Vec<Defect> {
    let project = &session.project;
    let Some(first) = examined.first().filter(|_| is_whole(session, scope)) else {
        return Vec::new();
    };
    let mut unused_places = places_nowhere(project, examined);
    let named: BTreeSet<&String> = examined.iter().flat_map(|file| &file.named).collect();
    if named.is_empty() {
        let message = "no manifest names an image of this project";
        let hint = "name one by its repository, or list the prefix that they name under `formerly`";
        let defect = Defect::new(Code::W104, Place::of_line(&first.file, 1), message);
        unused_places.push(defect.hint(hint));
        return unused_places;
    }
    let parents: BTreeSet<&String> = prepared
        .plan
        .stages
        .values()
        .flat_map(|stage| &stage.parents)
        .collect();
    let unused = project
        .images
        .values()
        .filter(|image| !parents.contains(&image.name) && !named.contains(&image.name));
    let unused = unused.map(|image| {
        let message = format!("no manifest names `{}`", image.name);
        let place = match image.place.line {
            0 => Place::of_line(FILE_NAME, 1),
            _ => image.place.clone(),
        };
        let hint = "nothing runs it then: name it by its repository, or let `[manifests]` match the file that does";
        Defect::new(Code::W104, place, message).hint(hint)
    });
    unused_places.extend(unused);
    unused_places
}

/// The configured places that no manifest has.
fn places_nowhere(project: &Project, examined: &[Arc<Examined>]) -> Vec<Defect> {
    let places = project.places.iter().enumerate();
    let nowhere = places.filter(|(number, _)| {
        let mut examined = examined.iter();
        !examined.any(|file| file.places.contains(number))
    });
    let defects = nowhere.map(|(_, place)| {
        let message = format!(
            "no {} in the manifests has a value at this path",
            place.kind
        );
        Defect::new(Code::W125, place.place.clone(), message)
            .hint("compare `group`, `kind` and `path` with the manifest, or remove the place")
    });
    defects.collect()
}

/// Whether the run covers all images and all manifests. Only then is an image that was not found named nowhere.
fn is_whole(session: &Session<'_>, scope: Scope<'_>) -> bool {
    let project = &session.project;
    let registries = project.manifests.keys();
    let are_all = |only: &str| registries.clone().all(|registry| registry == only);
    scope.registry.is_none_or(are_all) && scope.images.len() == project.images.len()
}

/// The error that no manifest names an image of the project; `None` if one does or the run does not cover everything.
pub(crate) fn nothing_named(
    session: &Session<'_>,
    scope: Scope<'_>,
    examined: &[Arc<Examined>],
) -> Option<Defect> {
    let first = examined.first().filter(|_| is_whole(session, scope))?;
    if examined
        .iter()
        .any(|file| !file.named.is_empty() || !file.stale.is_empty())
    {
        return None;
    }
    let without_image = examined
        .iter()
        .find_map(|file| file.objects.without_image.clone());
    let example = example(session, scope);
    if let Some(object) = without_image {
        let paths: Vec<String> = yaml::paths(&object.group, &object.kind)
            .iter()
            .map(|path| format!("`{path}`"))
            .collect();
        let message = format!(
            "this {} names no image\nlooked at {}",
            object.kind,
            paths.join(", ")
        );
        let first = paths.first().map_or("`image`", String::as_str);
        let hint = format!(
            "write `{example}` at {first}, or tell another place by `[[places]]` in sparkpack.toml"
        );
        return Some(Defect::new(Code::E204, object.place, message).hint(hint));
    }
    let files: Vec<String> = examined
        .iter()
        .take(3)
        .map(|file| format!("`{}`", file.file))
        .collect();
    let more = match examined.len() {
        0..=3 => String::new(),
        several => format!(" and {} more", several - 3),
    };
    let listed = format!("{}{more}", files.join(", "));
    let place = Place::of_line(&first.file, 1);
    let hint = format!(
        "write `image: {example}` where it is to run, or list the prefix that stands there under `formerly`; `sparkpack check -v` lists what is left alone"
    );
    let has_spark = examined.iter().any(|file| file.objects.has_spark);
    let message = if has_spark {
        format!("nothing in {listed} names an image of this project")
    } else {
        format!("no SparkApplication in {listed}, and nothing there names an image of this project")
    };
    Some(Defect::new(Code::E205, place, message).hint(hint))
}

/// An example of a reference that `sparkpack pin` would rewrite. It is for an image without children, a job if
/// possible.
fn example(session: &Session<'_>, scope: Scope<'_>) -> String {
    let project = &session.project;
    let images = project.images.values();
    let parents: BTreeSet<&str> = images
        .clone()
        .filter_map(|image| image.parent.as_deref())
        .collect();
    let best =
        images.max_by_key(|image| (!parents.contains(&*image.name), image.package.is_some()));
    let registry = scope
        .registry
        .or(project.manifests.keys().next().map(String::as_str));
    let registry = registry.and_then(|registry| project.registries.get(registry));
    let names = Names {
        registry: registry.map_or("REGISTRY", |registry| &registry.prefix),
        project: &project.name,
        image: best.map_or("IMAGE", |image| &image.name),
    };
    let unbuilt = project.reference.unbuilt(names);
    unbuilt.map_or_else(
        |_| "REGISTRY/IMAGE:unbuilt".to_owned(),
        |reference| reference.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::is_for_spark;

    #[test]
    fn a_part_of_a_version_agrees_with_the_whole() {
        for (stated, is_for) in [
            ("4.1.4", true),
            ("4.1", true),
            ("4", true),
            ("v4.1.4", true),
            ("4.1.40", false),
            ("4.10", false),
            ("4.1.", false),
            ("3.5", false),
            ("", false),
            ("{{ spark_version }}", true),
            ("($V_SPARK_VERSION)", true),
            ("${SPARK_VERSION}", true),
        ] {
            assert_eq!(is_for_spark(stated, "4.1.4"), is_for, "{stated}");
        }
    }
}
