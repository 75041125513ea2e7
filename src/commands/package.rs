//! `sparkpack package`: packs the code and the Python packages of every job into its `dist` folder.

use super::policy::policy_of;
use crate::{
    adapters::git::Compared,
    cli::PackageArguments,
    code::Code,
    error::Error,
    operations::{
        build,
        dist::Packer,
        resolution::Strictness,
        workspace::{Services, Session},
    },
    project::place::{Defect, Place},
    ui::Ui,
};

pub(super) fn run(
    session: &Session<'_>,
    ui: &Ui,
    arguments: &PackageArguments,
) -> Result<(), Error> {
    let services =
        Services::new(session, policy_of(arguments.locks)).building_wheels(&build::InContainers);
    let is_strict = Strictness::of(arguments.strict.asked(), Compared::Index).refuses();
    let packer = Packer::new(session, &services);
    let packed = packer.pack_all(is_strict)?;
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
