//! The fingerprint's record: everything that can change an image, and nothing else.
//!
//! # In
//!
//! | input | row | why |
//! |---|---|---|
//! | the format | `format, N` | the rules below are those of one format |
//! | the stage's name | `stage, NAME` | it is a label of the image |
//! | the platform | `platform, OS/ARCHITECTURE` | builders and `TARGETARCH` take it |
//! | the Dockerfile's bytes, CRLF as LF | `dockerfile, SHA-256` | it says how the image is made; a comment is a part of it, since no line says for sure that it is one |
//! | the Dockerfile's stage that is wanted, as the configuration writes it | `target, NAME` | the last one otherwise |
//! | that the context is the job's own package (`context = "dist"`) | `context, package` | the same `COPY` then has other paths |
//! | the configured build arguments that the Dockerfile declares | `build-argument, NAME, VALUE` | others are not sent; one that can only name images counts by what it names, unless it has a part in choosing one of the Dockerfile's own stages; `ROOT`, `SPARK`, `OPERATOR` and `PARENT` of a chain count in the same way, and no stage is given them |
//! | a rebuild that was asked for | `revision, NUMBER, REASON` | it is what moves the tag |
//! | each file that a `COPY`, an `ADD` or a bind mount of the wanted stage can match | `file, PATH, 0644 or 0755, SHA-256` | the context is written from these rows |
//! | each symbolic link among them | `symlink, PATH, TARGET` | and what it leads to, by its own row |
//! | each stage of the project that it stands on or copies from | `parent, ROLE, STAGE, FINGERPRINT` | never by registry, repository or tag |
//! | each image from elsewhere | `external, ROLE, SHA-256` | by the lock, never by its name |
//! | each source | `source, ROLE, FORM, SHA-256` | FORM: `spark`, `archive STRIP`, `file MODE NAME`, or `no` for a folder, whose names and bits its SHA-256 covers |
//! | where the files go that are added to an image without a Dockerfile | `place, WHAT, FOLDER` | `$SPARK_HOME` is the parent's, which follows from the parent |
//! | what is put before the parent's value of a variable of such an image | `environment, NAME, VALUE` | the rest follows from the parent |
//! | where Spark is in an image from elsewhere, if the configuration tells it | `spark-home, FOLDER` | otherwise it follows from the image |
//! | the job's main file | `main, NAME, SHA-256` | what `package` makes counts by its inputs |
//! | each file of `jobs.zip` | `module, PATH, 0644 or 0755, SHA-256` | a link by what it leads to |
//! | that the job's code is a folder too | `code, folder` | it is an archive alone otherwise |
//! | each file beside the job's code: further main files, and those of `files` | `job-file, PATH, 0644 or 0755, SHA-256` | by its path below the job's folder |
//! | each wheel that its parents do not have | `wheel, FILE NAME, SHA-256` | what is installed counts by what it is installed from; of one that is built from a source, and kept nowhere, it is the SHA-256 of the archive, or of the repository, folder and commit |
//! | each package that `build-packages` names, where such a wheel is built | `build-package, NAME` | it decides what is built |
//!
//! ROLE says what the image is for: `FROM 1`, `COPY --from 2`, `RUN --mount 3` count what the wanted stages stand on and
//! copy from, the Dockerfile's own stages and `scratch` among them, which have no row; `context` and `jars/NAME` are
//! sources that become context files. Where it cannot be decided what a `COPY` matches (a variable that a parent or
//! the builder may define, `COPY --parents`), or where a stage below has `ONBUILD`, the whole context counts; `ONBUILD` in
//! the Dockerfile itself counts as if it ran here.
//!
//! # Out, because it must not move a tag
//!
//! - What is not sent: files that no `COPY` matches or that `.dockerignore` and the built-in rules leave out, empty
//!   folders, manifests, `sparkpack.toml`, locks, pins, `dist/`. A `.dockerignore` counts where it is copied, as any file.
//! - What sent files do not have: times, owners, permissions but the executable bit of the owner, hard links, the
//!   Dockerfile's own path, the checkout's path, the order of folders.
//! - How files become layers, in an image without a Dockerfile: that is a constant of the format.
//! - What only leads to an input: the text of requirements, tags and names of images, the URL of a source that is
//!   unpacked, `exclude`, where in the project a context lies, the names of chains and sources.
//! - Names that differ between places: registries, repositories, `formerly`, `reference`, mirrors, proxies. A proxy is
//!   given to a build only as an argument that is configured and declared.
//! - Secrets: a Dockerfile has their names, and only those.
//! - Who builds, when and where: time, user, host, umask, locale, the number of cores, the commit, the version of
//!   sparkpack.
//! - What no machine can know before: the builder, its own platform (`BUILDPLATFORM`), its frontend (`# syntax=`) and
//!   what the network gives a `RUN`, an `ADD` or the build of a wheel. `plan` says which stages are not reproducible, and a revision is the
//!   honest way to build them again.
//!
//! # The encoding
//!
//! `sparkpack-fingerprint` and a newline, then each row, sorted and once, as the number of its fields and `;`, and each
//! field as its length in bytes, `:`, its bytes and `,`. No two records have the same bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use crate::{
    image::{Digest, Platform},
    project::tree::{Content, Entry},
};

