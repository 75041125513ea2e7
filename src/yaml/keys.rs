//! The keys that have a meaning wherever they stand.

/// The merge key of YAML 1.1, which Kubernetes' own readers follow.
pub(super) const MERGE: &str = "<<";

/// The list of objects that `kubectl get -o yaml` writes.
pub(super) const ITEMS: &str = "items";

/// The keys of an entry of kustomize's `images`.
pub(super) const KUSTOMIZE_KEYS: [&str; 4] = ["name", "newName", "newTag", "digest"];

/// The key of an entry of kustomize's `images` that says what comes behind the tag.
pub(super) const TAG_SUFFIX: &str = "tagSuffix";

/// The keys by which Helm's values name an image: whole, or in parts.
pub(super) const PART_KEYS: [&str; 5] = ["image", "registry", "repository", "tag", "digest"];

/// The keys of an image in parts, in the order of a reference.
pub(super) const VALUES: [&str; 4] = ["registry", "repository", "tag", "digest"];

/// The keys below which an object holds the values of a chart.
pub(super) const CHART_VALUES: &[&str] = &["values", "valuesInline", "valuesObject"];
