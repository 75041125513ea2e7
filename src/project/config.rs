//! The schema of `sparkpack.toml`, and the place in the file of each value.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{Deserialize, Deserializer, de};
use serde_spanned::Spanned;

use super::{
    place::{Defect, Place, nearest},
    repeated, utf8,
};
use crate::code::Code;

/// The name of the configuration file.
pub const FILE_NAME: &str = "sparkpack.toml";

/// The configuration format that this version reads.
pub(super) const FORMAT: u32 = 1;

/// The largest configuration that is read, in bytes: a larger one is a mistake.
const SIZE_LIMIT: usize = 1 << 20;

pub(super) type Text = Spanned<String>;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    pub(super) format: Spanned<u32>,
    pub(super) project: Text,
    #[serde(default)]
    pub(super) registries: BTreeMap<String, Text>,
    pub(super) reference: Option<Text>,
    #[serde(default)]
    pub(super) formerly: Vec<Text>,
    #[serde(default)]
    pub(super) insecure: Vec<Text>,
    pub(super) platforms: Option<Vec<Text>>,
    #[serde(default)]
    pub(super) exclude: Vec<Text>,
    pub(super) ca: Option<Text>,
    #[serde(default)]
    pub(super) mirrors: Mirrors,
    pub(super) builder: Option<Spanned<BuilderTable>>,
    #[serde(default)]
    pub(super) python: Python,
    #[serde(default)]
    pub(super) chains: BTreeMap<String, Spanned<ChainTable>>,
    #[serde(default)]
    pub(super) sources: BTreeMap<String, Spanned<SourceTable>>,
    #[serde(default)]
    pub(super) images: BTreeMap<String, Spanned<ImageTable>>,
    #[serde(default)]
    pub(super) manifests: BTreeMap<String, Spanned<Vec<Text>>>,
    pub(super) pin: Option<Text>,
    #[serde(default)]
    pub(super) anchors: Vec<Text>,
    #[serde(default)]
    pub(super) untracked: Vec<Text>,
    #[serde(default)]
    pub(super) secrets: SecretsTable,
    #[serde(default)]
    pub(super) places: Vec<PlaceTable>,
}

/// `[secrets]`: what looks like a credential, and may go into an image all the same.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SecretsTable {
    #[serde(default)]
    pub(super) allow: Vec<AllowanceTable>,
}

/// An entry of `[secrets] allow`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AllowanceTable {
    pub(super) path: Text,
    pub(super) rule: Text,
}

/// `[[places]]`: where a kind of object that sparkpack does not know holds image references.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PlaceTable {
    pub(super) group: Text,
    pub(super) kind: Text,
    pub(super) path: Text,
}

/// `[mirrors]`: where to fetch from instead; never an input of a fingerprint.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Mirrors {
    #[serde(default)]
    pub(super) registries: BTreeMap<String, Text>,
    pub(super) python: Option<Text>,
    pub(super) maven: Option<Text>,
    pub(super) debian: Option<Text>,
}

/// `[builder]`: the `BuildKit`s that build Dockerfiles; never an input of a fingerprint.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BuilderTable {
    pub(super) address: Option<Text>,
    pub(super) ca: Option<Text>,
    pub(super) certificate: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) insecure: Option<bool>,
    pub(super) cache: Option<Text>,
    #[serde(default)]
    pub(super) platforms: BTreeMap<String, Spanned<BuilderPlatformTable>>,
}

/// `[builder.platforms."OS/ARCHITECTURE"]`. What it does not say is as under `[builder]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BuilderPlatformTable {
    pub(super) address: Text,
    pub(super) ca: Option<Text>,
    pub(super) certificate: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) insecure: Option<bool>,
}

/// `[python]`: how requirements are installed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Python {
    pub(super) installer: Option<Text>,
    pub(super) time_limit: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) indexes: BTreeMap<String, Text>,
    pub(super) glibc: Option<Text>,
}

