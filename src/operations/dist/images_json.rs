//! `dist/images.json`: the images of the last build or push, for other programs. `docs/images.schema.json` is its
//! schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
    path::PathBuf,
    thread::{self, JoinHandle},
};

use serde::Serialize;

use crate::{
    adapters::{
        git::{self, CheckoutSource},
        store,
    },
    error::Error,
    image::{Digest, ImageInfo, Reference},
    operations::{
        resolution::{self, Prepared},
        workspace::Session,
    },
    plan::Stage,
    project::{
        Registry,
        glob::{self, PathKind},
        pins,
    },
};

/// The version of the document.
const VERSION: u32 = 2;

/// The result for one image of the run.
pub(crate) struct ImageResult {
    pub(crate) name: String,
    pub(crate) reference: Reference,
    /// The digest in the registry, if it is known.
    pub(crate) digest: Option<Digest>,
    pub(crate) id: Digest,
    pub(crate) size: Size,
    pub(crate) action: Action,
}

/// How a build or a push came by an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// It was built in this run.
    Built,
    /// The daemon had it.
    Reused,
    /// The registry had an image with the same inputs, whoever pushed it.
    Adopted,
    /// It was copied out of another registry.
    Copied,
    /// It was neither a target nor needed to build one.
    Skipped,
}

/// The size of an image in bytes, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    /// The size in the daemon.
    pub(crate) unpacked: Option<u64>,
    /// The size in the registry.
    pub(crate) compressed: Option<u64>,
}

impl ImageResult {
    pub(crate) fn of_made(name: &str, made: &BuiltImage) -> Self {
        Self {
            name: name.to_owned(),
            reference: made.reference.clone(),
            digest: None,
            id: made.info.id.clone(),
            size: Size {
                unpacked: Some(made.info.size),
                compressed: None,
            },
            action: made.action,
        }
    }
}

#[derive(Serialize)]
struct ImagesDocument<'a> {
    version: u32,
    project: &'a str,
    registry: &'a str,
    /// Null outside of a git repository.
    source: Option<Checkout>,
    images: Vec<ListedImage<'a>>,
}

/// The commit of the checkout. It is no input of the images, but tells which source they were built from.
#[derive(Serialize)]
struct Checkout {
    commit: String,
    time: String,
    modified: bool,
}

#[derive(Serialize)]
struct ListedImage<'a> {
    name: &'a str,
    reference: String,
    digest: Option<&'a Digest>,
    id: Option<&'a Digest>,
    fingerprint: &'a Digest,
    parent: Option<&'a str>,
    platforms: Vec<String>,
    action: Action,
    size: Size,
}

/// The look-up of the checkout's commit, which runs beside the work: git takes longer than a run that has little to do.
///
/// `None` where there is nothing to be looked up.
pub(crate) struct CommitLookup(Option<JoinHandle<Option<CheckoutSource>>>);

impl CommitLookup {
    pub(crate) fn begin(session: &Session<'_>) -> Self {
        let root = session.project.root.clone();
        let is_asked = !git::is_in_no_checkout(&root);
        Self(is_asked.then(|| thread::spawn(move || git::source(&root).ok())))
    }
}

/// Writes the document if its content has changed.
pub(crate) fn write_images_json(
    session: &Session<'_>,
    commit: CommitLookup,
    prepared: &Prepared,
    registry: &Registry,
    rows: &[ImageResult],
) -> Result<(), Error> {
    let rows: BTreeMap<&str, &ImageResult> =
        rows.iter().map(|row| (row.name.as_str(), row)).collect();
    let stages = prepared.plan.parents_first();
    let images = stages.map(|stage| image(stage, registry, rows.get(stage.name.as_str())));
    let document = ImagesDocument {
        version: VERSION,
        project: &session.project.name,
        registry: &registry.name,
        source: source(session, commit),
        images: images.collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(std::io::Error::other)?;
    text.push('\n');
    let file = session.dist().images_json();
    if fs_err::read(&file).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    session.dist().keep_out_of_git()?;
    Ok(store::replace(&file, text.as_bytes())?)
}

fn image<'a>(
    stage: &'a Stage,
    registry: &Registry,
    row: Option<&&'a ImageResult>,
) -> ListedImage<'a> {
    let reference = row.map_or_else(|| stage.reference(registry), |row| &row.reference);
    ListedImage {
        name: &stage.name,
        reference: reference.to_string(),
        digest: row.and_then(|row| row.digest.as_ref()),
        id: row.map(|row| &row.id),
        fingerprint: &stage.fingerprint,
        parent: stage.inputs.recipe.base(),
        platforms: resolution::platforms(stage),
        action: row.map_or(Action::Skipped, |row| row.action),
        size: row.map_or_else(Size::default, |row| row.size),
    }
}

/// The commit of the checkout. Files that sparkpack itself writes do not count as local changes.
fn source(session: &Session<'_>, commit: CommitLookup) -> Option<Checkout> {
    let source = match commit.0?.join() {
        Ok(source) => source?,
        Err(panic) => resume_unwind(panic),
    };
    let ours = if source.modified.is_empty() {
        BTreeSet::new()
    } else {
        naming_images(session)
    };
    Some(Checkout {
        commit: source.commit,
        time: source.time,
        modified: source
            .modified
            .iter()
            .any(|path| !ours.contains(path) && !store::is_unfinished(path)),
    })
}

