//! The fingerprint's record: everything that can change an image, and nothing else.
//!
//! | input | row | why |
//! |---|---|---|
//! | the format | `format, N` | the rules below are those of one format |
//! | the stage's name | `stage, NAME` | it is a label of the image |
//! | the platform | `platform, OS/ARCHITECTURE` | |
//! | the Dockerfile's bytes, CRLF as LF | `dockerfile, SHA-256` | its `RUN` lines, above all |
//! | the Dockerfile's stage that is wanted | `target, NAME` | |
//! | the build arguments that it declares | `build-argument, NAME, VALUE` | others cannot reach the image |
//! | a rebuild that was asked for | `revision, NUMBER, REASON` | it is what moves the tag |
//! | each file that a `COPY` can match | `file, PATH, 0644 or 0755, SHA-256` | the context is written from these rows |
//! | each symbolic link among them | `symlink, PATH, TARGET` | |
//! | each parent | `parent, ROLE, STAGE, FINGERPRINT` | never by registry, repository or tag |
//! | each external image | `external, ROLE, SHA-256` | by the lock, never by its name |
//! | each source | `source, ROLE, UNPACK, SHA-256` | |
//! | the job's main file | `main, NAME, SHA-256` | what `package` makes counts by its inputs |
//! | each file of `jobs.zip` | `module, PATH, 0644 or 0755, SHA-256` | |
//! | each wheel | `wheel, FILE NAME, SHA-256` | what is installed of them counts by them |
//!
//! Out, because they must not move a tag: time, user, host, the checkout's path, umask, locale, the order of folders,
//! the commit, registries, mirrors, proxies, sparkpack's version; manifests, locks and `dist/`.
//!
//! The encoding: `sparkpack-fingerprint` and a newline, then each row, sorted and once, as the number of its fields and
//! `;`, and each field as its length in bytes, `:`, its bytes and `,`. No two records have the same bytes.

use std::{
    collections::BTreeSet,
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

/// The largest record that is read, in bytes: a label of somebody else's may unpack to anything.
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
    /// The wanted stage of the Dockerfile.
    Target(String),
    /// A declared build argument.
    BuildArgument {
        /// Its name.
        name: String,
        /// The value that the configuration gives it.
        value: String,
    },
    /// A rebuild that was asked for.
    Revision {
        /// Which one.
        number: u32,
        /// Why.
        reason: String,
    },
    /// A context file.
    File {
        /// Its path in the context.
        path: String,
        /// Whether it can be executed.
        executable: bool,
        /// Of its bytes.
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
        /// `FROM`, `COPY --from`, or the build argument's name.
        role: String,
        /// The stage's name.
        stage: String,
        /// Its fingerprint.
        fingerprint: Digest,
    },
    /// An image from elsewhere.
    External {
        /// `FROM`, `COPY --from`, or the build argument's name.
        role: String,
        /// As the lock has it.
        digest: Digest,
    },
    /// A source.
    Source {
        /// The build argument's or context's name, or the folder that its files go to.
        role: String,
        /// How it is unpacked.
        unpack: String,
        /// Its checksum.
        sha256: Digest,
    },
    /// The file that `spark-submit` runs.
    Main {
        /// Its name.
        name: String,
        /// Of its bytes.
        digest: Digest,
    },
    /// A file of `jobs.zip`.
    Module {
        /// Its path in the zip.
        path: String,
        /// Whether it can be executed.
        executable: bool,
        /// Of its bytes.
        digest: Digest,
    },
    /// A wheel.
    Wheel {
        /// Its file name.
        file_name: String,
        /// Its checksum.
        sha256: Digest,
    },
}

impl Input {
    /// The context file or link that `entry` is.
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

    /// The row: the kind of input first.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        let mode = |executable: bool| if executable { "0755" } else { "0644" }.to_owned();
        let row = |fields: &[&dyn ToString]| fields.iter().map(|field| field.to_string()).collect();
        match self {
            Self::Format(format) => row(&[&"format", format]),
            Self::Stage(name) => row(&[&"stage", name]),
            Self::Platform(platform) => row(&[&"platform", platform]),
            Self::Dockerfile(digest) => row(&[&"dockerfile", digest]),
            Self::Target(target) => row(&[&"target", target]),
            Self::BuildArgument { name, value } => row(&[&"build-argument", name, value]),
            Self::Revision { number, reason } => row(&[&"revision", number, reason]),
            Self::File {
                path,
                executable,
                digest,
            } => row(&[&"file", path, &mode(*executable), digest]),
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
            Self::Main { name, digest } => row(&[&"main", name, digest]),
            Self::Module {
                path,
                executable,
                digest,
            } => row(&[&"module", path, &mode(*executable), digest]),
            Self::Wheel { file_name, sha256 } => row(&[&"wheel", file_name, sha256]),
        }
    }
}