/// `[chains.NAME]`: a Spark version, a Python version, and the images that are built on them; or an image from elsewhere
/// that has both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ChainTable {
    pub(super) image: Option<Text>,
    pub(super) spark: Option<Text>,
    pub(super) python: Option<Text>,
    pub(super) java: Option<Text>,
    pub(super) scala: Option<Text>,
    pub(super) glibc: Option<Text>,
    pub(super) spark_home: Option<Text>,
    pub(super) site_packages: Option<Spanned<Vec<String>>>,
    pub(super) binding: Option<Spanned<Vec<String>>>,
    pub(super) supplied: Option<Spanned<Vec<Text>>>,
    pub(super) root: Option<Text>,
    pub(super) spark_source: Option<Text>,
    #[serde(default)]
    pub(super) jars: Jars,
    pub(super) operator: Option<Spanned<Operator>>,
}

/// `[chains.NAME.jars]`: connector jars, by the image that gets them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Jars {
    #[serde(default)]
    pub(super) base: Vec<Text>,
    #[serde(default)]
    pub(super) ds: Vec<Text>,
}

/// `[chains.NAME.operator]`: where the Spark operator's binary comes from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Operator {
    pub(super) image: Option<Text>,
    pub(super) path: Option<Text>,
    pub(super) source: Option<Text>,
}

/// `[sources.NAME]`: files from outside the checkout, pinned by a checksum.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SourceTable {
    pub(super) url: Option<Text>,
    pub(super) path: Option<Text>,
    pub(super) maven: Option<Text>,
    pub(super) pypi: Option<Text>,
    pub(super) sha256: Option<Text>,
    pub(super) unpack: Option<bool>,
    pub(super) strip: Option<usize>,
}

/// `[images.NAME]`: an image of the project, or a replacement for one of a chain's images.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ImageTable {
    pub(super) parent: Option<Text>,
    pub(super) dockerfile: Option<Text>,
    pub(super) context: Option<Text>,
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Text>,
    #[serde(default)]
    pub(super) build_args: BTreeMap<String, Text>,
    pub(super) target: Option<Text>,
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, Spanned<SecretTable>>,
    #[serde(default)]
    pub(super) ssh: bool,
    pub(super) platforms: Option<Vec<Text>>,
    pub(super) src: Option<Spanned<OneOrMore>>,
    pub(super) main: Option<Spanned<OneOrMore>>,
    #[serde(default)]
    pub(super) files: Vec<Text>,
    pub(super) code: Option<Text>,
    pub(super) requirements: Option<Text>,
    #[serde(default)]
    pub(super) extras: Vec<Text>,
    #[serde(default)]
    pub(super) groups: Vec<Text>,
    #[serde(default)]
    pub(super) from_source: Vec<Text>,
    #[serde(default)]
    pub(super) build_packages: Vec<Text>,
    pub(super) wheels: Option<Text>,
    pub(super) each: Option<Text>,
    #[serde(default)]
    pub(super) exclude: Vec<Text>,
    #[serde(default)]
    pub(super) include: Vec<Text>,
    #[serde(default)]
    pub(super) ignore_imports: Vec<Text>,
}

/// A text, or a list of texts.
#[derive(Debug)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<Text>),
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

struct OneOrMoreVisitor;

impl<'de> de::Visitor<'de> for OneOrMoreVisitor {
    type Value = OneOrMore;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a list of strings")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(OneOrMore::One(text.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(text) = texts.next_element()? {
            found.push(text);
        }
        Ok(OneOrMore::More(found))
    }
}

/// `[images.NAME] secrets.ID`: a secret that steps of the Dockerfile may mount.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SecretTable {
    pub(super) file: Option<Text>,
    pub(super) env: Option<Text>,
}

/// The configuration's text and name, to turn byte offsets into places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Origin<'_> {
    pub(super) fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        Place::of_offset(self.file, self.text, spanned.span().start)
    }

    pub(super) fn defect<T>(
        &self,
        code: Code,
        spanned: &Spanned<T>,
        message: impl Into<String>,
    ) -> Defect {
        Defect::new(code, self.place(spanned), message)
    }
}

