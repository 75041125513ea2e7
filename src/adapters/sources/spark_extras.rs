//! What the extras of `PySpark` bring, from the source that a chain's Spark comes from.
//!
//! `PySpark`'s source distribution tells it in `PKG-INFO` or, in older ones, in `requires.txt`; Spark's binary distribution
//! has only the `setup.py` that both are made by, which is not run but read.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::{Fetcher, Progress, SourceError};
use crate::{
    image::Digest,
    project::{
        source::{Origin, Source},
        wheel::normalise,
    },
};

/// The largest of the files that are read.
const SIZE_LIMIT: u64 = 4 << 20;

/// A file that tells what the extras bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    PackageInfo,
    Requires,
    Setup,
}

/// Where the files lie in a distribution, the best first.
const PLACES: [(&str, Telling); 7] = [
    ("PKG-INFO", Telling::PackageInfo),
    ("pyspark.egg-info/requires.txt", Telling::Requires),
    ("python/pyspark.egg-info/requires.txt", Telling::Requires),
    (
        "python/packaging/classic/pyspark.egg-info/requires.txt",
        Telling::Requires,
    ),
    ("setup.py", Telling::Setup),
    ("python/packaging/classic/setup.py", Telling::Setup),
    ("python/setup.py", Telling::Setup),
];

impl Fetcher {
    /// What each extra of `PySpark` brings, as requirements.
    ///
    /// # Errors
    /// The source cannot be fetched or read. `Ok` with nothing means that it tells of no extras.
    pub fn spark_extras(
        &self,
        source: &Source,
        expected: Option<&Digest>,
        progress: Progress<'_>,
    ) -> Result<SparkExtras, SourceError> {
        let (_, path) = match &source.origin {
            Origin::Path(path) if path.is_dir() => {
                return Ok(of_folder(path)?);
            }
            _ => self.blob(source, expected, progress)?,
        };
        let file = BufReader::with_capacity(1 << 18, fs_err::File::open(&path)?);
        of_archive(file).map_err(|error| SourceError::BadArchive {
            archive: super::shown(&source.origin),
            reason: error.to_string(),
        })
    }
}

/// The requirements of each extra, by its normalised name.
pub type SparkExtras = BTreeMap<String, Vec<String>>;

fn of_folder(folder: &Path) -> io::Result<SparkExtras> {
    for (place, telling) in PLACES {
        let file = folder.join(place);
        if file.is_file() {
            let extras = telling.read(&fs_err::read_to_string(file)?);
            if !extras.is_empty() {
                return Ok(extras);
            }
        }
    }
    Ok(SparkExtras::new())
}

fn of_archive(mut archive: impl Read) -> io::Result<SparkExtras> {
    let mut head = [0; 2];
    archive.read_exact(&mut head)?;
    let whole = io::Cursor::new(head).chain(archive);
    if head == [0x1f, 0x8b] {
        of_tar(MultiGzDecoder::new(whole))
    } else {
        of_tar(whole)
    }
}

fn of_tar(reader: impl Read) -> io::Result<SparkExtras> {
    let mut best: Option<(usize, SparkExtras)> = None;
    for entry in tar::Archive::new(reader).entries()? {
        let entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let inner = name.trim_start_matches("./").split_once('/');
        let inner = inner.map_or("", |(_, inner)| inner);
        let Some(rank) = PLACES.iter().position(|(place, _)| *place == inner) else {
            continue;
        };
        let mut text = String::new();
        entry.take(SIZE_LIMIT).read_to_string(&mut text)?;
        let extras = PLACES[rank].1.read(&text);
        if extras.is_empty() || best.as_ref().is_some_and(|(known, _)| *known < rank) {
            continue;
        }
        if rank == 0 {
            return Ok(extras);
        }
        best = Some((rank, extras));
    }
    Ok(best.map(|(_, extras)| extras).unwrap_or_default())
}

impl Telling {
    fn read(self, text: &str) -> SparkExtras {
        match self {
            Self::PackageInfo => of_package_info(text),
            Self::Requires => of_requires(text),
            Self::Setup => of_setup(text),
        }
    }
}

/// `Requires-Dist: numpy>=1.21; extra == "ml"`.
fn of_package_info(text: &str) -> SparkExtras {
    let mut extras = SparkExtras::new();
    let head = text.lines().take_while(|line| !line.trim().is_empty());
    for line in head {
        let Some(requirement) = line.strip_prefix("Requires-Dist: ") else {
            continue;
        };
        let Some((requirement, marker)) = requirement.split_once(';') else {
            continue;
        };
        let quoted = marker
            .split_once("extra ==")
            .and_then(|(_, name)| name.trim_start().get(1..)?.split(['"', '\'']).next());
        if let Some(extra) = quoted {
            extras
                .entry(normalise(extra))
                .or_default()
                .push(requirement.trim().to_owned());
        }
    }
    extras
}

