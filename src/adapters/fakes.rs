//! A builder, a daemon and a registry in memory, for tests that need no real ones.

mod daemon;
mod registry;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

pub(crate) use daemon::DaemonInMemory;
pub(crate) use registry::{RegistryInMemory, denied, refused, unreachable};

use super::{
    builder::{BuildError, BuildEvent, BuildRequest, Builder, Features, StepNumbers},
    destination::{Destination, DestinationError, Programs},
    registry::{RegistryError, RegistryImage},
    secrets::BuildSecrets,
};
use crate::image::{
    Digest, ImageDocuments, ImageInfo, ImagePython, Platform, Program, Reference, Repository,
};

/// An image with one layer; both are named after `content`.
pub(crate) fn image(content: &str) -> ImageInfo {
    ImageInfo {
        id: Digest::of(format!("config of {content}").as_bytes()),
        platform: Platform::default(),
        diff_ids: vec![Digest::of(format!("layer of {content}").as_bytes())],
        labels: BTreeMap::new(),
        repo_digests: Vec::new(),
        size: 1,
    }
}

/// The image `info` as a registry stores it.
pub(crate) fn registry_image(info: ImageInfo) -> RegistryImage {
    let manifest = info.id.to_string().into_bytes();
    RegistryImage {
        digest: Digest::of(&manifest),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        manifest,
        info,
    }
}

/// Documents of an image that has none.
pub(crate) fn documents_of(image: &ImageInfo) -> ImageDocuments {
    let layer = |digest: &Digest| {
        serde_json::json!({
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": digest, "size": 1
        })
    };
    let config = serde_json::json!({
        "os": image.platform.os,
        "architecture": image.platform.architecture,
        "config": {"Labels": image.labels},
        "rootfs": {"type": "layers", "diff_ids": image.diff_ids},
    });
    let config = config.to_string().into_bytes();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": Digest::of(&config),
            "size": config.len(),
        },
        "layers": image.diff_ids.iter().map(layer).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    ImageDocuments { manifest, config }
}

/// A request for an empty build, for the platform of [`image`].
pub(crate) fn request(reference: &str) -> BuildRequest {
    BuildRequest {
        images: BTreeSet::new(),
        entries: Vec::new(),
        folders: Vec::new(),
        dockerfile: "Dockerfile".to_owned(),
        reference: reference.parse().unwrap(),
        labels: BTreeMap::new(),
        build_arguments: BTreeMap::new(),
        target: None,
        platform: Platform::default(),
        base: None,
        looks_inside: false,
        no_cache: false,
        secrets: BuildSecrets::default(),
    }
}

/// Images by reference.
///
/// Clones share their images, as two connections to one daemon do.
pub(crate) struct InMemory<I> {
    state: Arc<Mutex<InMemoryState<I>>>,
}

struct InMemoryState<I> {
    images: BTreeMap<String, I>,
    /// The references that were looked up, in sequence.
    looked_up: Vec<String>,
    /// The errors of the next look-ups and tags, in order; `None` stands for a success.
    errors: VecDeque<Option<DestinationError>>,
    /// The programs of images, by the image ID.
    programs: BTreeMap<Digest, Program>,
    /// The Pythons of images, by the image ID.
    pythons: BTreeMap<Digest, ImagePython>,
    /// The image IDs that were looked into, in sequence.
    looked_into: Vec<Digest>,
    /// The files of images as tars, by the image ID.
    files: BTreeMap<Digest, Vec<u8>>,
    /// An image to which somebody else gives a reference at the moment in which it gets it.
    rival: Option<(String, I)>,
    lists_no_tags: Option<fn() -> RegistryError>,
}