/// Decodes the bytes of a configuration: UTF-8, with or without a byte-order mark.
pub(super) fn decode<'a>(file: &Path, bytes: &'a [u8]) -> Result<&'a str, Defect> {
    if bytes.len() > SIZE_LIMIT {
        return Err(Defect::new(
            Code::E012,
            Place::of_line(file, 1),
            "more than 1 MiB: this is no sparkpack configuration",
        ));
    }
    let text = utf8::decode(file, bytes).map_err(|error| error.defect(Code::E011))?;
    Ok(utf8::without_mark(text))
}

/// Reads the schema. The error is the first mistake in the file.
pub(super) fn parse(origin: Origin<'_>) -> Result<Config, Defect> {
    let config: Config = toml::from_str(origin.text).map_err(|error| translate(origin, &error))?;
    match *config.format.get_ref() {
        FORMAT => Ok(config),
        0 => Err(origin
            .defect(Code::E022, &config.format, "`format = 0` has never been")
            .hint("write `format = 1`")),
        newer => {
            let message = format!(
                "`format = {newer}` is newer than this sparkpack, which knows format {FORMAT}"
            );
            Err(origin
                .defect(Code::E026, &config.format, message)
                .hint("install a newer sparkpack"))
        }
    }
}

fn translate(origin: Origin<'_>, error: &toml::de::Error) -> Defect {
    let offset = error.span().map_or(0, |span| span.start);
    let place = Place::of_offset(origin.file, origin.text, offset);
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field") {
        let (key, known) = quoted
            .split_first()
            .map_or(("", &[][..]), |(key, known)| (*key, known));
        let defect = Defect::new(Code::E021, place, format!("unknown key `{key}`"));
        return match nearest(key, known.iter().copied()) {
            Some(near) => defect.hint(format!("did you mean `{near}`?")),
            None => defect.hint(format!("the keys here are {}", listed(known))),
        };
    }
    if message.starts_with("missing field") {
        let key = quoted.first().copied().unwrap_or_default();
        return Defect::new(Code::E023, place, format!("the key `{key}` is missing"))
            .hint(missing_hint(key));
    }
    if message.starts_with("invalid type") || message.starts_with("invalid value") {
        let defect = Defect::new(Code::E022, place, message.to_owned());
        let wanted = message
            .rsplit_once("expected ")
            .map_or("", |(_, wanted)| wanted);
        return defect.hint(match wanted {
            "a string" => "put the value into quotes: `\"…\"`".to_owned(),
            "a sequence" => "write a list: `[\"…\"]`".to_owned(),
            "a boolean" => "write `true` or `false`, without quotes".to_owned(),
            "a string or a list of strings" => "write `\"…\"` or `[\"…\", \"…\"]`".to_owned(),
            "a map" => "write a table: `[NAME]` and its keys below it".to_owned(),
            other => format!("write {other}; the README has every key"),
        });
    }
    if message.starts_with("duplicate key")
        && let Some((key, first)) = repeated::first(origin.file, origin.text, offset)
    {
        let message = format!("`{key}` is there already, at {first}");
        return Defect::new(Code::E020, place, message).hint("keep one of the two");
    }
    let line = origin
        .text
        .lines()
        .nth(place.line - 1)
        .unwrap_or_default()
        .trim_end();
    let shown: String = line.chars().take(120).collect();
    let defect = Defect::new(
        Code::E020,
        place,
        format!("{} in `{shown}`", message.trim()),
    );
    defect.hint("mend that line: the file is TOML")
}

pub(super) fn missing_hint(key: &str) -> String {
    match key {
        "format" => "begin the file with `format = 1`".to_owned(),
        "project" => "name the project: `project = \"orders\"`".to_owned(),
        "spark" => "a chain names its Spark: `spark = \"4.1.4\"`".to_owned(),
        "python" => "a chain names its Python: `python = \"3.11\"`".to_owned(),
        other => format!("add `{other}`"),
    }
}

/// The names in backticks, separated by commas.
pub(super) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    quoted.join(", ")
}
