//! Pushes of whole images to Debian's registry.

use std::{
    cell::RefCell,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    real::{RunningRegistry, command},
    *,
};
use crate::{
    adapters::registry::{Blob, BlobProgress, BlobSource, BlobState, OutgoingImage},
    image::MediaType,
};

/// An image with files of layers.
pub(super) struct Outgoing {
    pub(super) folder: tempfile::TempDir,
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    pub(super) layers: Vec<Blob>,
}

impl Outgoing {
    /// An image with layers of these sizes.
    pub(super) fn new(sizes: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layer = |(number, size): (usize, &usize)| {
            let bytes: Vec<u8> = format!("layer {number}, ")
                .bytes()
                .cycle()
                .take(*size)
                .collect();
            let file = folder.path().join(number.to_string());
            fs_err::write(&file, &bytes).unwrap();
            Blob {
                descriptor: Descriptor::of(MediaType::ImageLayer, &bytes),
                source: BlobSource::File(file),
                mounts: Vec::new(),
                is_new: false,
            }
        };
        let layers: Vec<Blob> = sizes.iter().enumerate().map(layer).collect();
        Self::of(folder, layers)
    }

    /// An image with one layer of zeros, which are not in memory.
    pub(super) fn of_zeros(size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zeros");
        fs_err::File::create(&file).unwrap().set_len(size).unwrap();
        Self::of_file(folder, file)
    }

    /// An image with one layer.
    fn of_file(folder: tempfile::TempDir, file: PathBuf) -> Self {
        let mut opened = fs_err::File::open(&file).unwrap();
        let descriptor = Descriptor {
            digest: Digest::of_reader(&mut opened).unwrap(),
            size: opened.metadata().unwrap().len(),
            ..Descriptor::of(MediaType::ImageLayer, b"")
        };
        let layer = Blob {
            descriptor,
            source: BlobSource::File(file),
            mounts: Vec::new(),
            is_new: false,
        };
        Self::of(folder, vec![layer])
    }

    fn of(folder: tempfile::TempDir, layers: Vec<Blob>) -> Self {
        let descriptors: Vec<&Descriptor> = layers.iter().map(|layer| &layer.descriptor).collect();
        let diff_ids: Vec<&Digest> = descriptors.iter().map(|layer| &layer.digest).collect();
        let config = json!({"os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": document::OCI_MANIFEST,
            "config": Descriptor::of(MediaType::ImageConfig, &config),
            "layers": descriptors,
        });
        Self {
            folder,
            manifest: manifest.to_string().into_bytes(),
            config,
            layers,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub(super) fn file(&self, layer: usize) -> &Path {
        match &self.layers[layer].source {
            BlobSource::File(file) => file,
            other => panic!("{other:?}"),
        }
    }

    /// The same image, whose layers' files are not here.
    fn from(mut self, repository: &Repository) -> Self {
        for layer in &mut self.layers {
            layer.source = BlobSource::Registry(repository.clone());
        }
        self
    }

    pub(super) fn image(&self) -> OutgoingImage<'_> {
        OutgoingImage {
            manifest: &self.manifest,
            media_type: document::OCI_MANIFEST,
            config: &self.config,
            layers: &self.layers,
        }
    }

    /// Pushes it, and returns what happened with each layer in the end. A layer that the image has twice is told once.
    pub(super) fn push(
        &self,
        client: &RegistryClient,
        target: &Reference,
    ) -> Result<Vec<Option<BlobState>>, RegistryError> {
        let told = RefCell::new(BTreeMap::new());
        let mut progress = |BlobProgress { descriptor, state }: BlobProgress<'_>| {
            told.borrow_mut().insert(descriptor.digest.clone(), state);
        };
        client.push_image(self.image(), target, &mut progress)?;
        let told = told.into_inner();
        let digests = self.layers.iter().map(|layer| &layer.descriptor.digest);
        Ok(digests.map(|digest| told.get(digest).copied()).collect())
    }

