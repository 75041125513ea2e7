//! The folder `dist` of a project. Everything in it is made by sparkpack.

use std::path::{Path, PathBuf};

use crate::{
    adapters::{layout::ImageLayout, store},
    error::Error,
    project::Package,
};

/// The paths in `dist`.
#[derive(Clone, Debug)]
pub(crate) struct DistFolder {
    root: PathBuf,
}

impl DistFolder {
    /// The folder of records, relative to the project's folder.
    pub(crate) const RECORDS: &'static str = "dist/records";

    /// The OCI layout with the images that were made without a daemon, relative to the project's folder.
    pub(crate) const LAYOUT: &'static str = "dist/oci";

    /// The `dist` of the project in `root`.
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

    /// The list of images for other programs.
    pub(crate) fn images_json(&self) -> PathBuf {
        self.folder().join("images.json")
    }

    /// The OCI layout, which need not be there.
    pub(crate) fn layout(&self) -> ImageLayout {
        ImageLayout::new(self.root.join(Self::LAYOUT))
    }

    /// The folder of records.
    pub(crate) fn records(&self) -> PathBuf {
        self.root.join(Self::RECORDS)
    }

    /// Writes a `.gitignore` that keeps the content of `dist` out of git, unless `dist` already has one.
    pub(crate) fn keep_out_of_git(&self) -> Result<(), Error> {
        let file = self.folder().join(".gitignore");
        if file.exists() {
            return Ok(());
        }
        Ok(store::replace(&file, b"*\n")?)
    }

    /// Removes the unfinished files that killed runs left in `dist` and in the folders directly below it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::Project;

    #[test]
    fn git_is_told_once_to_leave_it_out() {
        let project = Project::new(&[]);
        let dist = DistFolder::of(&project.root());
        dist.keep_out_of_git().unwrap();
        assert_eq!(project.read("dist/.gitignore"), "*\n");
        project.write("dist/.gitignore", "!main.py\n");
        dist.keep_out_of_git().unwrap();
        assert_eq!(project.read("dist/.gitignore"), "!main.py\n");
    }

    #[test]
    fn a_file_in_its_place_is_an_error() {
        let project = Project::new(&[("dist", "a file")]);
        let dist = DistFolder::of(&project.root());
        assert!(matches!(dist.keep_out_of_git(), Err(Error::Io(_))));
        dist.sweep();
        assert_eq!(project.read("dist"), "a file");
    }

    #[test]
    fn only_what_nobody_makes_any_more_is_swept() {
        let project = Project::new(&[
            ("dist/.sparkpack-a", ""),
            ("dist/records/.sparkpack-b", ""),
            ("dist/job/.sparkpack-c/tree/x.py", ""),
            ("dist/job/main.py", ""),
            ("dist/images.json", ""),
        ]);
        let living = store::TemporaryFolder::within(&project.path("dist/job")).unwrap();
        let dist = DistFolder::of(&project.root());
        dist.sweep();
        let walk = walkdir::WalkDir::new(project.path("dist")).sort_by_file_name();
        let left: Vec<PathBuf> = walk
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path != living.path())
            .collect();
        let all = [
            "dist",
            "dist/images.json",
            "dist/job",
            "dist/job/main.py",
            "dist/records",
        ];
        assert_eq!(left, all.map(|path| project.path(path)));
        assert!(living.path().exists());
        assert_eq!(dist.images_json(), left[1]);
        assert_eq!(dist.records(), left[4]);
    }
}
