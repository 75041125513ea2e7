//! `sparkpack why`.

use super::session::Session;
use crate::{cli::WhyArguments, error::Error};

pub(super) fn run(_session: &Session<'_>, _arguments: &WhyArguments) -> Result<(), Error> {
    Err(Error::NotYet {
        what: "`sparkpack why`".to_owned(),
        hint: "wait".to_owned(),
    })
}
