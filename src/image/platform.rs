use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An OCI platform, `os/architecture` or `os/architecture/variant`; never derived from the host's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    /// `linux`, the only system that images are built for.
    pub os: String,
    /// The architecture, by Go's name as in OCI.
    pub architecture: String,
    /// For example `v7` of `arm`.
    pub variant: Option<String>,
}

/// The error that a text is not a supported platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a platform that images are made for")]
pub struct PlatformError {
    /// What was written.
    pub text: String,
    /// The supported platform with the nearest name.
    pub nearest: Option<&'static str>,
}

impl PlatformError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("the platforms are {}", KNOWN.join(", ")),
        }
    }
}

const KNOWN: [&str; 6] = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm64/v8",
    "linux/ppc64le",
    "linux/s390x",
    "linux/riscv64",
];

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        if !KNOWN.contains(&text) {
            let nearest = KNOWN
                .into_iter()
                .min_by_key(|known| strsim::levenshtein(known, text));
            let nearest = nearest.filter(|known| strsim::levenshtein(known, text) <= 4);
            return Err(PlatformError {
                text: text.to_owned(),
                nearest,
            });
        }
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        Ok(Self::normal(os, architecture, parts.next()))
    }
}

impl Platform {
    /// The normal form in OCI: `v8`, the only variant of arm64, is left out.
    #[must_use]
    pub fn normal(os: String, architecture: String, variant: Option<String>) -> Self {
        let redundant = if architecture == "arm64" { "v8" } else { "" };
        let variant = variant.filter(|variant| !variant.is_empty() && variant != redundant);
        Self {
            os,
            architecture,
            variant,
        }
    }
}

impl TryFrom<String> for Platform {
    type Error = PlatformError;

    fn try_from(text: String) -> Result<Self, PlatformError> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(formatter, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_platforms_round_trip_and_others_name_the_nearest() {
        assert_eq!(
            "linux/amd64".parse::<Platform>().unwrap().to_string(),
            "linux/amd64"
        );
        assert_eq!(
            "linux/arm64/v8".parse::<Platform>().unwrap().to_string(),
            "linux/arm64"
        );
        let error = "linux/amd46".parse::<Platform>().unwrap_err();
        assert_eq!(
            format!("{error}; {}", error.hint()),
            "`linux/amd46` is not a platform that images are made for; did you mean `linux/amd64`?"
        );
        assert_eq!("windows".parse::<Platform>().unwrap_err().nearest, None);
    }
}
