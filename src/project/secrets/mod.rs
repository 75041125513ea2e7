//! What looks like a credential: every byte of a file is looked at once, in bounded memory.

mod allowances;
mod anchors;
mod archives;
mod finding;
mod hit;
mod keys;
mod names;
mod packed;
mod placeholders;
mod rules;
mod scan;
mod stores;
mod tars;
mod tokens;
mod urls;
mod value;
mod wide;
mod zips;

pub use allowances::{Allowance, allow_line};
pub use archives::scan_file;
pub use finding::{SecretFinding, in_name};
pub use names::NamedKind;
pub use rules::SecretRule;
pub use scan::scan;

/// The version of the rules. Must change whenever the same bytes may give another result.
pub const RULES: &str = "secrets 2";