impl<I> Default for InMemory<I> {
    fn default() -> Self {
        let state = InMemoryState {
            images: BTreeMap::new(),
            looked_up: Vec::new(),
            errors: VecDeque::new(),
            programs: BTreeMap::new(),
            pythons: BTreeMap::new(),
            looked_into: Vec::new(),
            files: BTreeMap::new(),
            rival: None,
            lists_no_tags: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl<I> Clone for InMemory<I> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<I: Clone> InMemory<I> {
    /// Stores an image under a reference.
    pub(crate) fn put(&self, reference: &str, image: I) {
        let mut state = self.state.lock().unwrap();
        state.images.insert(reference.to_owned(), image);
    }

    /// The image under a reference, without counting as a look-up.
    pub(crate) fn get(&self, reference: &str) -> Option<I> {
        self.state.lock().unwrap().images.get(reference).cloned()
    }

    /// Removes a reference.
    pub(crate) fn remove(&self, reference: &str) {
        self.state.lock().unwrap().images.remove(reference);
    }

    /// The image under a reference; counts as a look-up.
    pub(crate) fn look_up(&self, name: &str) -> Result<Option<I>, DestinationError> {
        let mut state = self.state.lock().unwrap();
        state.looked_up.push(name.to_owned());
        match state.errors.pop_front().flatten() {
            Some(error) => Err(error),
            None => Ok(state.images.get(name).cloned()),
        }
    }

    /// The references that were looked up, in sequence.
    pub(crate) fn looked_up(&self) -> Vec<String> {
        self.state.lock().unwrap().looked_up.clone()
    }

    /// Makes the next look-up or tag fail.
    pub(crate) fn fail_next(&self, error: impl Into<DestinationError>) {
        let mut state = self.state.lock().unwrap();
        state.errors.push_back(Some(error.into()));
    }

    /// Makes the next look-ups and tags succeed, so that one after them can fail.
    pub(crate) fn pass_next(&self, count: usize) {
        let mut state = self.state.lock().unwrap();
        state.errors.extend((0..count).map(|_| None));
    }

    /// Makes somebody else give `image` a reference at the moment in which it gets it.
    pub(crate) fn be_beaten_by(&self, reference: &str, image: I) {
        self.state.lock().unwrap().rival = Some((reference.to_owned(), image));
    }
}

impl InMemory<RegistryImage> {
    /// The tags of a repository that begin with `prefix`.
    pub(crate) fn tags(
        &self,
        repository: &Repository,
        prefix: &str,
    ) -> Result<BTreeSet<String>, RegistryError> {
        let state = self.state.lock().unwrap();
        if let Some(error) = &state.lists_no_tags {
            return Err(error());
        }
        let names = state.images.keys();
        let tags = names.filter_map(|name| name.strip_prefix(&format!("{repository}:")));
        let tags = tags.filter(|tag| tag.starts_with(prefix));
        Ok(tags.map(str::to_owned).collect())
    }

    /// Makes it refuse to list tags.
    pub(crate) fn list_no_tags(&self, error: fn() -> RegistryError) {
        self.state.lock().unwrap().lists_no_tags = Some(error);
    }

    /// The image with this digest, whatever its reference is.
    pub(crate) fn with_digest(&self, digest: &Digest) -> Option<RegistryImage> {
        let state = self.state.lock().unwrap();
        let mut images = state.images.values();
        images.find(|image| image.digest == *digest).cloned()
    }
}

impl InMemory<ImageInfo> {
    /// The image with this image ID, whatever its reference is.
    pub(crate) fn with_id(&self, id: &str) -> Option<ImageInfo> {
        let state = self.state.lock().unwrap();
        let mut images = state.images.values();
        images.find(|image| image.id.as_str() == id).cloned()
    }

    /// Gives an image a program for this machine.
    pub(crate) fn put_program(&self, id: &Digest, machine: u16) {
        let path = "/bin/sh".to_owned();
        let program = Program { path, machine };
        let mut state = self.state.lock().unwrap();
        state.programs.insert(id.clone(), program);
    }

    /// Gives an image files, as a tar.
    pub(crate) fn put_files(&self, id: &Digest, tar: Vec<u8>) {
        self.state.lock().unwrap().files.insert(id.clone(), tar);
    }

    /// The files of an image, as a tar.
    pub(crate) fn files_of(&self, id: &Digest) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        state.files.get(id).cloned().unwrap_or_default()
    }

    /// Gives an image a Python.
    pub(crate) fn put_python(&self, id: &Digest, python: ImagePython) {
        let mut state = self.state.lock().unwrap();
        state.pythons.insert(id.clone(), python);
    }

    /// The image IDs that were looked into since the last call, in sequence.
    pub(crate) fn looked_into(&self) -> Vec<Digest> {
        std::mem::take(&mut self.state.lock().unwrap().looked_into)
    }
}

impl Programs for InMemory<ImageInfo> {
    fn program(&self, image: &ImageInfo) -> Result<Option<Program>, DestinationError> {
        let mut state = self.state.lock().unwrap();
        state.looked_into.push(image.id.clone());
        Ok(state.programs.get(&image.id).cloned())
    }

    fn python(&self, image: &ImageInfo) -> Result<ImagePython, DestinationError> {
        let mut state = self.state.lock().unwrap();
        state.looked_into.push(image.id.clone());
        let known = state.pythons.get(&image.id).cloned();
        Ok(known.unwrap_or(ImagePython::Unknown))
    }
}

impl<I: AsRef<ImageInfo> + Clone + Send> Destination for InMemory<I> {
    type Stored = I;

    fn find(
        &self,
        reference: &Reference,
        _platform: &Platform,
    ) -> Result<Option<I>, DestinationError> {
        self.look_up(&reference.to_string())
    }

    fn tag(&self, image: &I, reference: &Reference) -> Result<bool, DestinationError> {
        let mut state = self.state.lock().unwrap();
        if let Some(error) = state.errors.pop_front().flatten() {
            return Err(error);
        }
        let reference = reference.to_string();
        let rival = state.rival.take_if(|(wanted, _)| *wanted == reference);
        let is_ours = rival.is_none();
        let winner = rival.map_or_else(|| image.clone(), |(_, rival)| rival);
        state.images.insert(reference, winner);
        Ok(is_ours)
    }
}

/// A builder that makes an image for every request, puts it into a daemon in memory, and keeps the request.
///
/// Clones share their requests.
#[derive(Clone)]
pub(crate) struct RecordingBuilder {
    features: Features,
    daemon: InMemory<ImageInfo>,
    requests: Arc<Mutex<Vec<BuildRequest>>>,
    errors: Arc<Mutex<VecDeque<BuildError>>>,
}

impl RecordingBuilder {
    /// A builder with all features, as BuildKit.
    pub(crate) fn new(daemon: &InMemory<ImageInfo>) -> Self {
        Self::with_features(
            daemon,
            Features {
                extended_syntax: true,
                skips_unneeded_stages: true,
                step_numbers: StepNumbers::PerStage,
            },
        )
    }

    /// A builder with the features of the classic one.
    pub(crate) fn classic(daemon: &InMemory<ImageInfo>) -> Self {
        Self::with_features(
            daemon,
            Features {
                extended_syntax: false,
                skips_unneeded_stages: false,
                step_numbers: StepNumbers::PerFile,
            },
        )
    }

    fn with_features(daemon: &InMemory<ImageInfo>, features: Features) -> Self {
        Self {
            features,
            daemon: daemon.clone(),
            requests: Arc::default(),
            errors: Arc::default(),
        }
    }

    /// The requests, in sequence.
    pub(crate) fn requests(&self) -> Vec<BuildRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Makes the next build fail.
    pub(crate) fn fail_next(&self, error: impl Into<BuildError>) {
        self.errors.lock().unwrap().push_back(error.into());
    }
}

impl Builder for RecordingBuilder {
    fn name(&self) -> &'static str {
        "the builder in memory"
    }

    fn cache_id(&self) -> String {
        "memory".to_owned()
    }

    fn features(&self) -> Features {
        self.features
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &mut dyn FnMut(BuildEvent),
    ) -> Result<ImageInfo, BuildError> {
        self.requests.lock().unwrap().push(request.clone());
        if let Some(error) = self.errors.lock().unwrap().pop_front() {
            return Err(error);
        }
        events(BuildEvent::Step {
            number: 1,
            total: 1,
            instruction: "FROM scratch".to_owned(),
            cached: false,
        });
        let mut made = image(&request.reference.to_string());
        made.platform = request.platform.clone();
        made.labels = request.labels.clone();
        let base = request.base.iter().flat_map(|base| base.diff_ids.clone());
        made.diff_ids = base.chain(made.diff_ids).collect();
        request.verify(&made)?;
        self.daemon
            .put(&request.reference.to_string(), made.clone());
        Ok(made)
    }
}

mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn a_built_image_is_found_under_its_reference() {
        let daemon = InMemory::default();
        let builder = RecordingBuilder::new(&daemon);
        let request = request("reg.example/job:1");
        let built = builder.build(&request, &mut |_| ()).unwrap();
        let found = daemon.find(&request.reference, &request.platform);
        assert_eq!(found.unwrap(), Some(built));
        assert_eq!(builder.requests().len(), 1);
        let other = daemon.find(&reference("reg.example/job:2"), &request.platform);
        assert_eq!(other.unwrap(), None);
        assert_eq!(
            daemon.looked_up(),
            ["reg.example/job:1", "reg.example/job:2"]
        );
    }

