use std::collections::BTreeMap;

use oci_spec::image::{History, ImageConfiguration};
use serde::Deserialize as _;
use serde_json::{Value, value::RawValue};

use super::{
    Digest, ImageError, ImageInfo, ImageManifest, Layer, Platform,
    descriptor::PLATFORM_KEYS,
    fields::{Fields, bytes, json},
};

const WHAT: &str = "config";

/// An image's config, with every field of the original document.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// The digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// The image's platform.
    pub platform: Platform,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    fields: Fields,
}

/// The changes that an image makes to its parent's config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChanges {
    /// Variables to set; the others stay.
    pub env: BTreeMap<String, String>,
    /// Labels to set; the others stay.
    pub labels: BTreeMap<String, String>,
    /// The entry point. As in a Dockerfile, setting it drops the parent's command.
    pub entrypoint: Option<Vec<String>>,
    /// The command.
    pub cmd: Option<Vec<String>>,
    /// The user.
    pub user: Option<String>,
    /// The working directory.
    pub working_dir: Option<String>,
}

impl ImageConfig {
    /// Parses a config. Only the fields that are needed have to follow the OCI specification.
    ///
    /// # Errors
    /// It names no platform or no layers, or is another kind of document.
    pub fn parse(config: &[u8]) -> Result<Self, ImageError> {
        let fields: Fields = json(config, WHAT)?;
        let read = needed(&fields)?;
        let diff_ids = read.rootfs().diff_ids().iter().map(|text| text.parse());
        let diff_ids = diff_ids.collect::<Result<_, _>>();
        let labels = read.labels_of_config().into_iter().flatten();
        Ok(Self {
            diff_ids: diff_ids.map_err(|because| ImageError::Digest {
                what: WHAT,
                because,
            })?,
            platform: Platform::normal(
                read.os().to_string(),
                read.architecture().to_string(),
                read.variant().clone(),
            ),
            labels: labels
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            fields,
        })
    }

    /// The properties of the image that has this config and `manifest`.
    ///
    /// # Errors
    /// The two differ in the number of layers.
    pub fn info(&self, manifest: &ImageManifest) -> Result<ImageInfo, ImageError> {
        let (layers, diff_ids) = (manifest.layers.len(), self.diff_ids.len());
        if layers != diff_ids {
            return Err(ImageError::LayerCount { layers, diff_ids });
        }
        let sizes = manifest.layers.iter().map(|layer| layer.size);
        Ok(ImageInfo {
            id: manifest.config.digest.clone(),
            platform: self.platform.clone(),
            diff_ids: self.diff_ids.clone(),
            labels: self.labels.clone(),
            repo_digests: Vec::new(),
            size: sizes.fold(0, u64::saturating_add),
        })
    }

