//! Reads `pyproject.toml` and the locks of other tools.

use std::{collections::BTreeSet, path::Path};

use toml::de::DeTable;

use super::{
    Requirement, Requirements, RequirementsFile,
    found::Foreign,
    kind::FileKind,
    load::{decode, load},
    pipfile, poetry_lock, pylock,
    pyproject::{self, PyProject},
    read::contradictions,
    tree::FileText,
    uv_lock,
};
use crate::{
    code::Code,
    project::place::{Defect, Place},
};

/// The size limit of a lock, in bytes: those of the largest projects have some MiB.
const SIZE_LIMIT: u64 = 64 << 20;

pub(super) fn read(
    root: &Path,
    chosen: &RequirementsFile,
    kind: FileKind,
) -> Result<Requirements, Vec<Defect>> {
    let file = Path::new(&chosen.path);
    let unreadable = |reason: String| {
        let message = format!("cannot be read: {reason}");
        Defect::new(Code::E040, Place::of_line(file, 1), message)
            .hint("create the file, or correct `requirements` in sparkpack.toml")
    };
    let bytes = load(root, file, SIZE_LIMIT).map_err(|reason| vec![unreadable(reason)])?;
    let text = decode(file, &bytes).map_err(|defect| vec![defect])?;
    let mut foreign = Foreign {
        root,
        text: FileText { file, text },
        chosen,
        found: Requirements::empty(chosen),
        asked: None,
        defects: Vec::new(),
    };
    foreign.found.files.push(file.to_owned());
    foreign.found.is_complete = kind != FileKind::PyProject;
    let project = match kind {
        FileKind::UvLock | FileKind::PoetryLock | FileKind::PyLock => {
            MadeFrom::load(root, file, pyproject::FILE_NAME)
        }
        FileKind::PipfileLock => MadeFrom::load(root, file, pipfile::FILE_NAME),
        FileKind::Lines | FileKind::PyProject => None,
    };
    if let Some(project) = &project {
        foreign.found.files.push(project.file.clone());
    }
    match foreign.dispatch(kind, project.as_ref()) {
        Ok(()) => {}
        Err(defect) => foreign.defects.push(defect),
    }
    foreign.end()
}

/// The file beside a lock from which the lock was made.
struct MadeFrom {
    file: std::path::PathBuf,
    bytes: Vec<u8>,
}

impl MadeFrom {
    fn load(root: &Path, lock: &Path, name: &str) -> Option<Self> {
        let file = lock.with_file_name(name);
        let bytes = load(root, &file, SIZE_LIMIT).ok()?;
        Some(Self { file, bytes })
    }

    fn text(&self) -> Result<FileText<'_>, Defect> {
        let text = decode(&self.file, &self.bytes)?;
        Ok(FileText {
            file: &self.file,
            text,
        })
    }
}

impl Foreign<'_> {
    fn dispatch(&mut self, kind: FileKind, project: Option<&MadeFrom>) -> Result<(), Defect> {
        if kind == FileKind::PipfileLock {
            let text = project.map(MadeFrom::text).transpose()?;
            let table = text.as_ref().map(FileText::parse).transpose()?;
            let pipfile = text.zip(table.as_ref().map(serde_spanned::Spanned::get_ref));
            return pipfile::read(self, pipfile);
        }
        let text = self.text;
        let table = text.parse()?;
        let table: &DeTable<'_> = table.get_ref();
        if kind == FileKind::PyProject {
            let project = PyProject::new(text, table, &mut self.defects);
            self.found.python = project.python();
            let wanted = project.chosen(self.chosen, &mut self.defects);
            self.found.origins = project.origins;
            for wanted in wanted {
                self.add(wanted);
            }
            return Ok(());
        }
        if kind == FileKind::PyLock {
            pylock::read(self, table)?;
            self.asked = project.and_then(|project| asked_beside(project, &self.found));
            return Ok(());
        }
        let text = project.map(MadeFrom::text).transpose()?;
        let of_project = text.as_ref().map(FileText::parse).transpose()?;
        let project = text.zip(of_project.as_ref());
        let project =
            project.map(|(text, table)| PyProject::new(text, table.get_ref(), &mut self.defects));
        if let Some(project) = &project {
            self.found.origins = project.origins.clone();
        }
        if kind == FileKind::UvLock {
            return uv_lock::read(self, table, project.as_ref());
        }
        poetry_lock::read(self, table, project.as_ref())
    }

    fn end(mut self) -> Result<Requirements, Vec<Defect>> {
        self.defects.extend(contradictions(&self.found.wanted));
        if self.defects.is_empty() {
            self.found.along = self.only_along();
            Ok(self.found)
        } else {
            Err(self.defects)
        }
    }
}

/// What the project beside a pylock.toml asks for, in whichever extra or group. `None` if that is no readable file, or if
/// it requires what is not locked: the lock was made from something else then.
fn asked_beside(project: &MadeFrom, locked: &Requirements) -> Option<BTreeSet<String>> {
    let text = project.text().ok()?;
    let table = text.parse().ok()?;
    let mut defects = Vec::new();
    let project = PyProject::new(text, table.get_ref(), &mut defects);
    let required = project.dependencies(&mut defects);
    let is_locked = |wanted: &Requirement| locked.names().any(|(name, _)| name == wanted.name);
    let all_locked = required
        .iter()
        .all(|wanted| wanted.marker.is_some() || is_locked(wanted));
    if required.is_empty() || !all_locked || !defects.is_empty() {
        return None;
    }
    let anywhere = project.named_anywhere(&mut defects);
    defects.is_empty().then_some(anywhere)
}
