//! What looks like a credential: every byte of a file is looked at once, in bounded memory.

mod allowances;
mod anchors;
mod archives;
mod hit;
mod keys;
mod names;
mod placeholders;
mod rules;
mod scan;
mod stores;
mod tokens;
mod value;

pub use allowances::{Allowance, allow_line};
pub use archives::scan_file;
pub use names::NamedKind;
pub use rules::SecretRule;
pub use scan::{SecretFinding, scan};

/// The version of the rules. Must change whenever the same bytes may give another result.
pub const RULES: &str = "secrets 1";