/// The largest record that becomes a label, in characters of the label.
const LABEL_LIMIT: usize = 32 * 1024;

/// The largest record that is read, in bytes: a foreign label may decompress to any size.
const RECORD_LIMIT: u64 = 256 << 20;

/// What the canonical bytes begin with.
const MAGIC: &[u8] = b"sparkpack-fingerprint\n";

/// One input of a stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// The fingerprint's format.
    Format(u32),
    /// The stage's name.
    Stage(String),
    /// The platform.
    Platform(Platform),
    /// The Dockerfile's bytes.
    Dockerfile(Digest),
    /// The Dockerfile's stage that is built.
    Target(String),
    /// The context is the job's own package, whose files count by the other rows.
    PackageContext,
    /// A declared build argument.
    BuildArgument {
        /// Its name.
        name: String,
        /// The value that the configuration gives it.
        value: String,
    },
    /// A rebuild that a person asked for.
    Revision {
        /// Its number.
        number: u32,
        /// The reason.
        reason: String,
    },
    /// A context file.
    File {
        /// Its path in the context.
        path: String,
        /// Whether it can be executed.
        executable: bool,
        /// The digest of its bytes.
        digest: Digest,
    },
    /// A symbolic link of the context.
    Symlink {
        /// Its path in the context.
        path: String,
        /// Its target.
        target: String,
    },
    /// Another stage.
    Parent {
        /// What it is for: `FROM 1`, `COPY --from 2`, `RUN --mount 3`.
        role: String,
        /// The stage's name.
        stage: String,
        /// Its fingerprint.
        fingerprint: Digest,
    },
    /// An image from elsewhere.
    External {
        /// What it is for: `FROM 1`, `COPY --from 2`, `RUN --mount 3`.
        role: String,
        /// The digest in the lock.
        digest: Digest,
    },
    /// A source.
    Source {
        /// What it is for: `FROM 1`, `COPY --from 2`, `RUN --mount 3`, `context`, `jars/NAME`.
        role: String,
        /// How it is unpacked, or the file's name.
        unpack: String,
        /// Its checksum.
        sha256: Digest,
    },
    /// Where files go that are added to an image.
    Place {
        /// What they are.
        what: String,
        /// The folder.
        folder: String,
    },
    /// What is put before the parent's value of an environment variable.
    Environment {
        /// The variable's name.
        name: String,
        /// The text, with `:` between its items.
        value: String,
    },
    /// Spark's folder in an image from elsewhere, as it is configured.
    SparkHome(String),
    /// The file that `spark-submit` runs.
    Main {
        /// Its name.
        name: String,
        /// The digest of its bytes.
        digest: Digest,
    },
    /// A file of `jobs.zip`.
    Module {
        /// Its path in the zip.
        path: String,
        /// Whether it can be executed.
        executable: bool,
        /// The digest of its bytes.
        digest: Digest,
    },
    /// The job's code is a folder besides the archive.
    CodeFolder,
    /// A file beside the job's code.
    JobFile {
        /// Its path below the job's folder.
        path: String,
        /// Whether it can be executed.
        executable: bool,
        /// The digest of its bytes.
        digest: Digest,
    },
    /// A wheel.
    Wheel {
        /// Its file name.
        file_name: String,
        /// Its checksum; that of its source, if it is built from one.
        sha256: Digest,
    },
    /// A package that is installed where wheels are built from their sources.
    BuildPackage(String),
}

