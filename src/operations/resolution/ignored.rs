//! Files that git ignores and that go into an image all the same: a password in `src/.env`, or generated code. No other
//! checkout has them.

use std::path::{Path, PathBuf};

use super::input_files::InputFiles;
use crate::{
    adapters::{digest_cache, git},
    code::Code,
    error,
    image::Digest,
    operations::workspace::Session,
    plan::Inputs,
    project::{
        digest_cache::DigestCache,
        ignore::{Digests as _, escaped},
        place::{Defect, Place},
    },
};

/// The number of paths in the warning.
const SHOWN: usize = 5;

/// Warns of the ignored files that go into an image of the project, except those that `untracked` allows. Nothing is
/// told where git cannot be asked.
pub(crate) fn warn_of_ignored(session: &Session<'_>, inputs: &Inputs) {
    let mut files = InputFiles::new(&session.project);
    for (name, inputs) in inputs.iter() {
        if let Some(image) = session.project.images.get(name) {
            files.image(image, inputs);
        }
    }
    let asked = files.files.iter().filter(|(path, used)| {
        used.is_content && !session.project.allows_untracked(files.name(path))
    });
    let asked: Vec<&Path> = asked.map(|(path, _)| path.as_path()).collect();
    let found = AskedFiles::new(session, &files.root, &asked).answer();
    let paths: Vec<String> = found
        .iter()
        .map(|path| escaped(files.name(path).as_os_str()))
        .collect();
    if let Some(warning) = warning(&paths) {
        session.events.warn(&warning);
    }
}

fn warning(paths: &[String]) -> Option<Defect> {
    let first = paths.first()?;
    let message = match paths {
        [_] => "git ignores it, and it goes into an image: no other checkout has it".to_owned(),
        several => format!(
            "git ignores {} files that go into images, and that no other checkout has: {}",
            several.len(),
            error::shown_paths(several, SHOWN).join(", ")
        ),
    };
    let hint = format!(
        "leave it out by `exclude` or `.dockerignore`; if every checkout makes it, allow it by `untracked = [\"{first}\"]` in sparkpack.toml"
    );
    Some(Defect::new(Code::W121, Place::of_line(first, 1), message).hint(hint))
}

/// Which of some files git ignores. That none is ignored is remembered until something changes that decides it, so that
/// git is not started in every run.
struct AskedFiles<'a> {
    root: &'a Path,
    files: &'a [&'a Path],
    /// What decides, and the file that remembers.
    decisive: Option<(Vec<PathBuf>, PathBuf)>,
}

impl<'a> AskedFiles<'a> {
    fn new(session: &Session<'_>, root: &'a Path, files: &'a [&'a Path]) -> Self {
        let decisive = git::what_decides(root, files);
        let kept = digest_cache::file_for(&session.cache, &root.join(".gitignore: none"));
        Self {
            root,
            files,
            decisive: decisive.map(|decisive| (decisive, kept)),
        }
    }

    fn answer(&self) -> Vec<&'a Path> {
        if self.files.is_empty() || self.is_known() {
            return Vec::new();
        }
        let now = digest_cache::now();
        // A git that does not answer has not said that nothing is ignored: the next run asks again.
        let Ok(ignored) = git::ignored(self.root, self.files) else {
            return Vec::new();
        };
        if ignored.is_empty() {
            self.remember(&DigestCache::read(b"", now));
        }
        ignored
    }

    /// The digest of the question: of the files, and of the names of what decides.
    fn key(&self, decisive: &[PathBuf]) -> Digest {
        let files = self.files.iter().copied();
        let all = files
            .chain([Path::new("")])
            .chain(decisive.iter().map(PathBuf::as_path));
        let mut text = Vec::new();
        for path in all {
            text.extend_from_slice(path.as_os_str().as_encoded_bytes());
            text.push(0);
        }
        Digest::of(&text)
    }

    fn is_known(&self) -> bool {
        let known = self
            .decisive
            .as_ref()
            .map(|(decisive, kept)| digest_cache::open(kept).confirm(&self.key(decisive)));
        known.unwrap_or(false)
    }

    fn remember(&self, known: &DigestCache) {
        let Some((decisive, kept)) = &self.decisive else {
            return;
        };
        let key = self.key(decisive);
        for path in decisive {
            if let Ok(metadata) = path.symlink_metadata() {
                known.learn(path, &metadata, &key);
            }
        }
        if !known.has_doubts() {
            digest_cache::keep(kept, known);
        }
    }
}
