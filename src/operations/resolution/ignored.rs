//! Files that git ignores and that go into an image all the same: settings of one machine, or generated code. No other
//! checkout has them.

use std::{panic::resume_unwind, path::Path, thread};

use super::input_files::InputFiles;
use crate::{
    adapters::git,
    code::Code,
    error::{self, Error},
    operations::workspace::Session,
    plan::Inputs,
    project::{
        ignore::escaped,
        place::{Defect, Place},
    },
};

/// The number of paths in the warning.
const SHOWN: usize = 5;

/// Does the work, and meanwhile asks git about the ignored files that go into an image of the project, except those that
/// `untracked` allows. Warns of them if the work is done. Nothing is told where git cannot be asked.
pub(crate) fn warn_beside<R>(
    session: &Session<'_>,
    inputs: &Inputs,
    work: impl FnOnce() -> Result<R, Error>,
) -> Result<R, Error> {
    if git::is_in_no_checkout(&session.project.root) {
        return work();
    }
    let (done, warning) = thread::scope(|scope| {
        let asked = scope.spawn(|| ignored_inputs(session, inputs));
        let done = work();
        let warning = asked.join();
        (done, warning.unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let done = done?;
    if let Some(warning) = &warning {
        session.events.warn(warning);
    }
    Ok(done)
}

fn ignored_inputs(session: &Session<'_>, inputs: &Inputs) -> Option<Defect> {
    let mut files = InputFiles::new(session);
    for (name, inputs) in inputs.iter() {
        if let Some(image) = session.project.images.get(name) {
            files.image(image, inputs);
        }
    }
    let asked = files.files.iter().filter(|(path, used)| {
        used.is_content && !session.project.allows_untracked(&files.name(path))
    });
    let asked: Vec<&Path> = asked.map(|(path, _)| path.as_path()).collect();
    let found = git::ignored(&files.root, &asked).unwrap_or_default();
    let paths: Vec<String> = found
        .iter()
        .map(|path| escaped(files.name(path).as_os_str()))
        .collect();
    warning(&paths)
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
