//! Assembled images, loaded into this machine's daemon.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
};

use bollard::{
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptions, RemoveContainerOptions},
};
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use serde_json::json;

use super::*;
use crate::{
    image::{
        AssembledImage, Compression, ConfigChanges, Descriptor, Family, History, ImageDocuments,
        ImageManifest, Layer, LayerFile, assemble,
    },
    package::archive::write_tar,
};

/// A folder of layers, and the documents of images that stand on them.
pub(super) struct Layers {
    folder: tempfile::TempDir,
}

impl Layers {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    pub(super) fn layer(&self, entries: &[Entry], compression: Compression) -> LayerFile {
        let mut tar = Vec::new();
        write_tar(entries, &[], &mut tar).unwrap();
        let bytes = match compression {
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&tar).unwrap();
                encoder.finish().unwrap()
            }
            _ => tar.clone(),
        };
        let descriptor = Descriptor::of(compression.media_type(), &bytes);
        let file = self.folder.path().join(descriptor.digest.hex());
        fs_err::write(&file, bytes).unwrap();
        let layer = Layer {
            descriptor,
            diff_id: Digest::of(&tar),
            history: History::default(),
        };
        LayerFile {
            layer,
            file,
            is_new: true,
        }
    }
}

/// The documents of an image with layers that are only named, and with a child's on top of them.
pub(super) fn child_of(diff_ids: &[Digest], layers: &[LayerFile], user: &str) -> AssembledImage {
    let config = json!({
        "os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": {"Env": ["PATH=/bin"], "Labels": {"of": "the parent"}},
    })
    .to_string();
    let named = |digest: &Digest| {
        json!({"mediaType": Family::Oci.layer(&Compression::None.media_type()).unwrap(),
            "digest": digest, "size": 1024})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "config": Descriptor::of(Family::Oci.config(), config.as_bytes()),
        "layers": diff_ids.iter().map(named).collect::<Vec<_>>(),
    })
    .to_string();
    let documents = ImageDocuments {
        manifest: manifest.into_bytes(),
        config: config.into_bytes(),
    };
    child_on(&documents, layers, user)
}

fn child_on(parent: &ImageDocuments, layers: &[LayerFile], user: &str) -> AssembledImage {
    let changes = ConfigChanges {
        user: Some(user.to_owned()),
        labels: BTreeMap::from([("text".to_owned(), "a $HOME \"b\" \\".to_owned())]),
        ..ConfigChanges::default()
    };
    let layers: Vec<Layer> = layers.iter().map(|file| file.layer.clone()).collect();
    assemble(parent.as_parent(), &layers, &changes).unwrap()
}

