//! `sparkpack plan`: prints the reference of every image, offline.

use super::{
    locks,
    outside::{Missing, Outside},
    session::Session,
};
use crate::{cli::PlanArguments, error::Error};

pub(super) fn run(session: &Session<'_>, arguments: &PlanArguments) -> Result<(), Error> {
    let (_, prefix) = session.registry(arguments.registry.registry.as_deref())?;
    let outside = Outside::new(session);
    let prepared = locks::prepare(session, &outside, Missing::Refuse)?;
    for name in &prepared.order {
        let stage = &prepared.plan.stages[name];
        if stage.uses_network {
            session.ui.detail(format!(
                "{name}: not reproducible, since a RUN may use the network"
            ));
        }
        session
            .ui
            .data(super::stages::reference(session, stage, prefix)?)?;
    }
    Ok(())
}
