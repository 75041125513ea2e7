//! The pause before something is tried again.

use std::time::Duration;

use super::store;

/// The variable that shortens pauses in builds for tests, in milliseconds.
const FOR_TESTS: &str = "SPARKPACK_TEST_PAUSE";

/// The pause before the second attempt: `usual`, but of a build for tests what its environment says.
pub(super) fn before_second_attempt(usual: Duration) -> Duration {
    let told = if cfg!(debug_assertions) {
        store::environment(FOR_TESTS)
    } else {
        None
    };
    let told = told.and_then(|text| text.parse().ok());
    told.map_or(usual, Duration::from_millis)
}
