//! What a check has found.

use std::ops::Range;

use super::SecretRule;

/// A credential in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) rule: SecretRule,
    /// Where the secret part stands.
    pub(super) value: Range<usize>,
}
