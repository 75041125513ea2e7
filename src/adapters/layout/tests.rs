use std::process::Command;

use super::*;
use crate::adapters::{
    destination::{Destination as _, ImageRegistry as _},
    fakes::RegistryInMemory,
    registry::{Blob, OutgoingImage, Presence, RegistryImage},
};
use crate::image::Reference;
use crate::image::{Compression, ConfigChanges, History, Layer, ParentImage, assemble};

/// A layout, and layers outside of it.
struct Fixture {
    _folder: tempfile::TempDir,
    layout: ImageLayout,
    layers: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layers = folder.path().join("layers");
        fs_err::create_dir(&layers).unwrap();
        Self {
            layout: ImageLayout::new(folder.path().join("dist/oci")),
            layers,
            _folder: folder,
        }
    }

    fn image(&self, text: &str, architecture: &str) -> (AssembledImage, Vec<LayerFile>) {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "a.txt", text.as_bytes())
            .unwrap();
        let bytes = tar.into_inner().unwrap();
        let file = self.layers.join(Digest::of(&bytes).hex());
        fs_err::write(&file, &bytes).unwrap();
        let layer = Layer {
            descriptor: Descriptor::of(Compression::None.media_type(), &bytes),
            diff_id: Digest::of(&bytes),
            history: History::default(),
        };
        let config = json!({"os": "linux", "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": []}})
        .to_string();
        let manifest = json!({"schemaVersion": 2, "layers": [],
            "config": Descriptor::of(Family::Oci.config(), config.as_bytes())})
        .to_string();
        let parent = ParentImage {
            manifest: manifest.as_bytes(),
            config: config.as_bytes(),
        };
        let layers = std::slice::from_ref(&layer);
        let image = assemble(parent, layers, &ConfigChanges::default()).unwrap();
        (
            image,
            vec![LayerFile {
                layer,
                file,
                is_new: true,
            }],
        )
    }

    fn put(&self, name: &str, text: &str) -> AssembledImage {
        let (image, layers) = self.image(text, "amd64");
        let descriptor = self.layout.add(&image, &layers).unwrap();
        self.layout.tag(name, &descriptor).unwrap();
        image
    }

    fn find(&self, name: &str) -> Result<Option<AssembledImage>, LayoutError> {
        self.layout.find(name, &Platform::default())
    }

    fn broken(&self, said: &str) {
        let error = self.find("job:1").unwrap_err();
        assert_eq!(error.code(), Code::E614, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        let folder = self.layout.folder().display();
        let hint = format!("delete it, `rm -r {folder}`, and build again");
        assert_eq!(error.hint(), Some(hint));
    }
}

