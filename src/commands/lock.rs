//! `sparkpack lock`.

use super::session::Session;
use crate::{cli::LockArguments, error::Error};

pub(super) fn run(_session: &Session<'_>, _arguments: &LockArguments) -> Result<(), Error> {
    Err(Error::NotYet {
        what: "`sparkpack lock`".to_owned(),
        hint: "wait".to_owned(),
    })
}
