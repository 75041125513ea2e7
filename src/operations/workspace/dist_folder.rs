//! The folder `dist` of a project, which holds only what sparkpack makes.

use std::path::{Path, PathBuf};

use crate::{
    adapters::store::{self, TemporaryFolder},
    error::Error,
    project::Package,
};

/// `dist`, and where in it things lie.
#[derive(Clone, Debug)]
pub(crate) struct DistFolder {
    root: PathBuf,
}

impl DistFolder {
    /// Where records are kept, below the project.
    pub(crate) const RECORDS: &'static str = "dist/records";

    /// That of the project in `root`.
    pub(crate) fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// The folder that a job is packed into: `dist` itself, or one in it.
    pub(crate) fn job(&self, package: &Package) -> PathBuf {
        self.root.join(&package.dist)
    }

    /// What was made, for other programs.
    pub(crate) fn images_json(&self) -> PathBuf {
        self.folder().join("images.json")
    }

    /// The folder of records.
    pub(crate) fn records(&self) -> PathBuf {
        self.root.join(Self::RECORDS)
    }

    /// What is made is not committed, unless a person has said otherwise in `dist` itself.
    pub(crate) fn keep_out_of_git(&self) -> Result<(), Error> {
        let file = self.folder().join(".gitignore");
        if file.exists() {
            return Ok(());
        }
        Ok(store::replace(&file, b"*\n")?)
    }

    /// A folder to make a part of a job in, beside what it replaces.
    pub(crate) fn unfinished(&self, package: &Package) -> Result<TemporaryFolder, Error> {
        Ok(TemporaryFolder::within(&self.job(package))?)
    }

    /// Takes away what killed runs have left unfinished in it and in its folders.
    pub(crate) fn sweep(&self) {
        let dist = self.folder();
        store::sweep(&dist);
        for entry in fs_err::read_dir(&dist).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                store::sweep(&entry.path());
            }
        }
    }
}
