//! What is in an image: whether it really is of its platform, by its config and by the machine of a program in it, and
//! which Python it has.

use crate::{
    adapters::{cache::CacheKind, destination::Programs, digest_cache, store},
    error::{Error, ImageProblem},
    image::{ImageInfo, ImagePython, Platform, Program},
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
        Error::check_platform(&name, platform, &image.platform)?;
        match self.program(image)? {
            None => Ok(false),
            Some(program) if program.runs_on(platform) => Ok(true),
            Some(program) => {
                let wanted = platform.clone();
                let problem = ImageProblem::OtherPrograms { wanted, program };
                Err(Error::unexpected(&name, problem))
            }
        }
    }

    /// The Python of an image, once its distribution's is installed.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub(crate) fn python(&self, image: &ImageInfo) -> Result<ImagePython, Error> {
        let name = format!("{}-python", image.id.hex());
        if let Some(known) = self.known(&name).as_deref().and_then(parse_python) {
            return Ok(known);
        }
        let found = self.daemon.python(image)?;
        self.keep(&name, &python_text(&found))?;
        Ok(found)
    }

    fn program(&self, image: &ImageInfo) -> Result<Option<Program>, Error> {
        if !self.daemon.has_layers(image) {
            return Ok(None);
        }
        let name = image.id.hex();
        let known = self.known(name).unwrap_or_default();
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
        self.keep(name, &text)?;
        Ok(found)
    }

    /// What the cache has under a name.
    fn known(&self, name: &str) -> Option<String> {
        let file = self.session.cache.entry(CacheKind::Programs, name);
        // What another user has put there may be a lie.
        String::from_utf8(digest_cache::own_bytes(&file)?).ok()
    }

    fn keep(&self, name: &str, text: &str) -> Result<(), Error> {
        let file = self.session.cache.entry(CacheKind::Programs, name);
        Ok(store::replace_unsynced(&file, text.as_bytes())?)
    }
}

/// The program in a file of the cache; `None` if it is damaged.
fn parse(text: &str) -> Option<Program> {
    let (machine, path) = text.split_once(' ')?;
    let (machine, path) = (machine.parse().ok()?, path.to_owned());
    Some(Program { path, machine })
}

fn python_text(python: &ImagePython) -> String {
    match python {
        ImagePython::Program(path) => format!("program {path}"),
        ImagePython::OfDistribution { id, version } => format!("distribution {id} {version}"),
        ImagePython::Unknown => NONE.to_owned(),
    }
}

/// The reverse of [`python_text`]; `None` if the text is damaged.
fn parse_python(text: &str) -> Option<ImagePython> {
    if text == NONE {
        return Some(ImagePython::Unknown);
    }
    match text.split_once(' ')? {
        ("program", path) if path.starts_with('/') => Some(ImagePython::Program(path.to_owned())),
        ("distribution", rest) => {
            let (id, version) = rest.split_once(' ')?;
            let (id, version) = (id.to_owned(), version.to_owned());
            Some(ImagePython::OfDistribution { id, version })
        }
        _ => None,
    }
}
