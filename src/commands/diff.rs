//! `sparkpack diff`.

use super::session::Session;
use crate::{cli::DiffArguments, error::Error};

pub(super) fn run(_session: &Session<'_>, _arguments: &DiffArguments) -> Result<(), Error> {
    Err(Error::NotYet {
        what: "`sparkpack diff`".to_owned(),
        hint: "wait".to_owned(),
    })
}
