//! Where a build puts its images.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::run::Run;
use crate::{
    adapters::{docker::DockerError, layout::ImageLayout},
    error::Error,
    image::Platform,
    operations::{
        events::Note,
        workspace::{DistFolder, Services, Session},
    },
};

/// Where a build puts its images.
pub(crate) enum BuildOutput {
    /// The Docker daemon.
    Daemon,
    /// An OCI image layout.
    Layout {
        layout: ImageLayout,
        /// The folder, as people write it.
        name: String,
        /// Why there is no daemon, if one was asked.
        no_daemon: Option<Arc<DockerError>>,
    },
}

impl BuildOutput {
    /// The daemon if one answers, else the layout in `dist`; always that if `BuildKit`s build.
    ///
    /// # Errors
    /// What answers is no daemon, or the setting that names it cannot be used.
    pub(crate) fn of_machine(
        session: &Session<'_>,
        services: &Services<'_>,
    ) -> Result<Self, Error> {
        if services.builders().is_some() {
            return Ok(Self::Layout {
                layout: session.dist().layout(),
                name: DistFolder::LAYOUT.to_owned(),
                no_daemon: None,
            });
        }
        match services.daemon() {
            Ok(_) => Ok(Self::Daemon),
            Err(Error::Docker(error)) if error.is_absence() => Ok(Self::Layout {
                layout: session.dist().layout(),
                name: DistFolder::LAYOUT.to_owned(),
                no_daemon: Some(Arc::new(error)),
            }),
            Err(error) => Err(error),
        }
    }

    /// The layout in `folder`.
    pub(crate) fn layout(folder: &Path) -> Self {
        Self::Layout {
            layout: ImageLayout::new(folder),
            name: folder.display().to_string(),
            no_daemon: None,
        }
    }
}

impl BuildOutput {
    /// The platforms on which it gets `targets`: all, or those of the daemon.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub(super) fn platforms_of(
        &self,
        run: &Run<'_>,
        targets: &[String],
    ) -> Result<BTreeMap<Platform, Vec<String>>, Error> {
        match self {
            Self::Daemon => run.by_platform_of(run.services.daemon()?, targets),
            Self::Layout { .. } => Ok(run.by_platform(targets)),
        }
    }

    /// Tells where the images go, and which platforms of the targets have no place there.
    pub(super) fn tell(
        &self,
        run: &Run<'_>,
        targets: &[String],
        by_platform: &BTreeMap<Platform, Vec<String>>,
    ) {
        let others = run.other_platforms(targets, by_platform);
        let platforms: Vec<Platform> = by_platform.keys().cloned().collect();
        run.session.events.note(match self {
            Self::Daemon => Note::IntoDaemon {
                platforms: &platforms,
                others: &others,
            },
            Self::Layout {
                name, no_daemon, ..
            } => Note::IntoLayout {
                folder: name,
                no_daemon: no_daemon.as_deref(),
            },
        });
    }
}