impl DaemonFixture {
    /// The regular files of an image, by path.
    fn files(&self, image: &Reference) -> BTreeMap<String, String> {
        let client = &self.daemon.client;
        let body = ContainerCreateBody {
            image: Some(image.to_string()),
            cmd: Some(vec!["never-started".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let created = client.create_container(None::<CreateContainerOptions>, body);
        let id = self.daemon.ask(created).unwrap().id;
        let bytes = client.export_container(&id).try_collect::<Vec<_>>();
        let bytes = self.daemon.ask(bytes).unwrap().concat();
        let removed = client.remove_container(&id, None::<RemoveContainerOptions>);
        self.daemon.ask(removed).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let files = archive.entries().unwrap().filter_map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            Some((path, text)).filter(|(_, text)| !text.is_empty())
        });
        files.collect()
    }

    /// A child of an image in the daemon.
    fn child(&self, parent: &str, layers: &[LayerFile], user: &str) -> AssembledImage {
        let documents = self.daemon.parent(parent).unwrap().unwrap();
        child_on(&documents, layers, user)
    }

    /// The image ID that the daemon gives an image.
    fn id(&self, image: &AssembledImage) -> Digest {
        match self.daemon.blobs().unwrap() {
            Some(_) => image.digest.clone(),
            None => Digest::of(&image.config),
        }
    }

    /// A parent with a layer that no other image has.
    fn parent(&mut self, test: &str) -> (Reference, ImageInfo) {
        let name = self.name(&format!("{test}-parent"));
        let text = format!("{test} {}", std::process::id());
        let entries = [
            Entry::in_memory("below", text, false),
            Entry::in_memory("both", "below", false),
        ];
        let platform = Platform::default();
        let info = self
            .daemon
            .import(&entries, &BTreeMap::new(), &platform, &name)
            .unwrap();
        (name, info)
    }
}

fn above() -> [Entry; 2] {
    [
        Entry::in_memory("jobs/a.py", "a = 1\n", false),
        Entry::in_memory("both", "above", false),
    ]
}

#[test]
fn of_an_assembled_image_only_the_new_layers_are_sent() {
    let mut fixture = DaemonFixture::new(None);
    let (parent, below) = fixture.parent("loaded");
    let layers = Layers::new();
    for compression in [Compression::Gzip, Compression::None] {
        let name = fixture.name("loaded");
        let more = [Entry::in_memory("jobs/b.py", "b = 1\n", false)];
        let new = [
            layers.layer(&above(), compression),
            layers.layer(&more, compression),
        ];
        let image = fixture.child(&parent.to_string(), &new, "185");
        for by in [parent.to_string(), below.id.to_string()] {
            let request = LoadRequest {
                image: &image,
                layers: &new,
                parent: Some(LoadParent {
                    name: &by,
                    ids: &[],
                }),
                reference: &name,
            };
            let loaded = fixture.daemon.load(&request).unwrap();
            assert_eq!(loaded.id, fixture.id(&image));
            assert_eq!(loaded.diff_ids, image.info.diff_ids);
            assert_eq!(loaded.labels, image.info.labels);
            let named = fixture.daemon.inspect(&name.to_string()).unwrap().unwrap();
            // The containerd store gives every name a digest of its registry, as if the image had been there.
            let repo_digests = loaded.repo_digests.clone();
            let named = ImageInfo {
                repo_digests,
                ..named
            };
            assert_eq!(named, loaded);
        }
        let files = fixture.files(&name);
        let text = |path: &str| files.get(path).map(String::as_str);
        let expected = format!("loaded {}", std::process::id());
        assert_eq!(text("below"), Some(&*expected));
        assert_eq!(text("jobs/a.py"), Some("a = 1\n"));
        assert_eq!(text("jobs/b.py"), Some("b = 1\n"));
        assert_eq!(text("both"), Some("above"));
    }
}

#[test]
fn a_loaded_image_runs() {
    for builder in BUILDERS {
        let mut fixture = DaemonFixture::new(Some(builder));
        let shell = fixture.shell("load");
        let name = fixture.name("runs");
        let layers = Layers::new();
        let layer = [layers.layer(&above(), Compression::Gzip)];
        let image = fixture.child(&shell.to_string(), &layer, "7:8");
        let request = LoadRequest {
            image: &image,
            layers: &layer,
            parent: Some(LoadParent {
                name: &shell.to_string(),
                ids: &[],
            }),
            reference: &name,
        };
        fixture.daemon.load(&request).unwrap();
        let built = fixture.name("runs-child");
        let step = "RUN busybox test $(busybox id -u) = 7 && busybox grep -q 'a = 1' /jobs/a.py && echo it runs";
        let dockerfile = format!("FROM {name}\n{step}\n");
        let mut request = super::request(&built, &dockerfile, Vec::new());
        request.no_cache = true;
        let (result, events) = fixture.build(&request);
        assert!(result.is_ok(), "{result:?} {events:?}");
        assert!(lines(&events).contains(&"it runs"), "{events:?}");
    }
}

#[test]
fn a_layer_that_the_daemon_lacks_is_told_or_sent() {
    let mut fixture = DaemonFixture::new(None);
    let (other, _) = fixture.parent("lacking");
    let absent = fixture.name("lacking-absent").to_string();
    let name = fixture.name("lacking");
    let layers = Layers::new();
    let text = format!("nobody has it {}", std::process::id());
    let lower = layers.layer(&[Entry::in_memory("below", text, false)], Compression::None);
    let new = [layers.layer(&above(), Compression::Gzip)];
    let image = child_of(std::slice::from_ref(&lower.layer.diff_id), &new, "185");
    let lacking = LoadRequest {
        image: &image,
        layers: &new,
        parent: None,
        reference: &name,
    };
    let daemon = &fixture.daemon;
    // The containerd store is asked for the layer itself.
    let its = |said| match daemon.blobs().unwrap() {
        Some(_) => "it has no compressed layer",
        None => said,
    };
    for (parent, said) in [
        (Some(absent), its("it has no such image")),
        (Some(other.to_string()), its("has other layers")),
        (None, "no parent has"),
    ] {
        let digests = [image.digest.clone()];
        let parent = parent.as_deref().map(|name| LoadParent {
            name,
            ids: &digests,
        });
        let request = LoadRequest { parent, ..lacking };
        let error = daemon.load(&request).unwrap_err();
        assert_eq!(error.code(), "E609");
        let text = error.to_string();
        assert!(text.contains(said), "{text}");
        let hint = parent
            .map(|parent| format!("`docker pull {}` gets them, then run it again", parent.name));
        assert_eq!(error.hint(), hint);
        assert_eq!(daemon.inspect(&name.to_string()).unwrap(), None);
    }
    let all = [lower.clone(), new[0].clone()];
    let whole = LoadRequest {
        layers: &all,
        ..lacking
    };
    assert_eq!(daemon.load(&whole).unwrap().diff_ids, image.info.diff_ids);
    assert_eq!(fixture.files(&name)["both"], "above");
    let itself = LoadParent {
        name: &name.to_string(),
        ids: &[],
    };
    let request = LoadRequest {
        parent: Some(itself),
        ..lacking
    };
    let again = fixture.daemon.load(&request).unwrap();
    assert_eq!(again.id, fixture.id(&image));
}

#[test]
fn a_layer_that_is_not_what_its_descriptor_says_is_not_loaded() {
    let mut fixture = DaemonFixture::new(None);
    let (parent, below) = fixture.parent("damaged");
    let (name, parent) = (fixture.name("damaged"), parent.to_string());
    let layers = Layers::new();
    let right = layers.layer(&above(), Compression::Gzip);
    let bytes = fs_err::read(&right.file).unwrap();
    // The name belongs to another image, and has to stay with it.
    fixture.daemon.tag(&below.id, &name).unwrap();
    let load = |layer: &LayerFile| {
        let image = fixture.child(&parent, std::slice::from_ref(layer), "185");
        let request = LoadRequest {
            image: &image,
            layers: std::slice::from_ref(layer),
            parent: Some(LoadParent {
                name: &parent,
                ids: &[],
            }),
            reference: &name,
        };
        let error = fixture.daemon.load(&request).unwrap_err();
        let named = fixture.daemon.inspect(&name.to_string()).unwrap().unwrap();
        assert_eq!(named.id, below.id, "{error}");
        let id = fixture.id(&image);
        let made = fixture.daemon.inspect(id.as_str()).unwrap();
        assert_eq!(made, None, "{error}");
        (error.code(), error.to_string())
    };
    let mut damaged = bytes.clone();
    damaged[20] ^= 1;
    let file = right.file.display().to_string();
    for content in [&damaged[..], &bytes[1..], b""] {
        fs_err::write(&right.file, content).unwrap();
        let (code, text) = load(&right);
        assert_eq!(code, "E608");
        assert!(text.contains(&format!("`{file}` changed")), "{text}");
    }
    fs_err::remove_file(&right.file).unwrap();
    let (code, text) = load(&right);
    assert!(code == "E608" && text.contains(&file), "{text}");

    fs_err::write(&right.file, &bytes).unwrap();
    let mut other = right.clone();
    other.layer.diff_id = Digest::of(b"another tar");
    let (code, text) = load(&other);
    assert!(
        code == "E609" && text.to_lowercase().contains("diff"),
        "{text}"
    );
    // Bytes that are right, and cannot be unpacked.
    let file: PathBuf = right.file.with_extension("broken");
    fs_err::write(&file, &damaged).unwrap();
    let mut broken = right.clone();
    broken.layer.descriptor = Descriptor::of(Compression::Gzip.media_type(), &damaged);
    broken.file = file;
    assert_eq!(load(&broken).0, "E609");
}

/// Everything that a config says about containers.
const RICH: &str = r#"FROM scratch
COPY below /below
COPY Dockerfile /
ENV PATH=/bin LANG=C
LABEL a="b $HOME"
USER 185:185
WORKDIR /work
ENTRYPOINT ["/entry", "-x"]
CMD ["run"]
EXPOSE 4040 53/udp
VOLUME ["/data"]
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=30s --retries=2 CMD ["/bin/true"]
ONBUILD RUN x
"#;

#[test]
fn an_image_of_the_daemon_alone_is_a_parent() {
    let mut fixture = DaemonFixture::new(None);
    let parent = fixture.name("documents-parent");
    let entries = vec![Entry::in_memory("below", "below", false)];
    let (built, _) = fixture.build(&request(&parent, RICH, entries));
    let below = built.unwrap();
    let parent = parent.to_string();
    let documents = fixture.daemon.parent(&parent).unwrap().unwrap();
    assert_eq!(fixture.daemon.parent(&parent).unwrap().unwrap(), documents);
    let own = crate::image::validate(&documents.manifest, &documents.config).unwrap();
    assert_eq!(own.diff_ids, below.diff_ids);
    assert_eq!(
        (&own.platform, &own.labels),
        (&below.platform, &below.labels)
    );
    // The size of the containerd store is that of the compressed layers and the unpacked files together.
    let is_compressed = fixture.daemon.blobs().unwrap().is_some();
    assert_ne!(own.size > below.size, is_compressed);

    let name = fixture.name("documents");
    let layers = Layers::new();
    let new = [layers.layer(&above(), Compression::Gzip)];
    let added = [new[0].layer.clone()];
    let image = assemble(documents.as_parent(), &added, &ConfigChanges::default()).unwrap();
    let request = LoadRequest {
        image: &image,
        layers: &new,
        parent: Some(LoadParent {
            name: &parent,
            ids: &[],
        }),
        reference: &name,
    };
    let loaded = fixture.daemon.load(&request).unwrap();
    assert!(loaded.stands_on(&below));
    let run = |name: &str| {
        let client = &fixture.daemon.client;
        let answer = fixture.daemon.ask(client.inspect_image(name)).unwrap();
        (answer.config.unwrap(), answer.created)
    };
    let (mut wanted, created) = run(&parent);
    assert_eq!(wanted.exposed_ports.as_ref().unwrap().len(), 2);
    assert!(wanted.healthcheck.is_some() && wanted.on_build.is_some() && wanted.shell.is_some());
    let (mut found, its) = run(&name.to_string());
    for config in [&mut wanted, &mut found] {
        config.exposed_ports.as_mut().unwrap().sort();
    }
    assert_eq!((found, its), (wanted, created));
    if is_compressed {
        let manifest = ImageManifest::parse(&documents.manifest).unwrap();
        assert_eq!(Digest::of(&documents.manifest), below.id);
        assert_ne!(manifest.layers[0].digest, below.diff_ids[0]);
    }
    let absent = fixture.name("documents-absent").to_string();
    assert_eq!(fixture.daemon.parent(&absent).unwrap(), None);
}

#[test]
fn an_exported_image_is_loaded_whole() {
    let mut fixture = DaemonFixture::new(None);
    let (parent, below) = fixture.parent("exported");
    let folder = tempfile::tempdir().unwrap();
    let absent = fixture.name("exported-absent").to_string();
    assert!(
        fixture
            .daemon
            .export(&absent, &|_, _| true, folder.path())
            .unwrap()
            .is_none()
    );
    let id = below.id.as_str();
    let exported = fixture.daemon.export(id, &|_, _| true, folder.path());
    let exported = exported.unwrap().unwrap();
    let diff_ids = exported.layers.iter().map(|file| &file.layer.diff_id);
    assert!(diff_ids.eq(&below.diff_ids));
    for file in &exported.layers {
        let bytes = fs_err::read(&file.file).unwrap();
        assert_eq!(Digest::of(&bytes), file.layer.descriptor.digest);
        assert_eq!(bytes.len() as u64, file.layer.descriptor.size);
    }
    let kept = fs_err::read_dir(folder.path()).unwrap().count();
    assert_eq!(kept, exported.layers.len(), "nothing else of the archive");

    let name = fixture.name("exported");
    let layers = Layers::new();
    let new = [layers.layer(&above(), Compression::Gzip)];
    let image = child_on(&exported.documents, &new, "185");
    fixture.remove(&parent.to_string());
    let request = LoadRequest {
        image: &image,
        layers: &[&exported.layers[..], &new].concat(),
        parent: None,
        reference: &name,
    };
    let loaded = fixture.daemon.load(&request).unwrap();
    assert_eq!(loaded.diff_ids, image.info.diff_ids);
    let files = fixture.files(&name);
    let expected = format!("exported {}", std::process::id());
    assert_eq!(files["below"], expected);
    assert_eq!(files["both"], "above");
}
