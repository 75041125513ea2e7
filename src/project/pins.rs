//! `sparkpack.pins`: the digest that each registry has for each fingerprint, as the last push found it. No fingerprint
//! depends on this file.
//!
//! One line each, sorted by bytes: registry, repository, platforms, fingerprint, digest. A line holds everything about
//! one image in one registry, so that two branches which push different images merge without a conflict.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io,
    path::Path,
};

use super::{
    place::{Defect, Place},
    utf8,
};
use crate::{
    code::Code,
    image::{Digest, Platform, Repository},
};

/// The file's name.
pub const FILE_NAME: &str = "sparkpack.pins";

const HEAD: &str = "# Written by `sparkpack push`: registry, repository, platforms, fingerprint, digest. Commit it.\n";

/// The fields of a line, for messages.
const FIELDS: &str = "registry, repository, platforms, fingerprint, digest";

/// The digests that the registries have.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// The lines by their text before the digest, which gives their order.
    lines: BTreeMap<String, Pin>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The registry's name in the configuration.
    pub registry: String,
    /// The image's repository.
    pub repository: Repository,
    /// The platforms that the fingerprint is for, sorted.
    pub platforms: Vec<Platform>,
    /// The fingerprint of the image's inputs.
    pub fingerprint: Digest,
    /// The digest of the manifest or index in the registry.
    pub digest: Digest,
    /// The place of the digest in the file; `None` if it was set after reading.
    pub place: Option<Place>,
}

impl Pins {
    /// Reads the file of the project in `root`; a missing file means no pins.
    ///
    /// # Errors
    /// The file cannot be read, or a line is wrong: `E069`.
    pub fn read(root: &Path) -> Result<Self, Defect> {
        let file = Path::new(FILE_NAME);
        match fs_err::read(root.join(file)) {
            Ok(bytes) => {
                let text = utf8::decode(file, &bytes);
                Self::parse(
                    file,
                    text.map_err(|error| error.defect(Code::E069).hint(hint()))?,
                )
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                let message = format!("it cannot be read: {error}");
                let defect = Defect::new(Code::E069, Place::of_line(file, 1), message);
                Err(defect.hint("make it a file that you may read"))
            }
        }
    }

    /// Parses a text; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// The first line that is wrong or repeats another: `E069`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Defect> {
        let mut pins = Self::default();
        let text = text.trim_start_matches('\u{feff}');
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let at = |column: usize| Place {
                line: number,
                ..Place::of_offset(file, line, column)
            };
            let is_said = line.trim().is_empty() || line.starts_with('#');
            if let Some(pin) = (!is_said).then(|| Pin::parse(line, &at)).transpose()? {
                pins.add(pin)?;
            }
        }
        Ok(pins)
    }

    fn add(&mut self, pin: Pin) -> Result<(), Defect> {
        let key = key(
            &pin.registry,
            &pin.repository,
            &pin.platforms,
            &pin.fingerprint,
        );
        let Some(other) = self.lines.get(&key) else {
            self.lines.insert(key, pin);
            return Ok(());
        };
        let line = |pin: &Pin| pin.place.as_ref().map_or(0, |place| place.line);
        let message = format!(
            "lines {} and {} both say which digest `{}` has in the registry `{}` for the fingerprint {}",
            line(other),
            line(&pin),
            pin.repository,
            pin.registry,
            pin.fingerprint.short(16)
        );
        let place = pin.place.unwrap_or_else(|| Place::of_line(FILE_NAME, 1));
        let hint =
            "remove one of them, then `sparkpack check --remote` says whether the other is right";
        Err(Defect::new(Code::E069, place, message).hint(hint))
    }

    /// The digest of the image with this fingerprint and these platforms.
    #[must_use]
    pub fn digest(
        &self,
        registry: &str,
        repository: &Repository,
        platforms: &[Platform],
        fingerprint: &Digest,
    ) -> Option<&Digest> {
        let key = key(registry, repository, platforms, fingerprint);
        self.lines.get(&key).map(|pin| &pin.digest)
    }

    /// Sets a digest, and returns the previous one.
    pub fn set(
        &mut self,
        registry: &str,
        repository: &Repository,
        platforms: &[Platform],
        fingerprint: &Digest,
        digest: &Digest,
    ) -> Option<Digest> {
        let key = key(registry, repository, platforms, fingerprint);
        if let Some(pin) = self.lines.get_mut(&key).filter(|pin| pin.digest == *digest) {
            return Some(pin.digest.clone());
        }
        let pin = Pin {
            registry: registry.to_owned(),
            repository: repository.clone(),
            platforms: sorted(platforms),
            fingerprint: fingerprint.clone(),
            digest: digest.clone(),
            place: None,
        };
        self.lines.insert(key, pin).map(|before| before.digest)
    }

    /// Drops the lines that `is_kept` refuses.
    pub fn retain(&mut self, is_kept: impl Fn(&Pin) -> bool) {
        self.lines.retain(|_, pin| is_kept(pin));
    }

    /// The lines in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.lines.values()
    }

    /// The file's text: sorted, the same for the same content.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (key, pin) in &self.lines {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{key} {}", pin.digest);
        }
        text
    }
}

