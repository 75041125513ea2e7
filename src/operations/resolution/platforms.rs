//! What verbs ask of a stage's platforms.

use crate::{
    error::Error,
    plan::{PlatformStage, Stage},
};

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
