/// The Python that `python3` is in an image once its distribution's package of that name is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagePython {
    /// The program at this path, at the end of all links.
    Program(String),
    /// The distribution's, which is not installed yet.
    OfDistribution {
        /// `ID` of its `os-release`.
        id: String,
        /// `VERSION_ID` of its `os-release`.
        version: String,
    },
    /// Nothing in the image tells it.
    Unknown,
}

impl ImagePython {
    /// The one of the distribution with this `os-release`.
    #[must_use]
    pub fn of_os_release(text: &str) -> Self {
        let value = |key: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            let value = value.trim().trim_matches(['"', '\'']);
            let is_word = !value.is_empty() && !value.contains(char::is_whitespace);
            is_word.then(|| value.to_owned())
        };
        match (value("ID"), value("VERSION_ID")) {
            (Some(id), Some(version)) => Self::OfDistribution { id, version },
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_its_id_and_version() {
        let of = |id: &str, version: &str| ImagePython::OfDistribution {
            id: id.to_owned(),
            version: version.to_owned(),
        };
        for (text, wanted) in [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nID=debian\n",
                of("debian", "12"),
            ),
            (
                "ID=ubuntu\nID_LIKE=debian\nVERSION_ID='22.04'",
                of("ubuntu", "22.04"),
            ),
            ("ID=debian\r\nVERSION_ID=13\r\n", of("debian", "13")),
            // Debian's testing has no version.
            ("ID=debian\nVERSION_CODENAME=forky\n", ImagePython::Unknown),
            ("ID=\nVERSION_ID=\"1 2\"\n", ImagePython::Unknown),
            ("", ImagePython::Unknown),
        ] {
            assert_eq!(ImagePython::of_os_release(text), wanted, "{text}");
        }
    }
}
