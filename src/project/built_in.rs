//! The built-in recipes, found by digest: a project's lock names the ones that it uses.

use crate::image::{Digest, Hasher};

/// A recipe that is part of sparkpack: a Dockerfile with the files beside it, or the requirements of an image that only
/// gets files.
#[derive(Debug)]
pub struct BuiltInRecipe {
    /// `base`, `py`, `ds` or `operator`.
    pub name: &'static str,
    /// The Dockerfile's text; `None` for an image that only gets files.
    pub dockerfile: Option<&'static str>,
    /// The files that the Dockerfile copies.
    pub files: &'static [BuiltInFile],
    /// The requirements file of an image with packages.
    pub requirements: Option<&'static str>,
    /// The packages in it that an image above has to agree with; the others came along with these.
    pub asked: &'static [&'static str],
}

/// A file beside a built-in Dockerfile.
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
        dockerfile: Some(include_str!("../../dockerfiles/base/Dockerfile")),
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
        asked: &[],
    },
    BuiltInRecipe {
        name: "py",
        dockerfile: Some(include_str!("../../dockerfiles/py/Dockerfile")),
        files: &[],
        requirements: None,
        asked: &[],
    },
    BuiltInRecipe {
        name: "ds",
        dockerfile: None,
        files: &[],
        requirements: Some(include_str!("../../dockerfiles/ds/requirements.txt")),
        asked: &["numpy", "pandas", "pyarrow"],
    },
    BuiltInRecipe {
        name: "operator",
        dockerfile: Some(include_str!("../../dockerfiles/operator/Dockerfile")),
        files: &[],
        requirements: None,
        asked: &[],
    },
    BuiltInRecipe {
        name: "py",
        dockerfile: Some(include_str!("../../dockerfiles/py-2/Dockerfile")),
        files: &[],
        requirements: None,
        asked: &[],
    },
];

impl BuiltInRecipe {
    /// The digest of all its files: each path and each content, with its length before it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        let mut add = |path: &str, text: &str| {
            hasher.update(format!("{}:{path},{}:", path.len(), text.len()).as_bytes());
            hasher.update(text.as_bytes());
        };
        if let Some(dockerfile) = self.dockerfile {
            add("Dockerfile", dockerfile);
        }
        self.files.iter().for_each(|file| add(file.path, file.text));
        self.requirements
            .iter()
            .for_each(|text| add("requirements.txt", text));
        hasher.finish()
    }
}

/// The newest built-in recipe of this name.
#[must_use]
pub fn newest(name: &str) -> Option<&'static BuiltInRecipe> {
    BUILT_IN.iter().rev().find(|built_in| built_in.name == name)
}

/// The built-in recipe of this name that has the given digest.
#[must_use]
pub fn locked(name: &str, digest: &Digest) -> Option<&'static BuiltInRecipe> {
    BUILT_IN
        .iter()
        .find(|built_in| built_in.name == name && built_in.digest() == *digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every built-in recipe that was ever published. Lines are only ever added: a project whose lock names one of
    /// these must still build with any later sparkpack that reads the lock's format.
    const PUBLISHED: [(&str, &str); 5] = [
        (
            "base",
            "590ec803e5abc198bbd3a6683f95b41dd26a1d185661c63d48567ac965839943",
        ),
        (
            "py",
            "4422ebc43fe593ce980f7c9c46d9171a1873b7e99f63673f37a45d272bad3c6a",
        ),
        (
            "ds",
            "1b01598ba388b5711a452124677a7ad77706a63d5b7f785a1c5398a2281efc47",
        ),
        (
            "operator",
            "5bc1ae96253d781199c5dd4b1a91a12e5a3275748623e6fed224d0b66931b8c2",
        ),
        (
            "py",
            "48e6eb0b498ec68a89534ffa2b50e5ced43b40c256f884617ca3a8002c9e2006",
        ),
    ];

    #[test]
    fn every_published_recipe_is_carried_as_it_was() {
        for (name, hex) in PUBLISHED {
            let digest: Digest = format!("sha256:{hex}").parse().unwrap();
            let found = locked(name, &digest).map(|built_in| built_in.name);
            assert_eq!(
                found,
                Some(name),
                "the published recipe `{name}` ({hex}) is no longer there: put the files under dockerfiles/{name}/ back as \
                 they were, copy the changed ones into a folder of their own (dockerfiles/{name}-2/), and add that as a \
                 further recipe `{name}` at the end of BUILT_IN"
            );
        }
    }

    #[test]
    fn every_recipe_that_is_carried_is_among_the_published() {
        for recipe in &BUILT_IN {
            let (name, digest) = (recipe.name, recipe.digest());
            let is_published = PUBLISHED.contains(&(name, digest.hex()));
            assert!(
                is_published,
                "the recipe `{name}` is new: add (\"{name}\", \"{}\") at the end of PUBLISHED, and take no line away",
                digest.hex()
            );
        }
    }

    #[test]
    fn the_newest_of_a_name_is_the_last() {
        for recipe in &BUILT_IN {
            let last = BUILT_IN.iter().rfind(|other| other.name == recipe.name);
            let digest = |recipe: Option<&BuiltInRecipe>| recipe.map(BuiltInRecipe::digest);
            assert_eq!(digest(newest(recipe.name)), digest(last));
        }
        assert!(newest("nothing").is_none());
        assert!(locked("base", &Digest::of(b"another")).is_none());
        let base = newest("base").unwrap().digest();
        assert!(
            locked("py", &base).is_none(),
            "a digest counts with its name"
        );
    }

    static ONE: [BuiltInFile; 1] = [BuiltInFile {
        path: "a",
        text: "b",
        executable: false,
    }];
    static OTHER: [BuiltInFile; 1] = [BuiltInFile {
        path: "ab",
        text: "",
        executable: false,
    }];

    #[test]
    fn a_byte_anywhere_is_another_recipe() {
        let recipe = |dockerfile, files, requirements| BuiltInRecipe {
            asked: &[],
            name: "x",
            dockerfile: Some(dockerfile),
            files,
            requirements,
        };
        let recipes = [
            recipe("FROM a", &[], None),
            recipe("FROM a ", &[], None),
            recipe("FROM a", &ONE, None),
            recipe("FROM a", &OTHER, None),
            recipe("FROM a", &[], Some("")),
            recipe("FROM a", &[], Some("six")),
        ];
        let digests: std::collections::BTreeSet<Digest> =
            recipes.iter().map(BuiltInRecipe::digest).collect();
        assert_eq!(digests.len(), recipes.len());
    }
}
