use proptest::{collection, option, prelude::*};
use serde_json::{Map, Value, json};

use super::*;
use crate::image::{Compression, History};

/// A parent's documents, as values that a test may change.
#[derive(Clone, Debug)]
struct Documents {
    manifest: Value,
    config: Value,
}

impl Documents {
    fn new(family: Family, layers: u8) -> Self {
        let diff_ids: Vec<_> = (0..layers).map(|at| Digest::of(&[at])).collect();
        let history = diff_ids
            .iter()
            .map(|digest| json!({"created_by": format!("ADD {digest}"), "docker": true}));
        let config = json!({
            "os": "linux", "architecture": "amd64", "created": "2026-01-02T03:04:05.678Z",
            "docker_version": "20.10.7", "container_config": {"Hostname": "h", "Cmd": ["#(nop)"]},
            "config": {
                "Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"], "User": "185", "OnBuild": ["RUN x"],
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000_u64},
                "Shell": ["/bin/bash", "-c"], "Labels": {"maintainer": "m"}, "StopSignal": "SIGINT",
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history.collect::<Vec<_>>(),
        });
        let of_layer = |at: u8| {
            let media_type = family.layer(&MediaType::ImageLayerGzip).unwrap();
            json!({"mediaType": media_type, "digest": Digest::of(&[at, 1]), "size": 7,
                "annotations": {"of": "a layer"}})
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": family.manifest(), "annotations": {"of": "an image"},
            "layers": (0..layers).map(of_layer).collect::<Vec<_>>(),
        });
        let mut documents = Self { manifest, config };
        documents.seal(&family.config());
        documents
    }

    /// Updates the manifest's descriptor of the config.
    fn seal(&mut self, media_type: &MediaType) {
        let config = self.config.to_string();
        self.manifest["config"] =
            serde_json::to_value(Descriptor::of(media_type.clone(), config.as_bytes())).unwrap();
    }

    fn assemble(
        &self,
        layers: &[Layer],
        changes: &ConfigChanges,
    ) -> Result<AssembledImage, ImageError> {
        let (manifest, config) = (self.manifest.to_string(), self.config.to_string());
        let parent = ParentImage {
            manifest: manifest.as_bytes(),
            config: config.as_bytes(),
        };
        assemble(parent, layers, changes)
    }
}