impl Input {
    /// The input for a context file or link.
    #[must_use]
    pub fn of_context(entry: &Entry) -> Self {
        let path = entry.path.clone();
        match &entry.content {
            Content::File {
                digest, executable, ..
            } => Self::File {
                path,
                executable: *executable,
                digest: digest.clone(),
            },
            Content::Symlink { target } => Self::Symlink {
                path,
                target: target.clone(),
            },
        }
    }

    /// The row's fields, the kind of input first.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        let mode = |executable: bool| if executable { "0755" } else { "0644" };
        let row = |fields: &[&dyn ToString]| fields.iter().map(|field| field.to_string()).collect();
        match self {
            Self::Format(format) => row(&[&"format", format]),
            Self::Stage(name) => row(&[&"stage", name]),
            Self::Platform(platform) => row(&[&"platform", platform]),
            Self::Dockerfile(digest) => row(&[&"dockerfile", digest]),
            Self::Target(target) => row(&[&"target", target]),
            Self::PackageContext => row(&[&"context", &"package"]),
            Self::BuildArgument { name, value } => row(&[&"build-argument", name, value]),
            Self::Revision { number, reason } => row(&[&"revision", number, reason]),
            Self::File {
                path,
                executable,
                digest,
            } => row(&[&"file", path, &mode(*executable), &digest.as_str()]),
            Self::Symlink { path, target } => row(&[&"symlink", path, target]),
            Self::Parent {
                role,
                stage,
                fingerprint,
            } => row(&[&"parent", role, stage, fingerprint]),
            Self::External { role, digest } => row(&[&"external", role, digest]),
            Self::Source {
                role,
                unpack,
                sha256,
            } => row(&[&"source", role, unpack, sha256]),
            Self::Place { what, folder } => row(&[&"place", what, folder]),
            Self::Environment { name, value } => row(&[&"environment", name, value]),
            Self::SparkHome(folder) => row(&[&"spark-home", folder]),
            Self::Main { name, digest } => row(&[&"main", name, digest]),
            Self::Module {
                path,
                executable,
                digest,
            } => row(&[&"module", path, &mode(*executable), &digest.as_str()]),
            Self::CodeFolder => row(&[&"code", &"folder"]),
            Self::JobFile {
                path,
                executable,
                digest,
            } => row(&[&"job-file", path, &mode(*executable), &digest.as_str()]),
            Self::Wheel { file_name, sha256 } => row(&[&"wheel", file_name, sha256]),
            Self::BuildPackage(name) => row(&[&"build-package", name]),
        }
    }
}

/// All inputs of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    rows: BTreeSet<Vec<String>>,
}

impl Record {
    /// Adds an input's row.
    pub fn add(&mut self, input: &Input) {
        self.rows.insert(input.fields());
    }

    /// The record of these inputs.
    #[cfg(test)]
    pub(crate) fn of(inputs: &[Input]) -> Self {
        let mut record = Self::default();
        for input in inputs {
            record.add(input);
        }
        record
    }

    /// The record of a stage with several platforms: the fingerprint of each.
    #[must_use]
    pub fn of_platforms(platforms: &[(Platform, Digest)]) -> Self {
        let rows = platforms.iter().map(|(platform, fingerprint)| {
            vec![
                "platform".to_owned(),
                platform.to_string(),
                fingerprint.to_string(),
            ]
        });
        Self {
            rows: rows.collect(),
        }
    }

