//! The paths in the images' folders that are no inputs of the images.

use std::collections::BTreeMap;

use super::prepare::Prepared;
use crate::{
    error::Error,
    operations::workspace::Session,
    project::{
        exclusions::NeverContext,
        left_out::{self, Folder},
    },
};

/// For each of `targets` and their parents: the paths that are no inputs, each with the rule that excludes it.
pub(crate) fn left_out(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> Result<BTreeMap<String, Vec<Folder>>, Error> {
    let project = &session.project;
    let never = NeverContext::of(project);
    let mut left_out = BTreeMap::new();
    for name in prepared.plan.with_parents(targets) {
        let stage = &prepared.plan.stages[&name];
        let context = stage.inputs.recipe.files();
        let folders = left_out::of(project, &stage.image, context, &never)?;
        left_out.insert(name, folders);
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{
        resolution::prepare,
        testing::{Project, Recorder},
        workspace::{LockPolicy, Services},
    };

    /// What is left out of `job` and `base` if `change` changes the project after the plan was made.
    fn after(
        project: &Project,
        change: impl FnOnce(),
    ) -> Result<BTreeMap<String, Vec<Folder>>, Error> {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let prepared = prepare(&session, &services).unwrap();
        change();
        left_out(&session, &prepared, &["job".to_owned()])
    }

    #[test]
    fn what_no_instruction_copies_is_left_out_of_each_image() {
        let project = Project::small();
        project.write("notes.txt", "");
        let left_out = after(&project, || ()).unwrap();
        let names: Vec<&String> = left_out.keys().collect();
        assert_eq!(names, ["base", "job"], "what it stands on as well");
        let paths = |image: &str| -> Vec<&str> {
            let paths = left_out[image].iter().flat_map(|folder| &folder.paths);
            paths.map(|(path, _)| path.as_str()).collect()
        };
        assert!(paths("base").contains(&"notes.txt"));
        assert!(!paths("base").contains(&"base.txt"), "which is copied");
        assert!(paths("job").contains(&"base.txt"));
    }

    #[test]
    fn rules_that_cannot_be_read_are_an_error() {
        let project = Project::small();
        let broken = after(&project, || {
            fs_err::write(project.path(".dockerignore"), b"\xff").unwrap();
        });
        assert!(matches!(broken, Err(Error::Defect(_))), "{broken:?}");
    }
}