impl Pin {
    /// Parses a line; `at` turns an offset in the line into a place.
    fn parse(line: &str, at: &impl Fn(usize) -> Place) -> Result<Self, Defect> {
        let fields = fields(line);
        let [registry, repository, platforms, fingerprint, digest] = fields[..] else {
            return Err(wrong_line(line, at(0), fields.len()));
        };
        let wrong = |field: (usize, &str), message: String| {
            let defect = Defect::new(Code::E069, at(field.0), message);
            defect.hint(hint())
        };
        let platforms_of = |text: &str| text.split(',').map(str::parse).collect();
        let found: Result<Vec<Platform>, _> = platforms_of(platforms.1);
        Ok(Self {
            registry: decoded(registry.1)
                .ok_or_else(|| wrong(registry, format!("`{}` is no name", registry.1)))?,
            repository: repository
                .1
                .parse()
                .map_err(|error| wrong(repository, format!("{error}")))?,
            platforms: sorted(&found.map_err(|error| wrong(platforms, error.to_string()))?),
            fingerprint: fingerprint
                .1
                .parse()
                .map_err(|error| wrong(fingerprint, format!("{error}")))?,
            digest: digest
                .1
                .parse()
                .map_err(|error| wrong(digest, format!("{error}")))?,
            place: Some(at(digest.0)),
        })
    }
}

/// The defect of a line that does not have five fields.
fn wrong_line(line: &str, place: Place, fields: usize) -> Defect {
    let markers = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
    if markers.iter().any(|marker| line.starts_with(marker)) {
        let defect = Defect::new(Code::E069, place, "a merge left its conflict here");
        return defect
            .hint("keep the lines of one side, remove the markers, then run `sparkpack push`");
    }
    let message = format!("five fields are wanted ({FIELDS}), and this line has {fields}");
    Defect::new(Code::E069, place, message).hint(hint())
}

fn hint() -> String {
    format!(
        "take the committed file back (`git checkout {FILE_NAME}`), or remove the line: `sparkpack push` writes it again"
    )
}

/// The fields of a line, each with the offset at which it begins.
fn fields(line: &str) -> Vec<(usize, &str)> {
    let mut offset = 0;
    let mut fields = Vec::new();
    for piece in line.split_inclusive([' ', '\t', '\r', '\n']) {
        let field = piece.trim_end_matches([' ', '\t', '\r', '\n']);
        if !field.is_empty() {
            fields.push((offset, field));
        }
        offset += piece.len();
    }
    fields
}

/// The text of a line before the digest.
fn key(
    registry: &str,
    repository: &Repository,
    platforms: &[Platform],
    fingerprint: &Digest,
) -> String {
    let platforms = sorted(platforms);
    let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    let (registry, platforms) = (encoded(registry), platforms.join(","));
    format!("{registry} {repository} {platforms} {fingerprint}")
}

fn sorted(platforms: &[Platform]) -> Vec<Platform> {
    let platforms: BTreeSet<&Platform> = platforms.iter().collect();
    platforms.into_iter().cloned().collect()
}