    /// The environment variables.
    ///
    /// # Errors
    /// They are not a list of texts.
    pub fn variables(&self) -> Result<BTreeMap<String, String>, ImageError> {
        let run: Fields = self.fields.get("config", WHAT)?.unwrap_or_default();
        let env: Vec<String> = run.get("Env", WHAT)?.unwrap_or_default();
        let pairs = env.iter().filter_map(|entry| entry.split_once('='));
        Ok(pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// The user that containers run as; `None` if it is not set.
    ///
    /// # Errors
    /// It is not a text.
    pub fn user(&self) -> Result<Option<String>, ImageError> {
        let run: Fields = self.fields.get("config", WHAT)?.unwrap_or_default();
        run.get("User", WHAT)
    }

    /// The words that every container is started with; none if there is no entrypoint.
    ///
    /// # Errors
    /// They are not a list of texts.
    pub fn entrypoint(&self) -> Result<Vec<String>, ImageError> {
        let run: Fields = self.fields.get("config", WHAT)?.unwrap_or_default();
        Ok(run.get("Entrypoint", WHAT)?.unwrap_or_default())
    }

    /// The number of layers that the history covers; `None` without a history.
    ///
    /// # Errors
    /// The history is malformed.
    pub fn layers_in_history(&self) -> Result<Option<usize>, ImageError> {
        let history: Option<Vec<History>> = self.fields.get("history", WHAT)?;
        let history = history.filter(|history| !history.is_empty());
        let made = |entry: &&History| entry.empty_layer() != Some(true);
        Ok(history.map(|history| history.iter().filter(made).count()))
    }

    /// Adds layers above the existing ones.
    pub(super) fn add_layers(&mut self, layers: &[Layer]) -> Result<(), ImageError> {
        let history = self.history_with(layers)?;
        self.fields.set("history", &history, WHAT)?;
        let added = layers.iter().map(|layer| layer.diff_id.clone());
        self.diff_ids.extend(added);
        let mut rootfs: Fields = self.fields.get("rootfs", WHAT)?.unwrap_or_default();
        if !rootfs.has("type") {
            rootfs.set("type", "layers", WHAT)?;
        }
        rootfs.set("diff_ids", &self.diff_ids, WHAT)?;
        self.fields.set("rootfs", &rootfs, WHAT)
    }

    /// The history with an entry for each new layer. Programs match entries to layers by position, so parent layers
    /// without an entry first get a placeholder.
    fn history_with(&self, layers: &[Layer]) -> Result<Vec<Box<RawValue>>, ImageError> {
        let mut history: Vec<Box<RawValue>> = self.fields.get("history", WHAT)?.unwrap_or_default();
        let created: Option<String> = self.fields.get("created", WHAT)?;
        let told = self.layers_in_history()?.unwrap_or_default();
        let untold = self.diff_ids.len().saturating_sub(told);
        let mut nothing = History::default();
        nothing.set_comment(Some("a layer without a history".to_owned()));
        let entries = layers.iter().map(|layer| layer.history.clone());
        for mut entry in std::iter::repeat_n(nothing, untold).chain(entries) {
            if entry.created().is_none() {
                entry.set_created(created.clone());
            }
            entry.set_empty_layer(None);
            let raw = serde_json::value::to_raw_value(&entry);
            history.push(raw.map_err(|because| ImageError::Json {
                what: WHAT,
                because,
            })?);
        }
        Ok(history)
    }

    /// Changes the settings with which containers are started.
    pub(super) fn change(&mut self, changes: &ConfigChanges) -> Result<(), ImageError> {
        if *changes == ConfigChanges::default() {
            return Ok(());
        }
        let mut run: Fields = self.fields.get("config", WHAT)?.unwrap_or_default();
        if !changes.env.is_empty() {
            let env = run.get("Env", WHAT)?.unwrap_or_default();
            run.set("Env", &with_variables(env, &changes.env), WHAT)?;
        }
        if !changes.labels.is_empty() {
            let mut labels: Fields = run.get("Labels", WHAT)?.unwrap_or_default();
            for (name, value) in &changes.labels {
                labels.set(name, value, WHAT)?;
            }
            run.set("Labels", &labels, WHAT)?;
            self.labels.extend(changes.labels.clone());
        }
        if let Some(entrypoint) = &changes.entrypoint {
            run.set("Entrypoint", entrypoint, WHAT)?;
            run.remove("Cmd");
        }
        if let Some(cmd) = &changes.cmd {
            run.set("Cmd", cmd, WHAT)?;
        }
        if let Some(user) = &changes.user {
            run.set("User", user, WHAT)?;
        }
        if let Some(folder) = &changes.working_dir {
            run.set("WorkingDir", folder, WHAT)?;
        }
        self.fields.set("config", &run, WHAT)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, ImageError> {
        bytes(&self.fields, WHAT)
    }
}

/// The needed fields in OCI's type. Other fields are not checked.
fn needed(fields: &Fields) -> Result<ImageConfiguration, ImageError> {
    let wrong = |because| ImageError::Json {
        what: WHAT,
        because,
    };
    let mut kept = fields.only(&PLATFORM_KEYS).map_err(wrong)?;
    kept.retain(|_, value| !value.is_null());
    if let Some(rootfs) = fields.get::<Fields>("rootfs", WHAT)? {
        let mut rootfs = rootfs.only(&["diff_ids"]).map_err(wrong)?;
        rootfs.insert("type".to_owned(), "layers".into());
        kept.insert("rootfs".to_owned(), rootfs.into());
    }
    if let Some(run) = fields.get::<Fields>("config", WHAT)? {
        let labels = run.only(&["Labels"]).map_err(wrong)?;
        kept.insert("config".to_owned(), labels.into());
    }
    ImageConfiguration::deserialize(Value::Object(kept)).map_err(wrong)
}

/// Sets existing variables in place, and appends new ones.
fn with_variables(env: Vec<String>, changes: &BTreeMap<String, String>) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let present: Vec<String> = env.iter().map(|entry| name(entry)).collect();
    let changed = env.into_iter().map(|entry| {
        let name = name(&entry);
        changes
            .get(&name)
            .map_or(entry, |value| format!("{name}={value}"))
    });
    let new = changes.iter().filter(|(name, _)| !present.contains(name));
    let new = new.map(|(name, value)| format!("{name}={value}"));
    changed.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(config: &Value) -> Result<ImageConfig, String> {
        ImageConfig::parse(config.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    fn changed(config: &Value, changes: &ConfigChanges) -> Value {
        let mut config = parse(config).unwrap();
        config.change(changes).unwrap();
        serde_json::from_slice(&config.to_bytes().unwrap()).unwrap()
    }

    fn with_run(run: &Value) -> Value {
        json!({"os": "linux", "architecture": "amd64", "config": run, "rootfs": {"diff_ids": []}})
    }

    #[test]
    fn only_what_is_needed_has_to_be_right() {
        let config = json!({
            "os": "linux", "architecture": "arm64", "variant": "v8", "created": 12, "history": "none",
            "rootfs": {"diff_ids": [Digest::of(b"a")]},
            "config": {"Entrypoint": "a text", "Volumes": {"/a": null}, "Labels": {"a": "b"}},
        });
        let read = parse(&config).unwrap();
        assert_eq!(read.platform.to_string(), "linux/arm64");
        assert_eq!(read.diff_ids, [Digest::of(b"a")]);
        assert_eq!(read.labels["a"], "b");
        for (key, value, said) in [
            ("os", json!(null), "missing field `os`"),
            ("architecture", json!(1), "invalid type"),
            ("rootfs", json!(null), "missing field `rootfs`"),
            ("rootfs", json!({"diff_ids": ["x"]}), "`x` is not a digest"),
            ("config", json!({"Labels": {"a": 1}}), "invalid type"),
        ] {
            let mut config = config.clone();
            config[key] = value;
            let error = parse(&config).unwrap_err();
            assert!(error.starts_with("the config is none: "), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn variables_keep_their_places() {
        let env = ["PATH=/bin", "A=1", "EMPTY=", "ODD", "A=2"];
        let changes = [("A", "x=y"), ("ODD", "1"), ("NEW", ""), ("B", "b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let env = env.map(str::to_owned).to_vec();
        assert_eq!(
            with_variables(env, &changes),
            [
                "PATH=/bin",
                "A=x=y",
                "EMPTY=",
                "ODD=1",
                "A=x=y",
                "B=b",
                "NEW="
            ]
        );
    }

    #[test]
    fn variables_are_read() {
        let config = with_run(&json!({"Env": ["PATH=/bin", "A=x=y", "ODD", "EMPTY="]}));
        let config = ImageConfig::parse(config.to_string().as_bytes()).unwrap();
        let read = config.variables().unwrap();
        let wanted = [("A", "x=y"), ("EMPTY", ""), ("PATH", "/bin")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, wanted.into());
        let none = ImageConfig::parse(with_run(&json!(null)).to_string().as_bytes()).unwrap();
        assert!(none.variables().unwrap().is_empty());
    }

    #[test]
    fn an_entry_point_takes_the_parents_command_away() {
        let before = with_run(&json!({"Entrypoint": ["a"], "Cmd": ["b"], "User": "u"}));
        let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
        let changes = ConfigChanges {
            entrypoint: words(&["c"]),
            ..ConfigChanges::default()
        };
        let after = changed(&before, &changes);
        assert_eq!(after["config"], json!({"Entrypoint": ["c"], "User": "u"}));
        let changes = ConfigChanges {
            cmd: words(&["d"]),
            ..changes
        };
        let after = changed(&before, &changes);
        assert_eq!(
            after["config"],
            json!({"Entrypoint": ["c"], "Cmd": ["d"], "User": "u"})
        );
    }

    #[test]
    fn a_config_without_settings_gets_them() {
        for run in [json!(null), json!({}), json!({"Env": null, "Labels": null})] {
            let changes = ConfigChanges {
                env: [("A".to_owned(), "1".to_owned())].into(),
                labels: [("l".to_owned(), "m".to_owned())].into(),
                user: Some("185".to_owned()),
                working_dir: Some("/opt".to_owned()),
                ..ConfigChanges::default()
            };
            let after = changed(&with_run(&run), &changes);
            let expected =
                json!({"Env": ["A=1"], "Labels": {"l": "m"}, "User": "185", "WorkingDir": "/opt"});
            assert_eq!(after["config"], expected);
        }
    }
}
