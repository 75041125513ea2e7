//! `sparkpack package`: packs the code and the requirements of every job into its `dist` folder.

use super::{
    outside::{Missing, Outside},
    packing,
    session::Session,
};
use crate::{
    cli::Locks,
    error::Error,
    project::place::{Defect, Place},
};

pub(super) fn run(session: &Session<'_>, locks: Locks) -> Result<(), Error> {
    let outside = Outside::with(session, locks);
    let packer = packing::Packer::new(session, &outside);
    let packed = packer.pack_all(Missing::of(locks))?;
    packer.remember();
    if packed.is_empty() {
        let defect = Defect::new(
            "E023",
            Place::of_line(crate::project::FILE_NAME, 1),
            "no image has a `src`: there is nothing to pack",
        );
        return Err(defect
            .hint("give the job's image a `src`: `[images.job]` with `src = \"src\"`")
            .into());
    }
    for dist in packed {
        session.ui.data(dist)?;
    }
    Ok(())
}
