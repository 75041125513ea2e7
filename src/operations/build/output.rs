//! Where a build puts its images.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    adapters::{docker::DockerError, layout::ImageLayout},
    error::Error,
    operations::workspace::{DistFolder, Services, Session},
};

/// Where a build puts its images.
pub(crate) enum Output {
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

impl Output {
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

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => formatter.write_str("images go into the Docker daemon"),
            Self::Layout {
                name,
                no_daemon: None,
                ..
            } => write!(formatter, "images go into the OCI layout {name}"),
            Self::Layout {
                name,
                no_daemon: Some(error),
                ..
            } => write!(formatter, "images go into the OCI layout {name}: {error}"),
        }
    }
}