/// All inputs of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    rows: BTreeSet<Vec<String>>,
}

impl Record {
    /// Adds an input.
    pub fn add(&mut self, input: &Input) {
        self.rows.insert(input.fields());
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
            // Writing into a vector cannot fail.
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

    /// The record whose canonical bytes these are.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut record = Self::default();
        while !rest.is_empty() {
            let count = number(&mut rest, b';')?;
            // A field has at least two bytes: more of them than that are not there.
            let mut row = Vec::with_capacity(count.min(rest.len()));
            for _ in 0..count {
                let length = number(&mut rest, b':')?;
                let field = rest.get(..length)?;
                row.push(String::from_utf8(field.to_vec()).ok()?);
                rest = rest.get(length..)?.strip_prefix(b",")?;
            }
            record.rows.insert(row);
        }
        // Only the canonical bytes have the fingerprint that the image says it has.
        (record.bytes() == bytes).then_some(record)
    }

    /// The record of a label.
    #[must_use]
    pub fn of_label(label: &str) -> Option<Self> {
        let deflated = URL_SAFE_NO_PAD.decode(label).ok()?;
        let mut bytes = Vec::new();
        let mut decoder = DeflateDecoder::new(deflated.as_slice()).take(RECORD_LIMIT);
        decoder.read_to_end(&mut bytes).ok()?;
        Self::parse(&bytes)
    }
}

/// The decimal number before `end`, which is taken off `rest`.
fn number(rest: &mut &[u8], end: u8) -> Option<usize> {
    let length = rest.iter().take(20).position(|byte| *byte == end)?;
    let text = std::str::from_utf8(rest.get(..length)?).ok()?;
    let number = text.parse().ok()?;
    *rest = rest.get(length + 1..)?;
    Some(number)
}

/// The fingerprint of a stage of several platforms: that of the sorted list of (platform, fingerprint).
#[must_use]
pub fn combined(platforms: &[(Platform, Digest)]) -> Option<Digest> {
    match platforms {
        [] => None,
        [(_, only)] => Some(only.clone()),
        several => {
            let mut rows = Record::default();
            for (platform, fingerprint) in several {
                rows.rows.insert(vec![
                    "platform".to_owned(),
                    platform.to_string(),
                    fingerprint.to_string(),
                ]);
            }
            Some(rows.fingerprint())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(inputs: &[Input]) -> Record {
        let mut record = Record::default();
        for input in inputs {
            record.add(input);
        }
        record
    }

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

    /// These never change within a format: a tag that was published must stay computable.
    #[test]
    fn golden_vectors_of_format_1() {
        let golden = |inputs: &[Input]| record(inputs).fingerprint().short(16).to_owned();
        let every = every_kind();
        let mut vectors = vec![golden(&[])];
        vectors.extend(
            every
                .iter()
                .map(|input| golden(std::slice::from_ref(input))),
        );
        vectors.push(golden(&every));
        let published = [
            "4fcd482824892218",
            "0b3a944effc76b71",
            "03bda8efbaabe467",
            "335045d7da9e3381",
            "eead231b263a9990",
            "41e35aa15206a01d",
            "12599cfea87b5053",
            "3a601cd1c4960cfa",
            "87d57cb9a958855b",
            "09701cfd8319fc87",
            "80040bba70ab8803",
            "f8deeab1b76c522e",
            "3733cd5fbd5005dd",
            "c06eda49ee4712d8",
            "286e293434e68332",
            "aaea84ae22ac385d",
            "f43a012d3ab0b1fd",
        ];
        assert_eq!(vectors, published);
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let record = record(&[Input::Stage("ü".to_owned()), Input::Format(1)]);
        let wanted = "sparkpack-fingerprint\n2;6:format,1:1,2;5:stage,2:ü,";
        assert_eq!(String::from_utf8(record.bytes()).unwrap(), wanted);
        assert_eq!(record.fingerprint(), Digest::of(wanted.as_bytes()));
    }

    #[test]
    fn a_record_is_read_back_from_its_bytes_and_its_label() {
        let record = record(&every_kind());
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

    fn any_row() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[a-c0-9:;,\n]{0,4}", 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Neither joining, splitting nor moving bytes between fields or rows makes two records equal.
        #[test]
        fn different_rows_have_different_bytes(
            left in proptest::collection::btree_set(any_row(), 0..4),
            right in proptest::collection::btree_set(any_row(), 0..4),
        ) {
            let bytes = |rows: &BTreeSet<Vec<String>>| Record { rows: rows.clone() }.bytes();
            prop_assert_eq!(left == right, bytes(&left) == bytes(&right));
        }
    }
}