fn layer(compression: Compression, name: &str) -> Layer {
    let mut history = History::default();
    history.set_created_by(Some(format!("sparkpack {name}")));
    Layer {
        descriptor: Descriptor::of(compression.media_type(), name.as_bytes()),
        diff_id: Digest::of(format!("the tar of {name}").as_bytes()),
        history,
    }
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_layer_is_put_on_a_parent_of_either_family() {
    for (family, gzip) in [
        (Family::Oci, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (
            Family::Docker,
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
    ] {
        let parent = Documents::new(family, 2);
        let added = layer(Compression::Gzip, "jobs");
        let image = parent
            .assemble(std::slice::from_ref(&added), &ConfigChanges::default())
            .unwrap();

        let mut config = parent.config.clone();
        let diff_ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
        diff_ids.push(json!(added.diff_id));
        let history = config["history"].as_array_mut().unwrap();
        history
            .push(json!({"created": "2026-01-02T03:04:05.678Z", "created_by": "sparkpack jobs"}));
        assert_eq!(value(&image.config), config);

        let mut layers = parent.manifest["layers"].clone();
        let digest = &added.descriptor.digest;
        let own = json!({"mediaType": gzip, "digest": digest, "size": 4});
        layers.as_array_mut().unwrap().push(own);
        let descriptor = Descriptor::of(family.config(), &image.config);
        assert_eq!(
            value(&image.manifest),
            json!({"schemaVersion": 2, "mediaType": family.manifest(), "config": descriptor, "layers": layers})
        );
        assert_eq!(image.digest, Digest::of(&image.manifest));
        assert_eq!(image.media_type, family.manifest());
        assert_eq!(image.info.size, 7 + 7 + 4);
        assert_eq!(
            image.info,
            validate(&image.manifest, &image.config).unwrap()
        );
        let again = ParentImage {
            manifest: &image.manifest,
            config: &image.config,
        };
        let child = assemble(again, &[], &ConfigChanges::default()).unwrap();
        assert_eq!(child, image, "nothing added is nothing changed");
    }
}

#[test]
fn numbers_that_no_program_can_hold_survive() {
    let mut parent = Documents::new(Family::Oci, 1);
    let config = parent.config.to_string();
    let odd = "{\"n\": 1e400, \"m\": 123456789012345678901234567890.10, \"k\": 1, \"k\": 2}";
    let config = format!("{{\"x-odd\": {odd}, {}", &config[1..]);
    let descriptor = Descriptor::of(Family::Oci.config(), config.as_bytes());
    parent.manifest["config"] = serde_json::to_value(descriptor).unwrap();
    let manifest = parent.manifest.to_string();
    let parent = ParentImage {
        manifest: manifest.as_bytes(),
        config: config.as_bytes(),
    };
    let layers = [layer(Compression::Gzip, "jobs")];
    let image = assemble(parent, &layers, &ConfigChanges::default()).unwrap();
    let text = String::from_utf8(image.config).unwrap();
    assert!(text.contains(&format!("\"x-odd\":{odd}")), "{text}");
}

#[test]
fn mixed_media_types_become_those_of_the_manifest() {
    let mut parent = Documents::new(Family::Oci, 2);
    let docker = Family::Docker.layer(&MediaType::ImageLayerGzip).unwrap();
    parent.manifest["layers"][0]["mediaType"] = json!(docker);
    parent.seal(&Family::Docker.config());
    let written = parent.manifest.to_string();
    let config = parent.config.to_string();
    let error = validate(written.as_bytes(), config.as_bytes()).unwrap_err();
    assert!(
        error.to_string().ends_with("config in the OCI format"),
        "{error}"
    );
    let zstd = layer(Compression::Zstd, "jobs");
    let image = parent.assemble(&[zstd], &ConfigChanges::default()).unwrap();
    let manifest = value(&image.manifest);
    let types = manifest["layers"].as_array().unwrap().iter();
    let types: Vec<_> = types
        .map(|layer| layer["mediaType"].as_str().unwrap())
        .collect();
    let gzip = MediaType::ImageLayerGzip;
    assert_eq!(
        types,
        [
            gzip.as_ref(),
            gzip.as_ref(),
            MediaType::ImageLayerZstd.as_ref()
        ]
    );
}

#[test]
fn a_history_that_leaves_layers_out_is_filled_up() {
    for (history, told) in [
        (json!(null), 0),
        (json!([]), 0),
        (json!([{"created_by": "ADD a"}, {"empty_layer": true}]), 1),
    ] {
        let mut parent = Documents::new(Family::Docker, 3);
        parent.config["history"] = history.clone();
        parent.seal(&Family::Docker.config());
        let layers = [layer(Compression::None, "jobs")];
        let image = parent.assemble(&layers, &ConfigChanges::default()).unwrap();
        let config = value(&image.config);
        let entries = config["history"].as_array().unwrap();
        let old = history.as_array().map_or(&[][..], Vec::as_slice);
        assert!(entries.starts_with(old));
        let untold = &entries[old.len()..entries.len() - 1];
        assert_eq!(untold.len(), 3 - told);
        for entry in untold {
            assert_eq!(entry["comment"], "a layer without a history");
        }
        assert_eq!(entries.last().unwrap()["created_by"], "sparkpack jobs");
    }
}

type Spoil = fn(&mut Documents);

#[test]
fn a_parent_that_is_no_image_is_refused() {
    let spoiled: [(Spoil, &str); 10] = [
        (|it| it.config["os"] = json!("windows"), "the config has"),
        (
            |it| it.config["created"] = json!("2027-01-02T03:04:05.678Z"),
            "the config has the digest",
        ),
        (|it| it.manifest["schemaVersion"] = json!(1), "of schema 1"),
        (
            |it| it.manifest["layers"] = json!([]),
            "the manifest has 0 layers, its config 1",
        ),
        (
            |it| it.manifest["mediaType"] = json!(Family::Oci.index()),
            "is not the media type of a manifest",
        ),
        (
            |it| it.manifest["layers"][0]["mediaType"] = json!("text/plain"),
            "`text/plain` is not the media type of a layer",
        ),
        (
            |it| it.seal(&MediaType::EmptyJSON),
            "is not the media type of a config in the OCI or Docker format",
        ),
        (
            |it| {
                it.config["os"] = json!("");
                it.seal(&Family::Oci.config());
            },
            "the config names no platform",
        ),
        (
            |it| {
                it.config["history"] = json!([{}, {}]);
                it.seal(&Family::Oci.config());
            },
            "the config has 1 layers, its history 2",
        ),
        (
            |it| {
                it.config["rootfs"]["diff_ids"] = json!(["sha256:x"]);
                it.seal(&Family::Oci.config());
            },
            "`sha256:x` is not a digest",
        ),
    ];
    for (spoil, expected) in spoiled {
        let mut parent = Documents::new(Family::Oci, 1);
        spoil(&mut parent);
        let error = parent.assemble(&[], &ConfigChanges::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn docker_has_no_layers_of_zstandard() {
    let zstd = layer(Compression::Zstd, "jobs");
    let parent = Documents::new(Family::Docker, 1);
    let error = parent
        .assemble(std::slice::from_ref(&zstd), &ConfigChanges::default())
        .unwrap_err();
    assert!(matches!(error, ImageError::MediaType { .. }), "{error}");
    let mut odd = parent;
    let docker = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    odd.manifest["layers"][0]["mediaType"] = json!(docker);
    let layers = [layer(Compression::Gzip, "jobs")];
    let image = odd.assemble(&layers, &ConfigChanges::default()).unwrap();
    assert_eq!(value(&image.manifest)["layers"][0]["mediaType"], docker);
}

#[test]
fn a_short_history_is_no_valid_image() {
    let mut parent = Documents::new(Family::Oci, 2);
    parent.config["history"] = json!([{}]);
    parent.seal(&Family::Oci.config());
    let (manifest, config) = (parent.manifest.to_string(), parent.config.to_string());
    let error = validate(manifest.as_bytes(), config.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the config has 2 layers, its history 1");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß\\n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            collection::btree_map("[A-Za-z_]{1,6}", inner, 0..3)
                .prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

/// A parent with unknown fields at all depths.
fn any_parent() -> impl Strategy<Value = Documents> {
    let unknown = || collection::btree_map("x-[a-z]{1,6}", any_json(), 0..4);
    let env = collection::vec("[A-C]=[a-z]{0,3}", 0..4);
    let labels = collection::btree_map("[a-c]", "[a-z]{0,3}", 0..3);
    let family = prop_oneof![Just(Family::Oci), Just(Family::Docker)];
    let parts = (family, 0_u8..4, option::of(env), option::of(labels));
    (parts, unknown(), unknown(), unknown(), unknown()).prop_map(
        |((family, layers, env, labels), top, run, rootfs, of_layer)| {
            let mut documents = Documents::new(family, layers);
            let config = &mut documents.config;
            config["config"]["Env"] = json!(env);
            config["config"]["Labels"] = json!(labels);
            extend(&mut config["config"], run);
            extend(&mut config["rootfs"], rootfs);
            extend(config, top);
            let layers = documents.manifest["layers"].as_array_mut().unwrap();
            for layer in layers {
                extend(layer, of_layer.clone());
            }
            documents.seal(&family.config());
            documents
        },
    )
}

fn extend(object: &mut Value, with: impl IntoIterator<Item = (String, Value)>) {
    object.as_object_mut().unwrap().extend(with);
}

fn any_changes() -> impl Strategy<Value = ConfigChanges> {
    let words = || option::of(collection::vec("[a-z]{0,3}", 0..3));
    (
        collection::btree_map("[B-D]", "[a-z=]{0,3}", 0..3),
        collection::btree_map("[b-d]", "[a-z]{0,3}", 0..3),
        words(),
        words(),
        option::of("[a-z]{0,3}"),
        option::of("/[a-z]{0,3}"),
    )
        .prop_map(
            |(env, labels, entrypoint, cmd, user, working_dir)| ConfigChanges {
                env,
                labels,
                entrypoint,
                cmd,
                user,
                working_dir,
            },
        )
}

fn any_layers() -> impl Strategy<Value = Vec<Layer>> {
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Gzip)];
    let layer = (compression, "[a-z]{1,4}").prop_map(|(how, name)| layer(how, &name));
    collection::vec(layer, 0..3)
}

/// The entries of an object, without some keys.
fn others(object: &Value, but: &[&str]) -> Map<String, Value> {
    let mut others = object.as_object().unwrap().clone();
    others.retain(|key, _| !but.contains(&key.as_str()));
    others
}

fn starts_with(longer: &Value, shorter: &Value) -> bool {
    let (longer, shorter) = (longer.as_array(), shorter.as_array());
    longer
        .unwrap()
        .starts_with(shorter.map_or(&[][..], Vec::as_slice))
}

/// The environment variables of a config; the last entry of a name counts.
fn variables(config: &Value) -> Map<String, Value> {
    let env = config["config"]["Env"].as_array().into_iter().flatten();
    let pairs = env.map(|entry| entry.as_str().unwrap().split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

fn with(old: &Value, new: &std::collections::BTreeMap<String, String>) -> Map<String, Value> {
    let mut all = old.as_object().cloned().unwrap_or_default();
    all.extend(new.iter().map(|(name, value)| (name.clone(), json!(value))));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn equal_inputs_make_equal_bytes(
        parent in any_parent(), layers in any_layers(), changes in any_changes(),
    ) {
        let first = parent.assemble(&layers, &changes).unwrap();
        let second = parent.clone().assemble(&layers.clone(), &changes.clone()).unwrap();
        prop_assert_eq!(first, second);
    }

    #[test]
    fn nothing_of_a_parent_is_lost(
        parent in any_parent(), layers in any_layers(), changes in any_changes(),
    ) {
        let image = parent.assemble(&layers, &changes).unwrap();
        let (before, after) = (&parent.config, value(&image.config));
        let apart = ["config", "rootfs", "history"];
        prop_assert_eq!(others(before, &apart), others(&after, &apart));
        prop_assert_eq!(others(&before["rootfs"], &["diff_ids"]), others(&after["rootfs"], &["diff_ids"]));
        prop_assert!(starts_with(&after["rootfs"]["diff_ids"], &before["rootfs"]["diff_ids"]));
        prop_assert!(starts_with(&after["history"], &before["history"]));

        let mut expected = parent.config["config"].clone();
        let named = [
            ("Entrypoint", json!(changes.entrypoint), changes.entrypoint.is_some()),
            ("Cmd", json!(changes.cmd), changes.cmd.is_some()),
            ("User", json!(changes.user), changes.user.is_some()),
            ("WorkingDir", json!(changes.working_dir), changes.working_dir.is_some()),
        ];
        if changes.entrypoint.is_some() {
            expected.as_object_mut().unwrap().remove("Cmd");
        }
        for (key, value, _) in named.into_iter().filter(|(.., is_set)| *is_set) {
            expected[key] = value;
        }
        let lists = ["Env", "Labels"];
        prop_assert_eq!(others(&expected, &lists), others(&after["config"], &lists));
        prop_assert_eq!(
            with(&Value::from(variables(before)), &changes.env),
            variables(&after)
        );
        prop_assert_eq!(
            with(&before["config"]["Labels"], &changes.labels),
            after["config"]["Labels"].as_object().cloned().unwrap_or_default()
        );
        let manifest = value(&image.manifest);
        prop_assert!(starts_with(&manifest["layers"], &parent.manifest["layers"]));
    }
}
