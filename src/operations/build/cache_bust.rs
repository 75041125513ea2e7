//! `lock --refresh`: the first build of a new revision does not use the builder's cache.
//!
//! The builder's cache on a machine may hold the steps that the revision is to replace, until the image has been built
//! there once without the cache. From then on the cached steps are those of the new revision, and may be reused when
//! another input changes. The cache of sparkpack notes these builds by builder and project; if the note is lost,
//! one more build is made without the builder's cache.

use std::path::PathBuf;

use crate::{
    adapters::{builder::Builder, cache::CacheKind, store},
    error::Error,
    image::Digest,
    operations::workspace::Session,
    project::lock::Lock,
};

/// A revision of an image, as one builder's cache knows it.
pub(crate) struct CacheBust {
    /// The note that it was built; `None` if the image has no revision.
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

    /// Whether a build must not use the builder's cache.
    pub(crate) fn is_needed(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| !mark.exists())
    }

    /// It was built.
    pub(crate) fn done(&self) -> Result<(), Error> {
        match &self.mark {
            Some(mark) if !mark.exists() => Ok(store::replace(mark, b"")?),
            _ => Ok(()),
        }
    }
}