#[test]
fn what_was_written_is_found_by_its_name() {
    let fixture = Fixture::new();
    assert_eq!(fixture.find("job:1").unwrap(), None);
    let one = fixture.put("job:1", "one");
    let other = fixture.put("ds:1", "other");
    assert_eq!(fixture.find("job:1").unwrap(), Some(one.clone()));
    assert_eq!(fixture.find("ds:1").unwrap(), Some(other));
    assert_eq!(fixture.find("job").unwrap(), None);
    let two = fixture.put("job:1", "two");
    assert_eq!(fixture.find("job:1").unwrap(), Some(two.clone()));
    let descriptor = fixture.layout.descriptor("job:1").unwrap().unwrap();
    assert_eq!(descriptor.digest, two.digest);
    let index: Value =
        serde_json::from_slice(&fs_err::read(fixture.layout.folder().join("index.json")).unwrap())
            .unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    // Layers that are there need not be given again.
    fixture.layout.add(&one, &[]).unwrap();
    let left = fs_err::read_dir(fixture.layout.folder()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn an_index_has_an_image_for_each_platform() {
    let fixture = Fixture::new();
    let images = ["amd64", "arm64"].map(|architecture| fixture.image(architecture, architecture));
    let entries: Vec<_> = images
        .iter()
        .map(|(image, layers)| fixture.layout.add(image, layers).unwrap())
        .collect();
    let index = fixture.layout.add_index(Family::Oci, &entries).unwrap();
    fixture.layout.tag("job:1", &index).unwrap();
    for (image, _) in images {
        let found = fixture.layout.find("job:1", &image.info.platform);
        assert_eq!(found.unwrap(), Some(image));
    }
    let foreign = "linux/s390x".parse().unwrap();
    let error = fixture.layout.find("job:1", &foreign).unwrap_err();
    assert!(
        error.to_string().contains("no image for `linux/s390x`"),
        "{error}"
    );
    let named = fixture.layout.descriptor("job:1").unwrap().unwrap();
    assert_eq!(named, index);
}

#[test]
fn a_layout_that_is_not_whole_is_told() {
    let fixture = Fixture::new();
    let image = fixture.put("job:1", "one");
    let manifest = ImageManifest::parse(&image.manifest).unwrap();
    let layout = &fixture.layout;
    let blob = |descriptor: &Descriptor| layout.blob(&descriptor.digest);
    for (file, said) in [
        (layout.blob(&image.digest), "the manifest"),
        (blob(&manifest.config), "the config"),
        (blob(&manifest.layers[0]), "its layer"),
        (layout.folder().join("index.json"), "its index.json"),
    ] {
        let bytes = fs_err::read(&file).unwrap();
        fs_err::write(&file, &bytes[1..]).unwrap();
        fixture.broken(said);
        if !said.contains("index.json") {
            fs_err::remove_file(&file).unwrap();
            fixture.broken(&format!("{said} sha256:"));
        }
        fs_err::write(&file, &bytes).unwrap();
        assert!(fixture.find("job:1").unwrap().is_some());
    }
    fs_err::remove_file(layout.folder().join(MARK)).unwrap();
    fixture.broken("it has no file `oci-layout`");
    // What is half there is written again.
    let fixture = Fixture::new();
    let image = fixture.put("job:1", "one");
    fs_err::write(fixture.layout.blob(&image.digest), "half").unwrap();
    fixture.put("job:1", "one");
    assert_eq!(fixture.find("job:1").unwrap(), Some(image));
}

#[test]
fn nothing_is_named_that_could_not_be_written() {
    let fixture = Fixture::new();
    let (image, layers) = fixture.image("one", "amd64");
    let error = fixture.layout.add(&image, &[]).unwrap_err();
    assert_eq!(error.code(), Code::E614, "{error}");
    fs_err::write(&layers[0].file, "other").unwrap();
    let error = fixture.layout.add(&image, &layers).unwrap_err();
    assert_eq!(error.code(), Code::E611);
    assert!(!fixture.layout.blob(&layers[0].layer.diff_id).exists());
    // Whoever asked for it can make it again, as a damaged one.
    fs_err::remove_file(&layers[0].file).unwrap();
    let error = fixture.layout.add(&image, &layers).unwrap_err();
    assert!(matches!(error, LayoutError::Layer { .. }), "{error}");

    let file = fixture.layers.join("a file");
    fs_err::write(&file, "").unwrap();
    let below = ImageLayout::new(file.join("oci"));
    assert_eq!(below.add(&image, &layers).unwrap_err().code(), Code::E610);
    let other = ImageLayout::new(&fixture.layers);
    let error = other.add(&image, &layers).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is no OCI image layout, and not empty")
    );
    assert_eq!(error.hint().as_deref(), Some("name another folder"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "other programs have to read it")]
fn skopeo_reads_what_was_written() {
    let fixture = Fixture::new();
    let image = fixture.put("penguins/job:1", "one");
    let folder = fixture.layout.folder().display();
    let name = format!("oci:{folder}:penguins/job:1");
    let skopeo = |arguments: &[&str]| {
        let output = Command::new("skopeo").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output.stdout
    };
    let inspected: Value = serde_json::from_slice(&skopeo(&["inspect", &name])).unwrap();
    assert_eq!(inspected["Digest"], json!(image.digest));
    let config = skopeo(&["inspect", "--config", "--raw", &name]);
    assert_eq!(config, image.config);
    let archive = fixture.layers.join("archive.tar").display().to_string();
    let to = format!("docker-archive:{archive}:penguins/job:1");
    skopeo(&["copy", "--quiet", &name, &to]);
    let inspected: Value =
        serde_json::from_slice(&skopeo(&["inspect", &format!("docker-archive:{archive}")]))
            .unwrap();
    assert_eq!(inspected["Layers"], json!([image.info.diff_ids[0]]));
}

#[test]
fn writers_at_the_same_time_do_not_disturb_each_other() {
    let fixture = Fixture::new();
    let fixture = &fixture;
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for number in 0..20 {
                    let name = format!("job:{writer}-{number}");
                    let image = fixture.put(&name, &name);
                    assert_eq!(fixture.find(&name).unwrap(), Some(image));
                }
            });
        }
    });
    let text = fs_err::read_to_string(fixture.layout.folder().join("index.json")).unwrap();
    assert_eq!(text.matches("job:").count(), 8 * 20);
}

#[test]
fn in_the_place_of_a_registry_it_answers_for_references_without_a_host() {
    let fixture = Fixture::new();
    let registry = RegistryInMemory::default();
    let both = WithLayout {
        registries: Box::new(registry.clone()),
        layout: fixture.layout.clone(),
    };
    let platform = Platform::default();
    let (image, layers) = fixture.image("one", "amd64");
    let blobs: Vec<Blob> = layers.into_iter().map(Blob::from).collect();
    let outgoing = OutgoingImage {
        manifest: &image.manifest,
        media_type: image.media_type.as_ref(),
        config: &image.config,
        layers: &blobs,
    };
    let here = Reference::in_layout("job:1").unwrap();
    let there: Reference = "registry.example/job:1".parse().unwrap();
    assert_eq!(both.presence(&here).unwrap(), Presence::Absent);
    let digest = both.push_image(outgoing, &here, &mut |_| ()).unwrap();
    assert_eq!(digest, image.digest);
    assert_eq!(
        both.presence(&here).unwrap(),
        Presence::There(Some(digest.clone()))
    );
    assert_eq!(
        both.documents(&here, &platform).unwrap(),
        Some(image.documents())
    );
    let pinned = here.repository.with_digest(&digest);
    assert_eq!(
        both.find(&pinned, &platform).unwrap().unwrap().digest,
        digest
    );
    assert!(both.find(&there, &platform).unwrap().is_none());
    assert_eq!(registry.images.looked_up(), ["registry.example/job:1"]);

    // A tag stays what it is, and an index gets one as an image does.
    let (other, others) = fixture.image("two", "amd64");
    let others: Vec<Blob> = others.into_iter().map(Blob::from).collect();
    let second = OutgoingImage {
        manifest: &other.manifest,
        config: &other.config,
        layers: &others,
        ..outgoing
    };
    assert_eq!(both.push_image(second, &here, &mut |_| ()).unwrap(), digest);
    let index = ImageIndex::assemble(Family::Oci, &[image.descriptor()]).unwrap();
    let stored = RegistryImage {
        digest: Digest::of(&index),
        media_type: Family::Oci.index().to_string(),
        manifest: index,
        info: image.info.clone(),
    };
    let whole = Reference::in_layout("job:whole").unwrap();
    assert!(both.tag(&stored, &whole).unwrap());
    assert_eq!(both.digest(&whole).unwrap(), Some(stored.digest));
    assert_eq!(fixture.find("job:whole").unwrap(), Some(image));
}
