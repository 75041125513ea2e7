//! Wheels that no index has: they are built from their sources in containers, so operations further up make them, and
//! everybody finds them in the cache.

use std::path::{Path, PathBuf};

use super::{services::Services, session::Session, wheel_order::WheelOrder};
use crate::{
    adapters::{cache::CacheKind, python::metadata_of, store},
    error::{Error, WheelBuildError},
    image::Digest,
    operations::events::{Progress, Step},
    project::wheel::WheelName,
};

/// A wheel that was built.
pub(crate) struct BuiltWheel {
    pub(crate) file: PathBuf,
    pub(crate) wheel: WheelName,
    pub(crate) sha256: Digest,
    /// What it needs, as values of `Requires-Dist`.
    pub(crate) needs: Vec<String>,
}

impl Services<'_> {
    /// The wheel of a source: the one in the cache, or else one that is built.
    pub(crate) fn built_wheel(
        &self,
        session: &Session<'_>,
        order: &WheelOrder<'_>,
        progress: &mut dyn Progress,
    ) -> Result<BuiltWheel, Error> {
        let key = order.key();
        let folder = session.cache.entry(CacheKind::BuiltWheels, key.hex());
        self.moving(&format!("wheel {key}"), || {
            if let Some(there) = read(&folder, order)? {
                return Ok(there);
            }
            let temporary = session.cache.unfinished(CacheKind::BuiltWheels)?;
            let made = temporary.path().join("wheel");
            fs_err::create_dir(&made)?;
            let builder = self.wheel_builder.ok_or_else(|| {
                Error::from(WheelBuildError::NoBuilder {
                    package: order.package.to_owned(),
                    image: order.image.name.clone(),
                    why: "this command makes nothing".to_owned(),
                    start: "run `sparkpack package`".to_owned(),
                })
            })?;
            progress.step(Step::BuildWheel(order.package));
            builder.build((session, self), order, &made, progress)?;
            // What is no wheel of the package is told before it is kept.
            let built = read(&made, order)?;
            let built = built.ok_or_else(|| order.failed(Vec::new(), "no wheel came out of it"))?;
            store::move_folder(&made, &folder)?;
            Ok(BuiltWheel {
                file: folder.join(&built.wheel.file_name),
                ..built
            })
        })
    }
}

/// The wheel in a folder.
fn read(folder: &Path, order: &WheelOrder<'_>) -> Result<Option<BuiltWheel>, Error> {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return Ok(None);
    };
    for entry in entries {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let Ok(wheel) = name.parse::<WheelName>() else {
            continue;
        };
        if wheel.name != order.package {
            let message = format!("what comes out of it is `{name}`, a wheel of another package");
            return Err(order.failed(Vec::new(), message));
        }
        let sha256 = Digest::of_reader(&mut fs_err::File::open(&file)?)?;
        let metadata = metadata_of(&file).map_err(|error| order.failed(Vec::new(), error))?;
        return Ok(Some(BuiltWheel {
            wheel,
            sha256,
            needs: metadata.needs,
            file,
        }));
    }
    Ok(None)
}

/// The digest of a file, if it is there.
pub(crate) fn digest_of(file: &Path) -> std::io::Result<Option<Digest>> {
    match fs_err::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        opened => Ok(Some(Digest::of_reader(&mut opened?)?)),
    }
}
