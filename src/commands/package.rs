//! `sparkpack package`: packs the code and the Python packages of every job into its `dist` folder.

use super::policy::policy_of;
use crate::{
    cli::Locks,
    code::Code,
    error::Error,
    operations::{
        dist::Packer,
        workspace::{Services, Session},
    },
    project::place::{Defect, Place},
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, locks: Locks) -> Result<(), Error> {
    let services = Services::new(session, policy_of(locks));
    let packer = Packer::new(session, &services);
    let packed = packer.pack_all()?;
    packer.remember();
    if packed.is_empty() {
        let defect = Defect::new(
            Code::E023,
            Place::of_line(crate::project::FILE_NAME, 1),
            "no image has a `src`: there is nothing to pack",
        );
        return Err(defect
            .hint("give the job's image a `src`: `[images.job]` with `src = \"src\"`")
            .into());
    }
    for dist in packed {
        ui.data(dist)?;
    }
    Ok(())
}
