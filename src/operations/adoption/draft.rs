//! What a configuration is made of while it is decided, and what its tables follow from.

use super::{
    code::JobCode,
    document::{ConfigTable, quoted},
    entries::EntryPoint,
    naming::Naming,
    remark::{Fact, Remark},
    survey::ProjectSurvey,
    units::Units,
};
/// What becomes a configuration.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) images: Vec<ConfigTable>,
    pub(super) sources: Vec<ConfigTable>,
    pub(super) facts: Vec<Fact>,
    pub(super) assumed: Vec<Remark>,
    pub(super) untold: Vec<Remark>,
    pub(super) codes: Vec<JobCode>,
    pub(super) requirements: Vec<String>,
    /// Whether an image stands on one of a chain.
    pub(super) needs_chain: bool,
}

/// What the tables follow from.
pub(super) struct TableMaker<'s> {
    pub(super) survey: &'s ProjectSurvey,
    pub(super) units: &'s Units<'s>,
    pub(super) naming: &'s Naming,
    pub(super) entries: &'s [EntryPoint],
    /// Whether a Dockerfile's image has the code.
    pub(super) has_job: bool,
}

/// A key of a table's header.
pub(super) fn header(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}
