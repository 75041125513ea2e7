//! What is found in a file of another tool, and what is wrong with it.

use std::{collections::BTreeSet, path::Path};

use super::{
    FilePlace, GitPlace, PythonRange, Requirement, Requirements, RequirementsFile, direct,
    from_source::{as_url, of_source, refuse_login},
    parse::package,
    pieces::Wrong,
    poetry,
    tree::{FileText, TomlValue},
};
use crate::{
    code::Code,
    image::Digest,
    project::{
        place::{Defect, Place},
        wheel::normalise,
    },
};

/// What is found in a file of another tool.
pub(super) struct Foreign<'a> {
    /// The project's folder.
    pub(super) root: &'a Path,
    pub(super) text: FileText<'a>,
    pub(super) chosen: &'a RequirementsFile,
    pub(super) found: Requirements,
    /// The packages that the project itself asks for, by their normalised names; `None` if the files do not tell.
    pub(super) asked: Option<BTreeSet<String>>,
    pub(super) defects: Vec<Defect>,
}

impl Foreign<'_> {
    /// A package at one version that another tool has chosen.
    pub(super) fn pin(
        &mut self,
        (name, version): (&str, &str),
        marker: Option<String>,
        hashes: Vec<Digest>,
        index: Option<String>,
        offset: usize,
    ) {
        match package(&format!("{name}=={version}"), 0) {
            Ok(requirement) => self.found.wanted.push(Requirement {
                marker,
                hashes,
                index,
                place: self.text.place(offset),
                ..requirement
            }),
            Err(wrong) => self.wrong(wrong, offset),
        }
    }

    /// A wheel by its path or URL that another tool has chosen.
    pub(super) fn pin_direct(
        &mut self,
        (name, location): (&str, &str),
        marker: Option<String>,
        hashes: Vec<Digest>,
        offset: usize,
    ) {
        match direct::parse(&format!("{name} @ {location}"), 0) {
            Ok(requirement) => {
                self.add(Requirement {
                    marker,
                    hashes,
                    place: self.text.place(offset),
                    ..requirement
                });
            }
            Err(wrong) => self.wrong(Wrong { offset: 0, ..wrong }, offset),
        }
    }

    /// A commit of a repository that another tool has chosen.
    pub(super) fn pin_commit(
        &mut self,
        name: &str,
        place: GitPlace,
        marker: Option<String>,
        offset: usize,
    ) {
        let place = GitPlace {
            repository: as_url(&place.repository),
            ..place
        };
        if let Err(wrong) = refuse_login(&place.repository, 0) {
            return self.wrong(wrong, offset);
        }
        let place = FilePlace::Git(place);
        let requirement = of_source(normalise(name), Vec::new(), marker, place, Vec::new());
        self.add(Requirement {
            place: self.text.place(offset),
            ..requirement
        });
    }

    /// Adds a requirement, with the file that it may name by its place.
    pub(super) fn add(&mut self, mut requirement: Requirement) {
        let (file, defects) = (self.text.file, &mut self.defects);
        self.found
            .look_for_file(self.root, file, &mut requirement, defects);
        self.found.wanted.push(requirement);
    }

    /// What is locked although the project itself does not ask for it.
    pub(super) fn only_along(&self) -> BTreeSet<String> {
        let names = self.found.names().map(|(name, _)| name.to_owned());
        let asked = self.asked.as_ref();
        names
            .filter(|name| asked.is_some_and(|asked| !asked.contains(name)))
            .collect()
    }

    /// What is wrong at an offset of the file.
    pub(super) fn wrong(&mut self, wrong: Wrong, offset: usize) {
        let defect = Defect::new(wrong.code, self.text.place(offset), wrong.message);
        self.defects.push(Defect {
            hint: wrong.hint,
            ..defect
        });
    }

    /// The defect of a file that is not what its name says.
    pub(super) fn malformed(&self, offset: usize, message: impl Into<String>) -> Defect {
        Defect::new(Code::E162, self.text.place(offset), message)
    }

    /// The range of Pythons in a value of the file.
    pub(super) fn python_range(&self, node: Option<TomlValue<'_>>) -> Option<PythonRange> {
        let node = node?;
        Some(PythonRange {
            text: node.text()?.to_owned(),
            alternatives: poetry::constraint(node.text()?)?,
            place: self.text.place(node.offset),
        })
    }

    /// Tells that the lock no longer fits what it was made from.
    pub(super) fn stale(&mut self, place: Place, message: String, command: &str) {
        let defect = Defect::new(Code::E161, place, message);
        self.defects
            .push(defect.hint(format!("run `{command}`, and commit what it writes")));
    }
}

/// The digests among texts such as `sha256:…`. Other algorithms are left out: a wheel is known by its SHA-256.
pub(super) fn digests<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<Digest> {
    texts.filter_map(|text| text.parse().ok()).collect()
}
