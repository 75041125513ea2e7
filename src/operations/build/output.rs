//! Where a build puts its images.

use std::{path::Path, sync::Arc};

use crate::{
    adapters::{docker::DockerError, layout::ImageLayout},
    error::Error,
    operations::{
        events::{Events, Note},
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
    /// The daemon if one answers, else the layout in `dist`.
    ///
    /// # Errors
    /// What answers is no daemon, or the setting that names it cannot be used.
    pub(crate) fn of_machine(
        session: &Session<'_>,
        services: &Services<'_>,
    ) -> Result<Self, Error> {
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
    /// Tells where the images go.
    pub(super) fn tell(&self, events: &dyn Events) {
        events.note(match self {
            Self::Daemon => Note::IntoDaemon,
            Self::Layout {
                name, no_daemon, ..
            } => Note::IntoLayout {
                folder: name,
                no_daemon: no_daemon.as_deref(),
            },
        });
    }
}