/// The manifests and the pins, which sparkpack rewrites and which are no inputs of images. Symbolic links in their
/// paths are resolved.
fn naming_images(session: &Session<'_>) -> BTreeSet<PathBuf> {
    let project = &session.project;
    let globs = project.manifests.values().flatten();
    let manifests =
        globs.flat_map(|glob| glob::matching(&project.root, &glob.pattern, PathKind::Files));
    let files = manifests.flatten().chain([pins::FILE_NAME.to_owned()]);
    files
        .filter_map(|file| fs_err::canonicalize(project.root.join(file)).ok())
        .collect()
}

/// The daemon's image of a stage, and whether it was built.
#[derive(Clone, Debug)]
pub(crate) struct BuiltImage {
    pub(crate) reference: Reference,
    pub(crate) info: ImageInfo,
    pub(crate) action: Action,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use serde_json::{Value, json};

    use super::*;
    use crate::operations::{
        testing::{Project, Recorder},
        workspace::{LockPolicy, Services},
    };

    /// Writes the document of a project. `action` is what the run did for `job`; `None` if it did not look at it.
    fn write(project: &Project, action: Option<Action>) -> Result<Value, Error> {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let prepared = resolution::prepare(&session, &services)?;
        let registry = session.registry(None)?;
        let reference: Reference = "registry.example/small/job:made".parse().unwrap();
        let result = action.map(|action| ImageResult {
            name: "job".to_owned(),
            reference: reference.clone(),
            digest: Some(Digest::of(b"pushed")),
            id: Digest::of(b"id"),
            size: Size {
                unpacked: Some(7),
                compressed: None,
            },
            action,
        });
        let commit = CommitLookup::begin(&session);
        write_images_json(&session, commit, &prepared, registry, result.as_slice())?;
        Ok(serde_json::from_str(&project.read("dist/images.json")).unwrap())
    }

    #[test]
    fn images_that_were_not_looked_at_are_skipped() {
        let project = Project::small();
        let document = write(&project, None).unwrap();
        assert_eq!(document["version"], 2);
        assert_eq!(
            (&document["project"], &document["registry"]),
            (&json!("small"), &json!("main"))
        );
        assert_eq!(document["source"], Value::Null, "it is no checkout of git");
        let [base, job] = &document["images"].as_array().unwrap()[..] else {
            panic!("{document}");
        };
        assert_eq!(
            (&base["name"], &base["parent"]),
            (&json!("base"), &Value::Null)
        );
        assert_eq!(
            (&job["name"], &job["parent"]),
            (&json!("job"), &json!("base"))
        );
        for image in [base, job] {
            assert_eq!(image["action"], "skipped");
            assert_eq!(
                (&image["id"], &image["digest"]),
                (&Value::Null, &Value::Null)
            );
        }
    }

    #[test]
    fn what_became_of_an_image_stands_in_its_row() {
        for (action, text) in [
            (Action::Built, "built"),
            (Action::Reused, "reused"),
            (Action::Adopted, "adopted"),
            (Action::Copied, "copied"),
        ] {
            let document = write(&Project::small(), Some(action)).unwrap();
            let job = &document["images"][1];
            assert_eq!(job["action"], text);
            assert_eq!(job["reference"], "registry.example/small/job:made");
            assert_eq!(job["digest"], Digest::of(b"pushed").as_str());
            assert_eq!(job["id"], Digest::of(b"id").as_str());
            assert_eq!(job["size"], json!({"unpacked": 7, "compressed": null}));
        }
    }

    #[test]
    fn nothing_new_is_not_written_again() {
        let project = Project::small();
        write(&project, None).unwrap();
        let inode = || {
            fs_err::metadata(project.path("dist/images.json"))
                .unwrap()
                .ino()
        };
        let first = inode();
        write(&project, None).unwrap();
        assert_eq!(inode(), first);
        write(&project, Some(Action::Built)).unwrap();
        assert_ne!(inode(), first);
    }

    #[test]
    fn only_what_names_no_images_makes_it_another_source() {
        let project = Project::small();
        project.write(".gitignore", "dist\n");
        project.write("k/a.yml", "kind: Pod\n");
        let configuration = project.read("sparkpack.toml");
        project.write(
            "sparkpack.toml",
            &(configuration + "\n[manifests]\nmain = [\"k/*.yml\"]\n"),
        );
        project.git(&["init", "--quiet"]);
        project.git(&["add", "--all"]);
        project.git(&["commit", "--quiet", "--message", "all"]);
        let is_modified = || write(&project, None).unwrap()["source"]["modified"].clone();
        assert_eq!(is_modified(), false);
        project.write("k/a.yml", "kind: Job\n");
        assert_eq!(is_modified(), false);
        project.write("base.txt", "other\n");
        assert_eq!(is_modified(), true);
    }

    #[test]
    fn a_disk_that_does_not_take_it_is_an_error() {
        let project = Project::small();
        project.write("dist", "a file");
        assert!(matches!(write(&project, None), Err(Error::Io(_))));
    }
}
