//! `sparkpack build`: packs jobs, makes the images that the daemon or a layout lacks, rewrites the manifests, and lists the
//! images.

use super::policy::policy_of;
use crate::{
    adapters::git::Compared,
    cli::{BuildArguments, OutputPlace},
    error::{Error, ImportTestError},
    operations::{
        build::{self, BuildImages, BuildOutput},
        resolution::Strictness,
        workspace::{Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &BuildArguments) -> Result<(), Error> {
    let images = &arguments.images;
    let registry = images.registry.registry.as_deref();
    session.registry(registry)?;
    let targets = session.targets(&images.images)?;
    let services =
        Services::new(session, policy_of(images.locks)).building_wheels(&build::InContainers);
    let is_daemon = matches!(arguments.output, Some(OutputPlace::Daemon)) || arguments.test_imports;
    let services = if is_daemon {
        services.in_docker()
    } else {
        services
    };
    let output = match &arguments.output {
        Some(OutputPlace::Layout(_)) if arguments.test_imports => {
            return Err(ImportTestError::NoDaemon.into());
        }
        None if arguments.test_imports => BuildOutput::Daemon,
        None => BuildOutput::of_machine(session, &services)?,
        Some(OutputPlace::Daemon) => BuildOutput::Daemon,
        Some(OutputPlace::Layout(folder)) => BuildOutput::layout(folder),
    };
    let request = BuildImages {
        output: &output,
        registry,
        targets: &targets,
        tests_imports: arguments.test_imports,
        strictness: Strictness::of(arguments.strict.asked(), Compared::Index),
    };
    let finished = build::build(session, &services, request)?;
    if finished.was_current {
        let what = match finished.images.len() {
            1 => "the image".to_owned(),
            several => format!("all {several} images"),
        };
        ui.say(format!(
            "nothing to do: {what} and the manifests are current"
        ));
    }
    for image in &finished.images {
        ui.data(&image.reference)?;
    }
    Ok(())
}
