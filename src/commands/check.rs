//! `sparkpack check`: says whether the manifests name the images of this checkout; changes nothing.

use super::{
    locks,
    manifests::{self, Scope},
    outside::{Missing, Outside},
    remote,
    session::Session,
};
use crate::{
    cli::CheckArguments,
    error::Error,
    ui::{Paint, unified},
};

pub(super) fn run(session: &Session<'_>, arguments: &CheckArguments) -> Result<(), Error> {
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: arguments.images.registry.registry.as_deref(),
        images: &targets,
    };
    let outside = Outside::new(session);
    let prepared = locks::prepare(session, &outside, Missing::Refuse)?;
    let manifests = manifests::changes(session, &prepared, scope)?;
    manifests::warn(session, &prepared, scope, &manifests);
    let mut drift = 0;
    for (file, result) in &manifests {
        drift += result.changes.len();
        let old = manifests::read(session, file)?;
        for line in unified(file, &old, &result.text, Paint::of_stdout()) {
            session.ui.data(line)?;
        }
    }
    if arguments.remote {
        Error::of_defects(remote::verify(session, &outside, &prepared, scope)?)?;
    }
    match drift {
        0 => Ok(()),
        places => Err(Error::Drift { places }),
    }
}