    /// Checks that a registry has the image with all its bytes.
    pub(super) fn check(&self, client: &RegistryClient, target: &Reference) {
        let documents = client.documents(target, &Platform::default()).unwrap();
        let documents = documents.unwrap();
        assert_eq!(documents.manifest, self.manifest);
        assert_eq!(documents.config, self.config);
        assert_eq!(Digest::of(&documents.manifest), self.digest());
        for Blob { descriptor, .. } in &self.layers {
            let bytes = client.blob(target, &descriptor.digest, 1 << 24).unwrap();
            assert_eq!(bytes.unwrap().len() as u64, descriptor.size);
        }
    }
}

const SIZES: [usize; 6] = [3_000_000, 1, 0, 700_000, 262_144, 524_289];

fn all(state: BlobState) -> Vec<Option<BlobState>> {
    vec![Some(state); SIZES.len()]
}

#[test]
fn an_image_is_pushed_once() {
    let registry = RunningRegistry::with_password();
    let client = client(password(&registry.host, "ann", "right!"));
    let image = Outgoing::new(&SIZES);
    let one = registry.reference("team/job:one");
    assert_eq!(client.documents(&one, &Platform::default()).unwrap(), None);
    assert_eq!(image.push(&client, &one).unwrap(), all(BlobState::Sent));
    image.check(&client, &one);

    // It is asked for everything that the manifest under the tag names.
    assert_eq!(image.push(&client, &one).unwrap(), all(BlobState::There));
    let pushed = client.push_image(image.image(), &one, &mut |event| {
        assert_eq!(event.state, BlobState::There);
    });
    assert_eq!(pushed.unwrap(), image.digest());
    let two = registry.reference("team/job:two");
    assert_eq!(image.push(&client, &two).unwrap(), all(BlobState::There));
    image.check(&client, &two);
    let plain = registry.reference("team/other");
    assert_eq!(image.push(&client, &plain).unwrap(), all(BlobState::Sent));
    image.check(&client, &plain.repository.with_digest(&image.digest()));
    assert_eq!(client.digest(&plain).unwrap(), None, "no tag was named");

    let wrong = plain.repository.with_digest(&Digest::of(b"another"));
    let error = image.push(&client, &wrong).unwrap_err();
    assert!(
        shown(&error).contains("the reference names"),
        "{}",
        shown(&error)
    );
}

#[test]
fn a_layer_that_the_image_has_twice_is_sent_once() {
    let registry = RunningRegistry::with_password();
    let client = client(password(&registry.host, "ann", "right!"));
    let Outgoing { folder, layers, .. } = Outgoing::new(&[5000]);
    let image = Outgoing::of(folder, vec![layers[0].clone(), layers[0].clone()]);
    let target = registry.reference("team/job:one");
    image.push(&client, &target).unwrap();
    image.check(&client, &target);
}

/// Forwards connections to a registry, and counts them.
fn counting(registry: &RunningRegistry) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (count, behind) = (Arc::new(AtomicUsize::new(0)), registry.host.clone());
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::Relaxed);
            let Ok(far) = TcpStream::connect(&behind) else {
                return;
            };
            let ends = (near.try_clone().unwrap(), far.try_clone().unwrap());
            for (mut from, mut to) in [(near, far), (ends.1, ends.0)] {
                thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    (host, count)
}

#[test]
fn connections_are_kept() {
    let registry = RunningRegistry::start(|_| (String::new(), String::new()));
    let (host, count) = counting(&registry);
    let sizes: Vec<usize> = (1000..1040).collect();
    let image = Outgoing::new(&sizes);
    let target = reference(&format!("{host}/team/job:one"));
    image.push(&anonymous(), &target).unwrap();
    image.check(&anonymous(), &registry.reference("team/job:one"));
    let connections = count.load(Ordering::Relaxed);
    // There are three requests for each layer. A few connections are begun while another one becomes free.
    assert!(connections < sizes.len(), "{connections}");
}