/// Sections `[ml]` with a requirement a line.
fn of_requires(text: &str) -> SparkExtras {
    let mut extras = SparkExtras::new();
    let mut section = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
        {
            section = Some(normalise(name.split(':').next().unwrap_or_default()));
        } else if let Some(name) = &section {
            extras
                .entry(name.clone())
                .or_default()
                .push(line.to_owned());
        }
    }
    extras
}

/// `extras_require={"ml": ["numpy>=%s" % _minimum_numpy_version], …}`.
fn of_setup(text: &str) -> SparkExtras {
    let constants: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(" = ")?;
            let value = value.strip_prefix('"')?;
            Some((name, value.split('"').next()?))
        })
        .collect();
    let mut extras = SparkExtras::new();
    let Some((_, rest)) = text.split_once("extras_require") else {
        return extras;
    };
    let table = rest.split('}').next().unwrap_or_default();
    let mut current = String::new();
    let mut rest = table;
    while let Some((_, begin)) = rest.split_once('"') {
        let Some((string, after)) = begin.split_once('"') else {
            break;
        };
        rest = after;
        let next = after.trim_start();
        if next.starts_with(':') {
            current = normalise(string);
            continue;
        }
        let argument = next.strip_prefix('%').map(|argument| {
            let argument = argument.trim_start();
            let end =
                argument.find(|character: char| !character.is_alphanumeric() && character != '_');
            &argument[..end.unwrap_or(argument.len())]
        });
        let requirement = match argument {
            None => Some(string.to_owned()),
            Some(name) => constants
                .get(name)
                .map(|value| string.replacen("%s", value, 1)),
        };
        extras
            .entry(current.clone())
            .or_default()
            .extend(requirement);
    }
    extras
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "Metadata-Version: 2.4\nName: pyspark\nRequires-Dist: py4j<0.11\nProvides-Extra: ml\n\
        Requires-Dist: numpy>=1.21; extra == \"ml\"\nProvides-Extra: connect\n\
        Requires-Dist: grpcio>=1.76.0; extra == 'connect'\n\nRequires-Dist: no; extra == \"ml\"\n";
    const REQUIRES: &str = "py4j<0.11\n\n[connect]\ngrpcio>=1.76.0\n\n[ml]\nnumpy>=1.21\n";
    const SETUP: &str = "_minimum_numpy_version = \"1.21\"\n_minimum_grpc_version = \"1.76.0\"\nsetup(\n    name=\"pyspark\",\n\
        extras_require={\n    \"ml\": [\"numpy>=%s\" % _minimum_numpy_version],\n    \"connect\": [\n\
        \"grpcio>=%s\" % _minimum_grpc_version,\n    ],\n    },\n    python_requires=\">=3.10\",\n)\n";

    fn wanted() -> SparkExtras {
        let pair = |name: &str, requirement: &str| (name.to_owned(), vec![requirement.to_owned()]);
        [pair("ml", "numpy>=1.21"), pair("connect", "grpcio>=1.76.0")].into()
    }

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn every_file_that_tells_the_extras_tells_the_same() {
        assert_eq!(of_package_info(INFO), wanted());
        assert_eq!(of_requires(REQUIRES), wanted());
        assert_eq!(of_setup(SETUP), wanted());
    }

    #[test]
    fn the_best_file_of_a_distribution_counts() {
        let sdist = [
            ("pyspark-4.1.4/setup.py", SETUP),
            (
                "pyspark-4.1.4/PKG-INFO",
                "Name: pyspark\nProvides-Extra: ml\n",
            ),
            ("pyspark-4.1.4/pyspark.egg-info/requires.txt", REQUIRES),
            (
                "pyspark-4.1.4/deps/jars/setup.py",
                "extras_require={\"x\": [\"y\"]}",
            ),
        ];
        let spark = [
            ("./spark-4.1.4-bin-hadoop3/README.md", "extras_require"),
            (
                "./spark-4.1.4-bin-hadoop3/python/packaging/classic/setup.py",
                SETUP,
            ),
        ];
        for files in [&sdist[..], &spark] {
            let plain = archive(files);
            assert_eq!(of_archive(&plain[..]).unwrap(), wanted());
            let mut packed = flate2::read::GzEncoder::new(&plain[..], flate2::Compression::fast());
            let mut bytes = Vec::new();
            packed.read_to_end(&mut bytes).unwrap();
            assert_eq!(of_archive(&bytes[..]).unwrap(), wanted());
        }
        let nothing = archive(&[("spark/README.md", "")]);
        assert!(of_archive(&nothing[..]).unwrap().is_empty());
        assert!(of_archive(&b"<html>"[..]).is_err());
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("python")).unwrap();
        fs_err::write(folder.path().join("python/setup.py"), SETUP).unwrap();
        assert_eq!(of_folder(folder.path()).unwrap(), wanted());
    }
}
