//! `sparkpack pin`: rewrites the references in the manifests, offline.

use super::{
    locks,
    manifests::{self, Scope},
    outside::{Missing, Outside},
    session::Session,
};
use crate::{cli::PinArguments, error::Error};

pub(super) fn run(session: &Session<'_>, arguments: &PinArguments) -> Result<(), Error> {
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: arguments.images.registry.registry.as_deref(),
        images: &targets,
    };
    let outside = Outside::new(session);
    let prepared = locks::prepare(session, &outside, Missing::Refuse)?;
    let changed = manifests::rewrite(session, &prepared, scope)?;
    if changed && arguments.exit_code {
        return Err(Error::Changed);
    }
    Ok(())
}