#[test]
fn what_another_repository_has_is_mounted() {
    let registry = RunningRegistry::with_password();
    let client = client(password(&registry.host, "ann", "right!"));
    let mut image = Outgoing::new(&SIZES);
    let parent = registry.reference("team/parent:one");
    image.push(&client, &parent).unwrap();
    for layer in &mut image.layers {
        let elsewhere = reference("registry.invalid/team/parent:one");
        let nothing = registry.reference("team/nothing:one");
        layer.mounts = [&elsewhere, &nothing, &parent]
            .map(|reference| reference.repository.clone())
            .to_vec();
    }
    let child = registry.reference("team/child:one");
    let states = image.push(&client, &child).unwrap();
    // A mount that the registry turns into an upload is used as one, so the first repository has to be the right one.
    assert_eq!(states, all(BlobState::Sent));
    for layer in &mut image.layers {
        layer.mounts.remove(1);
    }
    let sibling = registry.reference("team/sibling:one");
    let states = image.push(&client, &sibling).unwrap();
    assert_eq!(states, all(BlobState::Mounted));

    let image = image.from(&parent.repository);
    let grandchild = registry.reference("team/grandchild:one");
    let states = image.push(&client, &grandchild).unwrap();
    assert_eq!(states, all(BlobState::Mounted));
    image.check(&client, &grandchild);
}

#[test]
fn a_parents_layers_are_copied_from_another_registry() {
    let (near, far) = (
        RunningRegistry::with_password(),
        RunningRegistry::with_password(),
    );
    let auths = json!({"auths": {
        &near.host: {"username": "ann", "password": "right!"},
        &far.host: {"username": "ann", "password": "right!"},
    }});
    let client = client(Credentials::of_text(&auths.to_string()));
    let parent = far.reference("vendor/spark:one");
    let image = Outgoing::new(&SIZES);
    image.push(&client, &parent).unwrap();
    let image = image.from(&parent.repository);
    let target = near.reference("team/job:one");
    assert_eq!(image.push(&client, &target).unwrap(), all(BlobState::Sent));
    image.check(&client, &target);

    let image = image.from(&far.reference("vendor/none:one").repository);
    let other = near.reference("team/other:one");
    let error = image.push(&client, &other).unwrap_err();
    assert!(
        shown(&error).starts_with(&format!("E502: cannot fetch `{}/vendor/none@", far.host))
            && shown(&error).ends_with("it does not have it"),
        "{}",
        shown(&error)
    );
    assert_eq!(client.digest(&other).unwrap(), None);
}

const LARGE: u64 = 300 << 20;
/// The variable that tells the test's other process to push, and where it finds the file.
const FOLDER: &str = "SPARKPACK_TEST_LARGE";

/// Pushes a large file of zeros to one registry, and copies it to another one.
fn push_large(folder: &Path) {
    let image = Outgoing::of_file(tempfile::tempdir().unwrap(), folder.join("large"));
    let patience = Patience {
        // Shorter than the whole upload takes.
        whole: Duration::from_secs(10),
        ..Patience::default()
    };
    let settings = RegistrySettings::default();
    let client = RegistryClient::with_patience(settings, Credentials::default(), patience).unwrap();
    let open = || RunningRegistry::start(|_| (String::new(), String::new()));
    let (one, two) = (open(), open());
    let first = one.reference("team/job:one");
    image.push(&client, &first).unwrap();
    let second = two.reference("team/job:one");
    image
        .from(&first.repository)
        .push(&client, &second)
        .unwrap();
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test's other process is told so"
)]
fn a_large_layer_needs_little_memory() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        push_large(Path::new(&folder));
        let status = fs_err::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
        fs_err::write(Path::new(&folder).join("peak"), peak.unwrap()).unwrap();
        return;
    }
    // The memory of this process is that of all tests.
    let folder = tempfile::tempdir().unwrap();
    let file = fs_err::File::create(folder.path().join("large")).unwrap();
    file.set_len(LARGE).unwrap();
    let name = thread::current().name().unwrap().to_owned();
    let output = command(std::env::current_exe().unwrap().to_str().unwrap())
        .args(["--exact", &name, "--test-threads", "1"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let peak = fs_err::read_to_string(folder.path().join("peak")).unwrap();
    let peak = peak.trim_start_matches("VmHWM:").trim_end_matches("kB");
    let peak: u64 = peak.trim().parse().unwrap();
    assert!(peak < 100_000, "{peak} kB");
}
