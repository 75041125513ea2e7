//! What every verb asks of a stage: its reference, and its only platform.

use crate::{
    error::Error,
    image::Reference,
    operations::workspace::Session,
    plan::{PlatformStage, Stage},
    project::{
        place::{Defect, Place},
        template::Names,
    },
};

/// The reference of a stage.
pub(crate) fn reference(
    session: &Session<'_>,
    stage: &Stage,
    prefix: &str,
) -> Result<Reference, Error> {
    let names = Names {
        registry: prefix,
        project: &session.project.name,
        image: &stage.name,
    };
    let made = session
        .project
        .reference
        .reference(names, &stage.fingerprint);
    made.map_err(|error| {
        Defect::new(
            "E025",
            Place::of_line(crate::project::FILE_NAME, 1),
            error.to_string(),
        )
        .into()
    })
}

/// The only platform of a stage: several make an index, which the daemon cannot hold.
pub(crate) fn only_platform(stage: &Stage) -> Result<&PlatformStage, Error> {
    match stage.platforms.as_slice() {
        [only] => Ok(only),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|stage| stage.platform.to_string())
                .collect();
            Err(Error::NotYet {
                what: format!("building `{}` for several platforms ({})", stage.name, names.join(", ")),
                hint: "list one platform: `platforms = [\"linux/amd64\"]`; `sparkpack plan` gives the references for several".to_owned(),
            })
        }
    }
}

/// The platforms of a stage, for a document.
pub(crate) fn platforms(stage: &Stage) -> Vec<String> {
    let platforms = stage.platforms.iter();
    platforms.map(|stage| stage.platform.to_string()).collect()
}
