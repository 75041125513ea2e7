//! What the name of a key says about its value: `jobImage`, `image.tag`, `DEFAULT_AIRFLOW_TAG`.

/// What a key's value is, judged by the key alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An image, whole or without its tag: `image`, `jobRepository`.
    Image,
    /// The host of an image: `imageRegistry`.
    Registry,
    /// `tag`, `imageTag`.
    Tag,
    /// `version`: a tag, unless it is the version of something else.
    Version,
    /// `digest`, `sha`.
    Digest,
    /// Anything else.
    Other,
}

/// A key's name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyName {
    pub(super) role: Role,
    /// The words that are left without those that tell the role: `job` of `jobImageTag`.
    pub(super) stem: String,
    /// The version of something that is no image: `apiVersion`, `sparkVersion`.
    pub(super) is_of_other: bool,
    /// `tags`, `versions`: lists, labels, or the tags of several images.
    pub(super) is_plural: bool,
}

const REGISTRY: &[&str] = &["registry", "host", "hub"];
const TAG: &[&str] = &["tag", "tags"];
const VERSION: &[&str] = &["version", "versions"];
const DIGEST: &[&str] = &["digest", "sha", "sha256"];
const IMAGE: &[&str] = &[
    "image",
    "images",
    "repository",
    "repositories",
    "repo",
    "repos",
    "img",
];
/// Words that tell nothing of what an image is for.
const FILLERS: &[&str] = &[
    "name",
    "container",
    "docker",
    "oci",
    "uri",
    "url",
    "ref",
    "reference",
    "full",
    "the",
];
/// What has versions of its own beside an image.
const VERSIONED: &[&str] = &[
    "api",
    "spark",
    "pyspark",
    "python",
    "chart",
    "app",
    "kube",
    "kubernetes",
    "k8s",
    "helm",
    "java",
    "jdk",
    "jre",
    "scala",
    "hadoop",
    "hive",
    "delta",
    "iceberg",
    "hudi",
    "kafka",
    "airflow",
    "argo",
    "schema",
    "config",
    "crd",
    "openapi",
    "protocol",
    "product",
    "runtime",
    "operator",
    "os",
    "debian",
    "ubuntu",
    "alpine",
    "node",
    "docker",
    "registry",
    "container",
    "compose",
    "git",
    "tls",
    "ssl",
    "min",
    "max",
    "minimum",
    "maximum",
    "target",
    "terraform",
    "dbt",
    "release",
];

impl KeyName {
    pub(super) fn of(key: &str) -> Self {
        let words = words(key);
        let is_in = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let role = match () {
            () if is_in(DIGEST) => Role::Digest,
            () if is_in(TAG) => Role::Tag,
            () if is_in(VERSION) => Role::Version,
            () if is_in(REGISTRY) => Role::Registry,
            () if is_in(IMAGE) => Role::Image,
            () => Role::Other,
        };
        let tells_nothing = |word: &&String| {
            [REGISTRY, TAG, VERSION, DIGEST, IMAGE, FILLERS]
                .iter()
                .any(|list| list.contains(&word.as_str()))
        };
        let stem: Vec<&str> = words
            .iter()
            .filter(|word| !tells_nothing(word))
            .map(String::as_str)
            .collect();
        let is_versioned = |word: &String| VERSIONED.contains(&word.as_str());
        let is_of_image = words.iter().any(|word| word == "image");
        let is_of_other = role == Role::Version && !is_of_image && words.iter().any(is_versioned);
        Self {
            role,
            stem: stem.join("_"),
            is_of_other,
            is_plural: is_in(&["tags", "versions"]),
        }
    }
}

/// Whether a key holds a word in any case.
pub(super) fn has_word(key: &str, word: &str) -> bool {
    let mut parts = key.as_bytes().windows(word.len());
    parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// The words of a key in lower case: it is split where its writing does, and an ending that tells a role is a word of
/// its own even where nothing separates it: `imagetag`.
fn words(key: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for character in key.chars() {
        let begins = character.is_uppercase() && !before.is_uppercase();
        if (begins || !character.is_alphanumeric()) && !word.is_empty() {
            words.extend(compound(&std::mem::take(&mut word)));
        }
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
        before = character;
    }
    words.extend(compound(&word));
    words
}

/// Splits the roles that end a word from what comes before them.
fn compound(word: &str) -> Vec<String> {
    const ENDINGS: &[&str] = &[
        "repository",
        "registry",
        "version",
        "digest",
        "image",
        "repo",
        "tag",
    ];
    let mut rest = word;
    let mut ends: Vec<String> = Vec::new();
    while let Some(ending) = ENDINGS.iter().find(|ending| rest.ends_with(**ending)) {
        rest = &rest[..rest.len() - ending.len()];
        ends.push((*ending).to_owned());
    }
    let first = (!rest.is_empty()).then(|| rest.to_owned());
    first.into_iter().chain(ends.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_what_their_values_are() {
        for (key, role, stem) in [
            ("image", Role::Image, ""),
            ("imageName", Role::Image, ""),
            ("repo", Role::Image, ""),
            ("image.repository", Role::Image, ""),
            ("jobImage", Role::Image, "job"),
            ("job_image_repository", Role::Image, "job"),
            ("defaultAirflowRepository", Role::Image, "default_airflow"),
            ("defaultAirflowTag", Role::Tag, "default_airflow"),
            ("DEFAULT_AIRFLOW_TAG", Role::Tag, "default_airflow"),
            ("imageTag", Role::Tag, ""),
            ("imagetag", Role::Tag, ""),
            ("jobtag", Role::Tag, "job"),
            ("tagOfTheJob", Role::Tag, "of_job"),
            ("image-tag-job", Role::Tag, "job"),
            ("imageVersion", Role::Version, ""),
            ("jobVersion", Role::Version, "job"),
            ("sha", Role::Digest, ""),
            ("imageSHA256", Role::Digest, ""),
            ("imageRegistry", Role::Registry, ""),
            ("vintage", Role::Other, "vintage"),
            ("", Role::Other, ""),
        ] {
            let name = KeyName::of(key);
            assert_eq!((name.role, name.stem.as_str()), (role, stem), "{key}");
            assert!(!name.is_of_other, "{key}");
        }
    }

    #[test]
    fn versions_of_other_things_are_known() {
        for key in [
            "apiVersion",
            "sparkVersion",
            "python_version",
            "chart.version",
            "appVersion",
            "minSparkVersion",
            "dockerVersion",
            "CONTAINER_VERSION",
        ] {
            assert!(KeyName::of(key).is_of_other, "{key}");
        }
    }
}
