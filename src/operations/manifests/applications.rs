//! The Spark applications that the project's manifests describe.

use super::examine::Manifests;
use crate::{
    error::Error,
    image::Reference,
    operations::workspace::Session,
    project::ImageMatcher,
    yaml::{self, Located, SparkApplication},
};

/// A Spark application in a manifest.
#[derive(Clone, Debug)]
pub(crate) struct DescribedApplication {
    /// The manifest, relative to the project's folder.
    pub(crate) file: String,
    pub(crate) application: SparkApplication,
    /// The image of the project that its driver has.
    pub(crate) image: Option<String>,
}

/// The Spark applications in the manifests of a registry, or of all, in the order of the files; and the templates, which
/// nobody can read before they are rendered.
pub(crate) fn applications(
    session: &Session<'_>,
    registry: Option<&str>,
) -> Result<(Vec<DescribedApplication>, Vec<String>), Error> {
    let manifests = Manifests::of(session, registry)?;
    let (mut found, mut templates) = (Vec::new(), Vec::new());
    for (file, read) in manifests.read_all()? {
        let Some(applications) = yaml::applications(&read.text) else {
            templates.push(file.to_owned());
            continue;
        };
        let marked = marked(&read.located, applications.len());
        let described = applications.into_iter().zip(marked);
        found.extend(described.map(|(application, marked)| DescribedApplication {
            file: file.to_owned(),
            image: named(&session.project.image_matcher, &application).or(marked),
            application,
        }));
    }
    Ok((found, templates))
}

/// The image of the project that an application names.
fn named(matcher: &ImageMatcher, application: &SparkApplication) -> Option<String> {
    let references = application.images.iter();
    let references = references.filter_map(|image| image.parse::<Reference>().ok());
    let mut named = references.filter_map(|reference| Some(matcher.named(&reference)?.to_owned()));
    named.next()
}

/// The images that the objects of a text have by marks and the like, for each of its `count` applications.
fn marked(located: &Located, count: usize) -> Vec<Option<String>> {
    let objects = located.objects.iter().enumerate();
    let spark =
        objects.filter(|(_, object)| object.is_spark && object.kind.ends_with("Application"));
    let images = spark.map(|(index, _)| {
        let mut places = located.places.iter();
        places.find_map(|place| place.image.clone().filter(|_| place.object == Some(index)))
    });
    let images: Vec<Option<String>> = images.collect();
    // An object that only one of the two readings knows would shift the others.
    if images.len() == count {
        images
    } else {
        vec![None; count]
    }
}
