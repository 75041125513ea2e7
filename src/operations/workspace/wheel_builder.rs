//! Wheels that no index has: they are built from their sources in containers, so operations further up make them, and
//! everybody finds them in the cache.

use std::path::{Path, PathBuf};

use super::{Services, Session};
use crate::{
    adapters::{cache::CacheKind, python::metadata_of, store},
    error::{Error, WheelBuildError},
    image::Digest,
    operations::events::{Progress, Step},
    project::{
        Image,
        lock::Lock,
        requirements::{BuiltFrom, PackageOrigins},
        wheel::{Target, WheelName},
    },
};

/// The number must change with the way in which wheels are built.
const BUILT: &str = "built wheel 1";

/// Builds wheels.
pub(crate) trait WheelBuilder: Sync {
    /// Builds the wheel of a source, and puts it into `folder`.
    fn build(
        &self,
        run: (&Session<'_>, &Services<'_>),
        order: &WheelOrder<'_>,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Error>;
}

/// A wheel that is wanted.
#[derive(Clone, Copy)]
pub(crate) struct WheelOrder<'a> {
    /// The image that needs it.
    pub(crate) image: &'a Image,
    /// The package's normalised name.
    pub(crate) package: &'a str,
    pub(crate) source: &'a BuiltFrom,
    /// Where the source distribution is, if that is known.
    pub(crate) url: Option<&'a str>,
    pub(crate) target: &'a Target,
    /// What images are made from.
    pub(crate) lock: &'a Lock,
    /// Where the requirements say that packages come from.
    pub(crate) origins: Option<&'a PackageOrigins>,
}

/// A wheel that was built.
pub(crate) struct BuiltWheel {
    pub(crate) file: PathBuf,
    pub(crate) wheel: WheelName,
    pub(crate) sha256: Digest,
    /// What it needs, as values of `Requires-Dist`.
    pub(crate) needs: Vec<String>,
}

impl WheelOrder<'_> {
    /// A digest of everything that decides which wheel it is, as far as that can be known.
    fn key(&self) -> Digest {
        let Target {
            python: (major, minor),
            platform,
            glibc,
        } = self.target;
        let packages = &self.image.wheel_builds.packages;
        Digest::of_fields([
            BUILT,
            self.package,
            &self.source.to_string(),
            &format!("{major}.{minor} {platform} {}.{}", glibc.0, glibc.1),
            &packages.join(" "),
        ])
    }

    /// The error of a build that did not succeed.
    pub(crate) fn failed(&self, output: Vec<String>, message: impl Into<String>) -> Error {
        WheelBuildError::Failed {
            package: self.package.to_owned(),
            from: self.source.to_string(),
            output,
            message: message.into(),
        }
        .into()
    }
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
            // A wheel of another package is told before it is kept.
            read(&made, order)?;
            store::move_folder(&made, &folder)?;
            read(&folder, order)?.ok_or_else(|| order.failed(Vec::new(), "no wheel came out of it"))
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
