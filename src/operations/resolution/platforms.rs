//! The platforms of a stage, for output.

use crate::plan::Stage;

/// The platforms of a stage, for JSON documents.
pub(crate) fn platforms(stage: &Stage) -> Vec<String> {
    let platforms = stage.platforms.iter();
    platforms.map(|stage| stage.platform.to_string()).collect()
}
