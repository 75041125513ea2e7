//! The platforms of a stage, for operations that handle one platform, and for output.

use crate::{
    error::{Error, NotYet},
    plan::{PlatformStage, Stage},
};

/// The only platform of a stage. A stage with several is an error: it would be an index, which the daemon cannot hold.
pub(crate) fn only_platform(stage: &Stage) -> Result<&PlatformStage, Error> {
    match stage.platforms.as_slice() {
        [only] => Ok(only),
        several => {
            let platforms = several.iter().map(|stage| stage.platform.clone());
            let not_yet = NotYet::SeveralPlatforms {
                image: stage.name.clone(),
                platforms: platforms.collect(),
            };
            Err(not_yet.into())
        }
    }
}

/// The platforms of a stage, for JSON documents.
pub(crate) fn platforms(stage: &Stage) -> Vec<String> {
    let platforms = stage.platforms.iter();
    platforms.map(|stage| stage.platform.to_string()).collect()
}