    #[test]
    fn a_tag_goes_to_the_image_or_to_a_rival() {
        let registry = InMemory::default();
        let (ours, theirs) = (
            registry_image(image("ours")),
            registry_image(image("theirs")),
        );
        assert!(registry.tag(&ours, &reference("a.example/b:1")).unwrap());
        assert_eq!(registry.get("a.example/b:1"), Some(ours.clone()));
        registry.be_beaten_by("a.example/b:2", theirs.clone());
        assert!(!registry.tag(&ours, &reference("a.example/b:2")).unwrap());
        assert_eq!(registry.get("a.example/b:2"), Some(theirs));
    }

    #[test]
    fn an_error_is_told_once() {
        let daemon: InMemory<ImageInfo> = InMemory::default();
        let refusal = |doing: &str| super::super::docker::DockerError::Answer {
            doing: doing.to_owned(),
            message: "no".to_owned(),
        };
        daemon.fail_next(refusal("look"));
        let builder = RecordingBuilder::classic(&daemon);
        builder.fail_next(refusal("build"));
        let request = request("reg.example/job:1");
        assert!(daemon.find(&request.reference, &request.platform).is_err());
        assert!(daemon.find(&request.reference, &request.platform).is_ok());
        assert!(builder.build(&request, &mut |_| ()).is_err());
        assert!(builder.build(&request, &mut |_| ()).is_ok());
        assert_eq!(builder.requests().len(), 2);
    }
}