    /// The fingerprint of each platform, if it is the record of a stage with several.
    #[must_use]
    pub fn platforms(&self) -> Option<BTreeMap<Platform, Digest>> {
        let rows = self.rows();
        let platforms = rows.map(|row| match row {
            [kind, platform, fingerprint] if kind == "platform" => {
                Some((platform.parse().ok()?, fingerprint.parse().ok()?))
            }
            _ => None,
        });
        let platforms: Option<BTreeMap<_, _>> = platforms.collect();
        platforms.filter(|platforms| !platforms.is_empty())
    }

    /// The platform, if it is the record of a stage on one.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        self.rows().find_map(|row| match row {
            [kind, platform] if kind == "platform" => platform.parse().ok(),
            _ => None,
        })
    }

    /// The rows, sorted.
    pub fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.rows.iter().map(Vec::as_slice)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for row in &self.rows {
            // Writing to a vector cannot fail.
            drop(write!(bytes, "{};", row.len()));
            for field in row {
                drop(write!(bytes, "{}:", field.len()));
                bytes.extend_from_slice(field.as_bytes());
                bytes.push(b',');
            }
        }
        bytes
    }

    /// The fingerprint: the SHA-256 of the canonical bytes.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.bytes())
    }

    /// The record as a label, deflated and in URL-safe base64, unless it is too large for one.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&self.bytes()).ok()?;
        let label = URL_SAFE_NO_PAD.encode(encoder.finish().ok()?);
        (label.len() <= LABEL_LIMIT).then_some(label)
    }

    /// The record with these canonical bytes; `None` if they are not canonical.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut record = Self::default();
        while !rest.is_empty() {
            let count = number(&mut rest, b';')?;
            // A field takes at least two bytes, which bounds the number of fields.
            let mut row = Vec::with_capacity(count.min(rest.len()));
            for _ in 0..count {
                let length = number(&mut rest, b':')?;
                let field = rest.get(..length)?;
                row.push(String::from_utf8(field.to_vec()).ok()?);
                rest = rest.get(length..)?.strip_prefix(b",")?;
            }
            record.rows.insert(row);
        }
        // Other bytes for the same rows would have another fingerprint than the image's label.
        (record.bytes() == bytes).then_some(record)
    }

    /// The record in a label.
    #[must_use]
    pub fn of_label(label: &str) -> Option<Self> {
        let deflated = URL_SAFE_NO_PAD.decode(label).ok()?;
        let mut bytes = Vec::new();
        let mut decoder = DeflateDecoder::new(deflated.as_slice()).take(RECORD_LIMIT);
        decoder.read_to_end(&mut bytes).ok()?;
        Self::parse(&bytes)
    }
}

/// The decimal number before `end`; both are removed from `rest`.
fn number(rest: &mut &[u8], end: u8) -> Option<usize> {
    let length = rest.iter().take(20).position(|byte| *byte == end)?;
    let text = std::str::from_utf8(rest.get(..length)?).ok()?;
    let number = text.parse().ok()?;
    *rest = rest.get(length + 1..)?;
    Some(number)
}

