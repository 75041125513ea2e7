//! `lock --refresh`: the first build of a new revision does not use the builder's cache.
//!
//! `lock --refresh` is for steps whose result changes although no input does, such as `apt-get upgrade`. A builder's
//! cache still has the old results, so the first build of a new revision must not use it. Afterwards the cache has the
//! new results, and later builds may use them. A marker file in sparkpack's cache notes this first build, for each
//! builder, project, image and revision. If the marker is lost, one more build runs without the builder's cache.

use std::path::PathBuf;

use crate::{
    adapters::{builder::Builder, cache::CacheKind, store},
    error::Error,
    image::Digest,
    operations::workspace::Session,
    project::lock::Lock,
};

/// Whether a builder has built the current revision of an image.
pub(crate) struct CacheBust {
    /// The marker file, which exists once the revision was built; `None` if the image has no revision.
    mark: Option<PathBuf>,
}

impl CacheBust {
    pub(crate) fn of(
        session: &Session<'_>,
        builder: &dyn Builder,
        lock: &Lock,
        image: &str,
    ) -> Result<Self, Error> {
        let Some(revision) = lock.revisions.get(image) else {
            return Ok(Self { mark: None });
        };
        let root = fs_err::canonicalize(&session.project.root)?;
        let cache_id = builder.cache_id();
        let number = revision.number.to_string();
        let fields: [&[u8]; 5] = [
            cache_id.as_bytes(),
            root.as_os_str().as_encoded_bytes(),
            image.as_bytes(),
            number.as_bytes(),
            revision.reason.as_bytes(),
        ];
        let name = Digest::of_fields(fields);
        let mark = session.cache.entry(CacheKind::Revisions, name.hex());
        Ok(Self { mark: Some(mark) })
    }

    /// Whether the build must run without the builder's cache.
    pub(crate) fn is_needed(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| !mark.exists())
    }

    /// Writes the marker file: the revision was built.
    pub(crate) fn done(&self) -> Result<(), Error> {
        match &self.mark {
            Some(mark) if !mark.exists() => Ok(store::replace(mark, b"")?),
            _ => Ok(()),
        }
    }
}
