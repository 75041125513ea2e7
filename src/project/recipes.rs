//! The built-in recipes, carried by digest: a project's lock names the one it uses.

use crate::image::{Digest, Hasher};

/// A recipe that is part of sparkpack: a Dockerfile and the files beside it.
#[derive(Debug)]
pub struct BuiltInRecipe {
    /// `base`, `py`, `ds`, `operator` or `job`.
    pub name: &'static str,
    /// The Dockerfile's text.
    pub dockerfile: &'static str,
    /// The files that the Dockerfile copies.
    pub files: &'static [BuiltInFile],
    /// The recipe's own requirements file, where it installs packages.
    pub requirements: Option<&'static str>,
}

/// A file of a built-in recipe.
#[derive(Debug)]
pub struct BuiltInFile {
    /// Its path in the build context.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
    /// 0755 rather than 0644.
    pub executable: bool,
}

/// Every published built-in recipe; the newest of a name comes last.
pub static BUILT_IN: [BuiltInRecipe; 5] = [
    BuiltInRecipe {
        name: "base",
        dockerfile: include_str!("../../dockerfiles/base/Dockerfile"),
        files: &[
            BuiltInFile {
                path: "decom.sh",
                text: include_str!("../../dockerfiles/base/decom.sh"),
                executable: true,
            },
            BuiltInFile {
                path: "entrypoint.sh",
                text: include_str!("../../dockerfiles/base/entrypoint.sh"),
                executable: true,
            },
        ],
        requirements: None,
    },
    BuiltInRecipe {
        name: "py",
        dockerfile: include_str!("../../dockerfiles/py/Dockerfile"),
        files: &[],
        requirements: None,
    },
    BuiltInRecipe {
        name: "ds",
        dockerfile: include_str!("../../dockerfiles/ds/Dockerfile"),
        files: &[],
        requirements: Some(include_str!("../../dockerfiles/ds/requirements.txt")),
    },
    BuiltInRecipe {
        name: "operator",
        dockerfile: include_str!("../../dockerfiles/operator/Dockerfile"),
        files: &[],
        requirements: None,
    },
    BuiltInRecipe {
        name: "job",
        dockerfile: include_str!("../../dockerfiles/job/Dockerfile"),
        files: &[],
        requirements: None,
    },
];

impl BuiltInRecipe {
    /// The digest of all of the recipe's files, each with its path and its length before it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        let mut add = |path: &str, text: &str| {
            hasher.update(format!("{}:{path},{}:", path.len(), text.len()).as_bytes());
            hasher.update(text.as_bytes());
        };
        add("Dockerfile", self.dockerfile);
        self.files.iter().for_each(|file| add(file.path, file.text));
        self.requirements
            .iter()
            .for_each(|text| add("requirements.txt", text));
        hasher.finish()
    }
}

/// The newest recipe of a name.
#[must_use]
pub fn newest(name: &str) -> Option<&'static BuiltInRecipe> {
    BUILT_IN.iter().rev().find(|recipe| recipe.name == name)
}

/// The recipe of a name that has the given digest.
#[must_use]
pub fn locked(name: &str, digest: &Digest) -> Option<&'static BuiltInRecipe> {
    BUILT_IN
        .iter()
        .find(|recipe| recipe.name == name && recipe.digest() == *digest)
}
