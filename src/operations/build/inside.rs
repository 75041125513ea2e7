//! Whether an image really is of its platform: by its config, and by the machine of a program in it.

use crate::{
    adapters::{cache::CacheKind, destination::Programs, digest_cache, store},
    error::{Error, ImageProblem},
    image::{ImageInfo, Platform, Program},
    operations::workspace::Session,
};

/// What the cache has for an image without programs.
const NONE: &str = "none";

/// Looks into images. Each is looked into once: the cache has what was found, by the image ID.
#[derive(Clone, Copy)]
pub(crate) struct Inside<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) daemon: &'a dyn Programs,
}

impl Inside<'_> {
    /// Refuses the image `name` unless it is for `platform`. Returns whether a program in it says so too: an image
    /// that has none says nothing about those that are built on it.
    ///
    /// # Errors
    /// It is for another platform, or the daemon does not answer.
    pub(crate) fn refuse_foreign(
        &self,
        name: &str,
        image: &ImageInfo,
        platform: &Platform,
    ) -> Result<bool, Error> {
        let refused = |problem| Error::UnexpectedImage {
            reference: name.to_owned(),
            problem,
        };
        if image.platform != *platform {
            return Err(refused(ImageProblem::OtherPlatform {
                wanted: platform.clone(),
                there: image.platform.clone(),
            }));
        }
        match self.program(image)? {
            None => Ok(false),
            Some(program) if program.runs_on(platform) => Ok(true),
            Some(program) => Err(refused(ImageProblem::OtherPrograms {
                wanted: platform.clone(),
                program,
            })),
        }
    }

    fn program(&self, image: &ImageInfo) -> Result<Option<Program>, Error> {
        let file = self
            .session
            .cache
            .entry(CacheKind::Programs, image.id.hex());
        // What another user has put there may be a lie.
        let known = digest_cache::own_bytes(&file).and_then(|bytes| String::from_utf8(bytes).ok());
        let known = known.unwrap_or_default();
        if known == NONE {
            return Ok(None);
        }
        if let Some(program) = parse(&known) {
            return Ok(Some(program));
        }
        let found = self.daemon.program(image)?;
        let text = match &found {
            None => NONE.to_owned(),
            Some(program) => format!("{} {}", program.machine, program.path),
        };
        store::replace_unsynced(&file, text.as_bytes())?;
        Ok(found)
    }
}

/// The program in a file of the cache; `None` if it is damaged.
fn parse(text: &str) -> Option<Program> {
    let (machine, path) = text.split_once(' ')?;
    let (machine, path) = (machine.parse().ok()?, path.to_owned());
    Some(Program { path, machine })
}