/// The fingerprint of a stage with several platforms: that of the sorted list of platforms and their fingerprints.
#[must_use]
pub fn combined(platforms: &[(Platform, Digest)]) -> Option<Digest> {
    match platforms {
        [] => None,
        [(_, only)] => Some(only.clone()),
        several => Some(Record::of_platforms(several).fingerprint()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn every_kind() -> Vec<Input> {
        let text = |text: &str| text.to_owned();
        let digest = Digest::of(b"x");
        vec![
            Input::Format(1),
            Input::Stage(text("job")),
            Input::Platform(Platform::default()),
            Input::Dockerfile(digest.clone()),
            Input::Target(text("final")),
            Input::BuildArgument {
                name: text("A"),
                value: text("1"),
            },
            Input::Revision {
                number: 1,
                reason: text("CVE"),
            },
            Input::File {
                path: text("a b/ü"),
                executable: true,
                digest: digest.clone(),
            },
            Input::Symlink {
                path: text("l"),
                target: text("a"),
            },
            Input::Parent {
                role: text("FROM"),
                stage: text("ds"),
                fingerprint: digest.clone(),
            },
            Input::External {
                role: text("ROOT"),
                digest: digest.clone(),
            },
            Input::Source {
                role: text("SPARK"),
                unpack: text("spark"),
                sha256: digest.clone(),
            },
            Input::Main {
                name: text("main.py"),
                digest: digest.clone(),
            },
            Input::Module {
                path: text("jobs/a.py"),
                executable: false,
                digest: digest.clone(),
            },
            Input::Wheel {
                file_name: text("six-1.17.0-py2.py3-none-any.whl"),
                sha256: digest,
            },
        ]
    }

    /// These never change within a format: the tags of published images must stay computable.
    const PUBLISHED: [(&str, &str); 18] = [
        ("nothing", "4fcd482824892218"),
        ("format", "0b3a944effc76b71"),
        ("stage", "03bda8efbaabe467"),
        ("platform", "335045d7da9e3381"),
        ("dockerfile", "eead231b263a9990"),
        ("target", "41e35aa15206a01d"),
        ("build-argument", "12599cfea87b5053"),
        ("revision", "3a601cd1c4960cfa"),
        ("file", "87d57cb9a958855b"),
        ("symlink", "09701cfd8319fc87"),
        ("parent", "80040bba70ab8803"),
        ("external", "f8deeab1b76c522e"),
        ("source", "3733cd5fbd5005dd"),
        ("main", "c06eda49ee4712d8"),
        ("module", "286e293434e68332"),
        ("wheel", "aaea84ae22ac385d"),
        ("all of them", "f43a012d3ab0b1fd"),
        ("context", "62778739ee7068f9"),
    ];

    #[test]
    fn golden_vectors_of_format_1() {
        let every = every_kind();
        let mut found = vec![("nothing".to_owned(), Record::of(&[]))];
        for input in &every {
            found.push((
                input.fields()[0].clone(),
                Record::of(std::slice::from_ref(input)),
            ));
        }
        found.push(("all of them".to_owned(), Record::of(&every)));
        let context = Record::of(&[Input::PackageContext]);
        found.push(("context".to_owned(), context));
        let found: Vec<(&str, String)> = found
            .iter()
            .map(|(name, record)| (name.as_str(), record.fingerprint().short(16).to_owned()))
            .collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, tag)| (*name, &**tag)).collect();
        assert_eq!(found, PUBLISHED);
    }

    /// Texts that could confuse an encoding, with their permanent fingerprints.
    fn odd_texts() -> [(&'static str, Vec<Input>); 12] {
        let text = |text: &str| text.to_owned();
        let (digest, other) = (Digest::of(b"x"), Digest::of(b"y"));
        let file = |path: &str, executable, digest: &Digest| Input::File {
            path: text(path),
            executable,
            digest: digest.clone(),
        };
        let argument = |name: &str, value: &str| {
            vec![Input::BuildArgument {
                name: text(name),
                value: text(value),
            }]
        };
        let revision = Input::Revision {
            number: u32::MAX,
            reason: text("a\nb"),
        };
        let twice = vec![
            file("b", false, &digest),
            file("a", false, &other),
            file("b", false, &digest),
        ];
        let arm = Input::Platform("linux/arm64".parse().unwrap());
        [
            ("8122c10543a84056", argument("", "")),
            ("0ae15a0dc9497209", argument("A", "a:b,c;d\n2;")),
            ("be521de8bf723f32", argument("A", "é")),
            ("c0d9f0dda6f1a4b1", argument("A", "e\u{301}")),
            ("d725a774414d46d6", vec![file("a\nb", false, &digest)]),
            ("208cd7e344154e39", vec![file("a", false, &digest)]),
            ("62d6182fc4ee347a", vec![file("a", true, &digest)]),
            ("d30a97ab14bc73ae", vec![file("a", false, &other)]),
            (
                "e389475045b15d62",
                vec![file(&"d/".repeat(2000), false, &digest)],
            ),
            ("70bc7f21c2b3be8a", vec![arm]),
            ("7f12f461367e3f80", vec![revision]),
            ("c9e719c2f75d6f71", twice),
        ]
    }

    #[test]
    fn the_folder_of_spark_has_a_golden_vector() {
        let record = Record::of(&[Input::SparkHome("/srv/spark".to_owned())]);
        let wanted = "sparkpack-fingerprint\n2;10:spark-home,10:/srv/spark,";
        assert_eq!(String::from_utf8(record.bytes()).unwrap(), wanted);
        assert_eq!(record.fingerprint(), Digest::of(wanted.as_bytes()));
    }

    #[test]
    fn files_beside_the_code_and_its_folder_have_golden_vectors() {
        let digest = Digest::of(b"x");
        let row = |mode: &str| {
            format!(
                "4;8:job-file,12:configs/a.js,4:{mode},71:{},",
                digest.as_str()
            )
        };
        let file = |executable| Input::JobFile {
            path: "configs/a.js".to_owned(),
            executable,
            digest: digest.clone(),
        };
        for (input, wanted) in [
            (Input::CodeFolder, "2;4:code,6:folder,".to_owned()),
            (file(false), row("0644")),
            (file(true), row("0755")),
        ] {
            let record = Record::of(&[input]);
            let wanted = format!("sparkpack-fingerprint\n{wanted}");
            assert_eq!(String::from_utf8(record.bytes()).unwrap(), wanted);
        }
    }

    #[test]
    fn golden_vectors_of_odd_texts_in_format_1() {
        for (wanted, inputs) in odd_texts() {
            assert_eq!(
                Record::of(&inputs).fingerprint().short(16),
                wanted,
                "{inputs:?}"
            );
        }
        let [arm, amd] = ["linux/arm64", "linux/amd64"].map(|text| text.parse().unwrap());
        let both = combined(&[(arm, Digest::of(b"x")), (amd, Digest::of(b"y"))]);
        assert_eq!(both.unwrap().short(16), "8a0f145b15d142c2", "two platforms");
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let record = Record::of(&[Input::Stage("ü".to_owned()), Input::Format(1)]);
        let wanted = "sparkpack-fingerprint\n2;6:format,1:1,2;5:stage,2:ü,";
        assert_eq!(String::from_utf8(record.bytes()).unwrap(), wanted);
        assert_eq!(record.fingerprint(), Digest::of(wanted.as_bytes()));
    }

    #[test]
    fn a_record_is_read_back_from_its_bytes_and_its_label() {
        let record = Record::of(&every_kind());
        let bytes = record.bytes();
        assert_eq!(Record::parse(&bytes), Some(record.clone()));
        assert_eq!(
            Record::of_label(&record.label().unwrap()),
            Some(record.clone())
        );
        for end in 0..bytes.len() {
            assert_ne!(
                Record::parse(&bytes[..end]),
                Some(record.clone()),
                "cut at {end}"
            );
        }
        let unsorted = "sparkpack-fingerprint\n2;5:stage,1:a,2;6:format,1:1,";
        assert_eq!(
            Record::parse(unsorted.as_bytes()),
            None,
            "not the canonical order"
        );
        assert_eq!(Record::of_label("no label"), None);
    }

    #[test]
    fn one_platform_is_its_own_fingerprint_and_several_are_sorted() {
        let [amd, arm] =
            ["linux/amd64", "linux/arm64"].map(|text| text.parse::<Platform>().unwrap());
        let [one, two] = [Digest::of(b"1"), Digest::of(b"2")];
        assert_eq!(combined(&[(amd.clone(), one.clone())]), Some(one.clone()));
        let forward = combined(&[(amd.clone(), one.clone()), (arm.clone(), two.clone())]);
        assert_eq!(
            forward,
            combined(&[(arm.clone(), two.clone()), (amd.clone(), one.clone())])
        );
        assert_ne!(forward, combined(&[(amd, two), (arm, one)]));
        assert_eq!(combined(&[]), None);
    }

    #[test]
    fn nothing_moves_between_fields_rows_or_files_unnoticed() {
        let text = |text: &str| text.to_owned();
        let argument = |name: &str, value: &str| Input::BuildArgument {
            name: text(name),
            value: text(value),
        };
        let file = |path: &str, bytes: &[u8]| Input::File {
            path: text(path),
            executable: false,
            digest: Digest::of(bytes),
        };
        let link = |path: &str, target: &str| Input::Symlink {
            path: text(path),
            target: text(target),
        };
        let module = |path: &str, bytes: &[u8]| Input::Module {
            path: text(path),
            executable: false,
            digest: Digest::of(bytes),
        };
        let main = |name: &str, bytes: &[u8]| Input::Main {
            name: text(name),
            digest: Digest::of(bytes),
        };
        let pairs: [(&[Input], &[Input]); 10] = [
            (&[argument("ab", "c")], &[argument("a", "bc")]),
            (
                &[argument("A", "1,1:B")],
                &[argument("A", "1"), argument("B", "")],
            ),
            (&[argument("A", "")], &[argument("", "A")]),
            (&[file("ab", b"c")], &[file("a", b"bc")]),
            (
                &[file("a", b"1"), file("b", b"2")],
                &[file("a", b"2"), file("b", b"1")],
            ),
            (&[file("a\nb", b"")], &[file("a", b""), file("b", b"")]),
            (&[link("a", "b")], &[link("b", "a")]),
            (&[file("a", b"b")], &[link("a", "b")]),
            (
                &[main("main.py", b"m"), module("a.py", b"a")],
                &[main("main.py", b"a"), module("a.py", b"m")],
            ),
            (&[file("a", b"")], &[module("a", b"")]),
        ];
        for (left, right) in pairs {
            assert_ne!(
                Record::of(left).fingerprint(),
                Record::of(right).fingerprint(),
                "{left:?} {right:?}"
            );
        }
    }

    /// Texts that an encoding without lengths could not tell apart.
    const ALPHABET: [&str; 12] = [
        "a", "b", "1", "2", "", ":", ";", ",", "\n", "1:a,", "2;", "é",
    ];

    /// The text of these pieces, split into fields and rows: 0 continues a field, 1 begins a field, 2 begins a row.
    fn rows(pieces: &[(u8, u8)]) -> BTreeSet<Vec<String>> {
        let mut rows = vec![vec![String::new()]];
        for (piece, cut) in pieces {
            match cut {
                1 => rows.last_mut().unwrap().push(String::new()),
                2 => rows.push(vec![String::new()]),
                _ => {}
            }
            let field = rows.last_mut().and_then(|row| row.last_mut()).unwrap();
            field.push_str(ALPHABET[usize::from(*piece)]);
        }
        rows.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// The same text split differently, and another text. Neither joining, splitting nor moving bytes between
        /// fields or rows makes two records equal, and each is parsed back unchanged.
        #[test]
        fn different_rows_have_different_bytes(
            pieces in proptest::array::uniform8((0..12_u8, 0..3_u8)),
            cuts in proptest::array::uniform8(0..3_u8),
            others in proptest::array::uniform4((0..12_u8, 0..3_u8)),
        ) {
            let cut: Vec<(u8, u8)> = pieces.iter().zip(cuts).map(|((piece, _), cut)| (*piece, cut)).collect();
            let records = [&pieces[..], &cut, &others].map(|pieces| Record { rows: rows(pieces) });
            let bytes = records.each_ref().map(Record::bytes);
            for (left, right) in [(0, 1), (0, 2), (1, 2)] {
                prop_assert_eq!(records[left] == records[right], bytes[left] == bytes[right]);
            }
            let read_back = Record::parse(&bytes[0]);
            prop_assert_eq!(read_back.as_ref(), Some(&records[0]));
        }
    }
}
