//! Sources: files from outside the checkout, pinned by a checksum (Spark, connector jars, the operator's binary).

use std::{ffi::OsStr, fmt, os::unix::fs::PermissionsExt, path::PathBuf, str::FromStr};

use super::ignore::escaped;
use crate::image::Digest;

/// One `[sources.NAME]`, or the Spark distribution of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name in the configuration.
    pub name: String,
    /// Where it is fetched from.
    pub origin: Origin,
    /// The checksum that the configuration demands.
    pub sha256: Option<Digest>,
    /// How a downloaded file is unpacked.
    pub unpack: Unpack,
}

/// The properties of a source that is a single file, besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFile {
    /// Its file name in a build.
    pub name: String,
    /// Whether it is executable in a build.
    pub executable: bool,
}

/// Where a source is fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `http://` or `https://`.
    Url(String),
    /// A file or a folder on this machine.
    Path(PathBuf),
    /// An artifact of a Maven repository.
    Maven(MavenCoordinates),
    /// The source distribution of a package on the Python index: `name==version`.
    PythonSdist {
        /// The project's name on the index.
        name: String,
        /// The exact version.
        version: String,
    },
}

/// How a downloaded file becomes the tree that a build sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpack {
    /// The file as it is, under its own name (a jar, a binary).
    No,
    /// An archive (tar, tar.gz or zip) without the given number of leading path components.
    Archive {
        /// Leading path components to leave out.
        strip: usize,
    },
    /// A Spark distribution: the binary one, or the one inside `PySpark`'s source distribution. It becomes
    /// `/opt/spark`.
    Spark,
}

/// `group:artifact:version`, and `:classifier` where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MavenCoordinates {
    /// For example `org.apache.hadoop`.
    pub group: String,
    /// For example `hadoop-aws`.
    pub artifact: String,
    /// The exact version.
    pub version: String,
    /// For example `shaded`.
    pub classifier: Option<String>,
}

impl Source {
    /// The file name of the source if it is a single file.
    #[must_use]
    pub fn file_name(&self) -> String {
        let name = match &self.origin {
            Origin::Url(url) => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let path = path.split_once("://").map_or(path, |(_, rest)| rest);
                path.split_once('/')
                    .and_then(|(_, path)| path.rsplit('/').next())
                    .map(str::to_owned)
            }
            Origin::Path(path) => path.file_name().and_then(OsStr::to_str).map(str::to_owned),
            Origin::Maven(coordinates) => Some(coordinates.file_name()),
            Origin::PythonSdist { name, version } => Some(format!("{name}-{version}.tar.gz")),
        };
        let usable = |name: &String| !matches!(&**name, "" | "." | "..") && *name == escaped(name);
        name.filter(usable).unwrap_or_else(|| self.name.clone())
    }

    /// The single file that this source is; `None` if it is a folder, is unpacked, or does not exist.
    #[must_use]
    pub fn single_file(&self) -> Option<SingleFile> {
        if self.unpack != Unpack::No {
            return None;
        }
        let executable = match &self.origin {
            Origin::Path(path) => {
                let metadata = fs_err::metadata(path)
                    .ok()
                    .filter(std::fs::Metadata::is_file)?;
                metadata.permissions().mode() & 0o100 != 0
            }
            Origin::Url(_) | Origin::Maven(_) | Origin::PythonSdist { .. } => false,
        };
        Some(SingleFile {
            name: self.file_name(),
            executable,
        })
    }
}

impl FromStr for MavenCoordinates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (3 | 4, true) = (
            parts.len(),
            parts
                .iter()
                .all(|part| valid(part) && *part != "." && *part != ".."),
        ) else {
            return Err(format!(
                "`{text}` is not `group:artifact:version` or `group:artifact:version:classifier`"
            ));
        };
        Ok(Self {
            group: parts[0].to_owned(),
            artifact: parts[1].to_owned(),
            version: parts[2].to_owned(),
            classifier: parts.get(3).map(|&part| part.to_owned()),
        })
    }
}

impl MavenCoordinates {
    /// The name of the jar in the repository.
    #[must_use]
    pub fn file_name(&self) -> String {
        let classifier = self
            .classifier
            .as_ref()
            .map(|name| format!("-{name}"))
            .unwrap_or_default();
        format!("{}-{}{classifier}.jar", self.artifact, self.version)
    }
}

impl fmt::Display for MavenCoordinates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}:{}",
            self.group, self.artifact, self.version
        )?;
        self.classifier
            .iter()
            .try_for_each(|classifier| write!(formatter, ":{classifier}"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => formatter.write_str(url),
            Self::Path(path) => write!(formatter, "{}", path.display()),
            Self::Maven(coordinates) => write!(formatter, "{coordinates}"),
            Self::PythonSdist { name, version } => write!(formatter, "{name}=={version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maven_coordinates_have_three_or_four_parts() {
        let shaded: MavenCoordinates = "com.example:gcs-connector:3.1.0:shaded".parse().unwrap();
        assert_eq!(shaded.file_name(), "gcs-connector-3.1.0-shaded.jar");
        assert_eq!(shaded.to_string(), "com.example:gcs-connector:3.1.0:shaded");
        for wrong in ["", "a:b", "a:b:c:d:e", "a::c", "a:../b:c", "a:..:c"] {
            assert!(wrong.parse::<MavenCoordinates>().is_err(), "{wrong}");
        }
    }
}