/// A registry's name, escaped so that it is one field: TOML allows any text as a key.
fn encoded(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut field = String::new();
    for (at, character) in name.char_indices() {
        let is_plain = !character.is_whitespace()
            && !character.is_control()
            && !matches!((at, character), (_, '%') | (0, '#' | '\u{feff}'));
        if is_plain {
            field.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a `String` cannot fail.
            let _ = write!(field, "%{byte:02X}");
        }
    }
    field
}

/// The name that an escaped field stands for.
fn decoded(field: &str) -> Option<String> {
    if field == "%" {
        return Some(String::new());
    }
    let mut parts = field.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AMD64: &str = "linux/amd64";

    fn platforms(text: &str) -> Vec<Platform> {
        text.split(',').map(|text| text.parse().unwrap()).collect()
    }

    fn repository(image: &str) -> Repository {
        format!("registry.example/team/{image}").parse().unwrap()
    }

    fn set(
        pins: &mut Pins,
        registry: &str,
        image: &str,
        inputs: &str,
        bytes: &str,
    ) -> Option<Digest> {
        pins.set(
            registry,
            &repository(image),
            &platforms(AMD64),
            &Digest::of(inputs.as_bytes()),
            &Digest::of(bytes.as_bytes()),
        )
    }

    fn line(image: &str, inputs: &str, bytes: &str) -> String {
        let (inputs, bytes) = (Digest::of(inputs.as_bytes()), Digest::of(bytes.as_bytes()));
        format!("main registry.example/team/{image} linux/amd64 {inputs} {bytes}\n")
    }

    fn parse(text: &str) -> Result<Pins, Defect> {
        Pins::parse(Path::new(FILE_NAME), text)
    }

    #[test]
    fn the_lines_are_sorted_whatever_came_first() {
        let mut pins = Pins::default();
        assert_eq!(set(&mut pins, "main", "job", "a", "1"), None);
        assert_eq!(set(&mut pins, "main", "base", "b", "2"), None);
        assert_eq!(
            pins.text(),
            format!("{HEAD}{}{}", line("base", "b", "2"), line("job", "a", "1"))
        );
        let lines: Vec<String> = pins.text().lines().map(str::to_owned).collect();
        assert!(lines.is_sorted(), "as `LC_ALL=C sort` does: {lines:#?}");
        assert_eq!(parse(&pins.text()).unwrap().text(), pins.text());
    }

    #[test]
    fn a_digest_is_found_and_replaced_by_all_that_stands_before_it() {
        let mut pins = Pins::default();
        set(&mut pins, "main", "job", "a", "1");
        let one = Digest::of(b"1");
        let digest = |pins: &Pins, registry: &str, platforms_text: &str, inputs: &[u8]| {
            pins.digest(
                registry,
                &repository("job"),
                &platforms(platforms_text),
                &Digest::of(inputs),
            )
            .cloned()
        };
        assert_eq!(digest(&pins, "main", AMD64, b"a"), Some(one.clone()));
        assert_eq!(digest(&pins, "prod", AMD64, b"a"), None);
        assert_eq!(digest(&pins, "main", "linux/arm64", b"a"), None);
        assert_eq!(digest(&pins, "main", AMD64, b"b"), None);
        assert_eq!(set(&mut pins, "main", "job", "a", "2"), Some(one));
        assert_eq!(pins.iter().count(), 1);
        assert_eq!(digest(&pins, "main", AMD64, b"a"), Some(Digest::of(b"2")));
        pins.retain(|pin| pin.registry != "main");
        assert_eq!(pins.text(), HEAD);
    }

    #[test]
    fn the_order_of_platforms_says_nothing() {
        let mut pins = Pins::default();
        let (both, inputs) = ("linux/arm64,linux/amd64,linux/arm64/v8", Digest::of(b"a"));
        pins.set(
            "main",
            &repository("job"),
            &platforms(both),
            &inputs,
            &Digest::of(b"1"),
        );
        assert!(
            pins.text().contains(" linux/amd64,linux/arm64 "),
            "{}",
            pins.text()
        );
        let swapped = pins
            .text()
            .replace("linux/amd64,linux/arm64", "linux/arm64,linux/amd64");
        assert_eq!(parse(&swapped).unwrap().text(), pins.text());
    }

    /// Windows line ends, a byte-order mark, other comments, tabs, no final line end.
    #[test]
    fn what_an_editor_makes_of_it_is_read() {
        let (base, job) = (line("base", "b", "2"), line("job", "a", "1"));
        let text = format!("\u{feff}# mine\n\n{job}\t\n{base}").replace('\n', "\r\n");
        let text = text.replace(" linux", "\t  linux");
        let pins = parse(text.trim_end()).unwrap();
        assert_eq!(pins.text(), format!("{HEAD}{base}{job}"));
        let places: Vec<String> = pins
            .iter()
            .map(|pin| pin.place.as_ref().unwrap().to_string())
            .collect();
        let column = |line: &str| line.rfind(' ').unwrap() + 2 + 2;
        assert_eq!(
            places,
            [
                format!("sparkpack.pins:5:{}", column(&base)),
                format!("sparkpack.pins:3:{}", column(&job))
            ]
        );
    }

    #[test]
    fn a_wrong_line_is_told_with_its_column() {
        let good = line("job", "a", "1");
        let digest = Digest::of(b"1").to_string();
        let table = [
            (
                good.replace(&digest, ""),
                "sparkpack.pins:2:1: five fields are wanted (registry, repository, platforms, fingerprint, digest), and this line has 4",
            ),
            (
                good.replace(&digest, "latest"),
                "`latest` is not a digest: `sha256:` and 64 lower-case hex digits are wanted",
            ),
            (
                good.replace("/team/job", "/Team/job"),
                "sparkpack.pins:2:6: `registry.example/Team/job` is not an image reference",
            ),
            (
                good.replace("team/job", "team/job:1"),
                "a repository is wanted, without tag or digest",
            ),
            (
                good.replace("amd64", "amd46"),
                "`linux/amd46` is not a platform",
            ),
            (
                good.replace("main", "ma%2"),
                "sparkpack.pins:2:1: `ma%2` is no name",
            ),
            (
                "<<<<<<< ours\n".to_owned(),
                "sparkpack.pins:2:1: a merge left its conflict here",
            ),
        ];
        for (line, wanted) in table {
            let defect = parse(&format!("# x\n{line}")).unwrap_err();
            assert!(defect.to_string().contains(wanted), "{defect}");
            assert!(defect.code == "E069" && defect.hint.is_some(), "{defect:?}");
        }
    }

    #[test]
    fn two_lines_for_one_image_are_both_named() {
        let text = format!(
            "{}{}\n{}",
            line("job", "a", "1"),
            line("job", "b", "1"),
            line("job", "a", "2")
        );
        let defect = parse(&text).unwrap_err();
        assert!(
            defect.message.starts_with("lines 1 and 4 both say which digest `registry.example/team/job` has in the registry `main`"),
            "{defect}"
        );
        assert_eq!(defect.place.line, 4);
    }

    #[test]
    fn no_file_is_no_pins_and_what_is_no_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Pins::read(folder.path()).unwrap().text(), HEAD);
        let file = folder.path().join(FILE_NAME);
        fs_err::write(&file, b"# x\nma\xffin\n").unwrap();
        let defect = Pins::read(folder.path()).unwrap_err();
        assert_eq!(
            defect.to_string(),
            "sparkpack.pins:2:3: the byte 0xff is not UTF-8"
        );
        fs_err::write(&file, line("job", "a", "1")).unwrap();
        assert_eq!(Pins::read(folder.path()).unwrap().iter().count(), 1);
        fs_err::remove_file(&file).unwrap();
        fs_err::create_dir(&file).unwrap();
        assert_eq!(Pins::read(folder.path()).unwrap_err().code, "E069");
    }

    proptest! {
        /// A registry may have any name that TOML allows.
        #[test]
        fn every_name_of_a_registry_comes_back(names in proptest::collection::btree_set("(?s).{0,8}|#x|%41| ", 1..4)) {
            let mut pins = Pins::default();
            for name in &names {
                set(&mut pins, name, "job", "a", "1");
            }
            let read = parse(&pins.text()).unwrap();
            let found: BTreeSet<String> = read.iter().map(|pin| pin.registry.clone()).collect();
            prop_assert_eq!(found, names);
            prop_assert_eq!(read.text(), pins.text());
        }
    }
}
