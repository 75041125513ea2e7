//! Everything that is read of a project before anything is decided.

use std::path::Path;

use super::{
    commands::Commands,
    dockerfiles::Dockerfiles,
    manifests::{self, Manifest},
    metadata::Metadata,
    modules::Modules,
    requirements::RequirementsFiles,
    tree::ProjectTree,
};
use crate::adapters::git;

/// What stands in the files of a project.
pub(super) struct ProjectSurvey {
    pub(super) tree: ProjectTree,
    pub(super) commands: Commands,
    pub(super) dockerfiles: Dockerfiles,
    pub(super) modules: Modules,
    pub(super) manifests: Vec<Manifest>,
    /// YAML files that are none, and that hold nothing of the project.
    pub(super) broken: Vec<String>,
    /// YAML files that may name images under keys of their own.
    pub(super) others: Vec<String>,
    pub(super) requirements: RequirementsFiles,
    pub(super) metadata: Metadata,
    /// The name of the repository that git has as a remote.
    pub(super) remote: Option<String>,
}

impl ProjectSurvey {
    pub(super) fn of(root: &Path) -> std::io::Result<Self> {
        let tree = ProjectTree::of(root)?;
        let commands = Commands::of(&tree);
        let dockerfiles = Dockerfiles::of(&tree, &commands.builds);
        let named = commands.installed.iter().map(|(_, file, _)| file.clone());
        let requirements = RequirementsFiles::of(&tree, &named.collect::<Vec<_>>());
        let (manifests, broken, others) = manifests::read(&tree);
        Ok(Self {
            modules: Modules::of(&tree)?,
            manifests,
            broken,
            others,
            metadata: Metadata::of(&tree),
            remote: git::remote(&tree.root),
            commands,
            dockerfiles,
            requirements,
            tree,
        })
    }
}
