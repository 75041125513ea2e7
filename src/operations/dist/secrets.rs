//! Credentials in what would get into images: they stop a run before anything is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    installed::Installations,
    secret_files::{SecretFiles, Suspect},
    secret_verdicts::{SecretVerdicts, VerdictKey},
    world::Layer,
};
use crate::{
    code::Code,
    error::Error,
    image::Digest,
    operations::workspace::Session,
    package::archive::ArchiveError,
    project::{
        FILE_NAME,
        ignore::{Digests as _, escaped},
        place::{Defect, Place},
        secrets::{Allowance, SecretFinding, SecretRule, allow_line, in_name, scan_file},
        tree::Location,
    },
};

/// The most findings that one run tells.
const MOST: usize = 100;

/// Looks for credentials.
pub(super) struct Secrets<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) installations: &'a Installations<'a>,
}

/// What was found, before it is told.
#[derive(Default)]
struct Refusals {
    defects: Vec<Defect>,
    /// The allowances that allowed something, by their numbers.
    used: BTreeSet<usize>,
}

impl Secrets<'_> {
    /// Refuses credentials in the files of these images. `is_whole` says whether the images are all that the project has:
    /// only then an allowance that allows nothing is stale. Returns whether all that gets into them is known.
    ///
    /// # Errors
    /// All that looks like a credential and is not allowed; or a file cannot be read.
    pub(super) fn refuse(&self, layers: &[Layer], is_whole: bool) -> Result<bool, Error> {
        let mut verdicts = SecretVerdicts::open(self.session);
        let mut files = SecretFiles::new(self.session, self.installations);
        for layer in layers {
            files.layer(layer, &verdicts)?;
        }
        self.complete(&mut verdicts, &files.suspects)?;
        let mut found = Refusals::default();
        for suspect in &files.suspects {
            let findings = verdicts.of(&suspect.key).unwrap_or_default();
            for finding in findings {
                self.judge(suspect, finding, &mut found);
            }
            self.warn_of_unsearched(suspect, findings, &mut found);
        }
        for name in &files.names {
            let (findings, shown) = in_name(name);
            for finding in findings {
                if let Some(rule) = finding.rule() {
                    self.tell(rule, Path::new(&shown), &finding, &mut found);
                }
            }
        }
        for layer in layers {
            self.instructions(layer, &mut verdicts, &mut found)?;
        }
        verdicts.keep(
            self.session,
            &files.suspects.iter().map(|suspect| &suspect.key).collect(),
        );
        if is_whole && files.are_all_known {
            self.warn_of_stale(&found.used);
        }
        let mut defects = found.defects;
        defects.sort_by(|left, right| {
            let key = |defect: &Defect| {
                (
                    defect.place.file.clone(),
                    defect.place.line,
                    defect.place.column,
                )
            };
            key(left).cmp(&key(right))
        });
        defects.dedup();
        let more = defects.len().saturating_sub(MOST);
        defects.truncate(MOST);
        if more > 0 {
            let message = format!("{more} more lines and files look like credentials");
            defects.push(Defect::new(
                Code::E114,
                Place::of_line(FILE_NAME, 1),
                message,
            ));
        }
        if defects.is_empty() {
            return Ok(files.are_all_known);
        }
        Err(Error::of_all(defects))
    }

    /// Reads what no earlier run has read.
    fn complete(&self, verdicts: &mut SecretVerdicts, suspects: &[Suspect]) -> Result<(), Error> {
        let mut unknown: BTreeMap<&VerdictKey, &Suspect> = BTreeMap::new();
        for suspect in suspects {
            if verdicts.of(&suspect.key).is_none() {
                unknown.entry(&suspect.key).or_insert(suspect);
            }
        }
        let unknown: Vec<&Suspect> = unknown.into_values().collect();
        let read = unknown.par_iter().map(|suspect| self.read(suspect));
        let read: Vec<Vec<SecretFinding>> = read.collect::<Result<_, Error>>()?;
        for (suspect, found) in unknown.into_iter().zip(read) {
            verdicts.learn(suspect.key.clone(), found);
        }
        Ok(())
    }

    fn read(&self, suspect: &Suspect) -> Result<Vec<SecretFinding>, Error> {
        let mut all = Vec::new();
        for (member, location) in &suspect.parts {
            let (path, found) = match location {
                Location::Memory(bytes) => (None, scan_file(std::io::Cursor::new(bytes), member)?),
                Location::Disk(path) => (Some(path), scan_file(fs_err::File::open(path)?, member)?),
            };
            if let Some(path) = path.filter(|_| suspect.is_checked) {
                self.refuse_changed(path, &suspect.key.0)?;
            }
            let found = found.into_iter();
            if suspect.is_published {
                let (names, shown) = in_name(member);
                let found = found.chain(names);
                all.extend(found.map(|finding| finding.within(&shown)));
            } else {
                all.extend(found);
            }
        }
        Ok(all)
    }

    /// What was found is kept by the file's digest, so it must be about those bytes.
    fn refuse_changed(&self, path: &Path, digest: &Digest) -> Result<(), Error> {
        let metadata = fs_err::metadata(path)?;
        if self.session.trees.digests().known(path, &metadata).as_ref() == Some(digest) {
            return Ok(());
        }
        let (_, now) = Digest::with_size(&mut fs_err::File::open(path)?)?;
        if now == *digest {
            return Ok(());
        }
        let path = escaped(path);
        Err(ArchiveError::Changed { path }.into())
    }

    fn judge(&self, suspect: &Suspect, finding: &SecretFinding, found: &mut Refusals) {
        let Some(rule) = finding.rule() else {
            return;
        };
        if rule == SecretRule::Unsearched {
            return;
        }
        let path = suspect.place_of(finding);
        if suspect.is_published && finding.is_key_of_tests() {
            return;
        }
        self.tell(rule, &path, finding, found);
    }

    /// Tells what of a file was not searched: once for each reason, however many files in it there are.
    fn warn_of_unsearched(
        &self,
        suspect: &Suspect,
        findings: &[SecretFinding],
        found: &mut Refusals,
    ) {
        let mut told: BTreeMap<&str, (PathBuf, usize)> = BTreeMap::new();
        for finding in findings {
            let path = suspect.place_of(finding);
            let is_told = finding.rule() == Some(SecretRule::Unsearched)
                && !(suspect.is_published && finding.is_key_of_tests())
                && !self.is_allowed(SecretRule::Unsearched, &path, &mut found.used);
            if is_told {
                let why = finding.why.as_deref().unwrap_or_default();
                told.entry(why).or_insert((path, 0)).1 += 1;
            }
        }
        for (why, (path, count)) in told {
            let shown = escaped(&path);
            let more = match count {
                1 => String::new(),
                2 => "; so is one more file in it".to_owned(),
                _ => format!("; so are {} more files in it", count - 1),
            };
            let message =
                format!("was not searched for credentials, or not all of it: {why}{more}");
            let allow = allow_line(&shown, SecretRule::Unsearched);
            let hint = format!("unpack it; if it may go into the image as it is, {allow}");
            let place = Place::of_line(&shown, 1);
            let warning = Defect::new(Code::W130, place, message).hint(hint);
            self.session.events.warn(&warning);
        }
    }

    fn tell(&self, rule: SecretRule, path: &Path, finding: &SecretFinding, found: &mut Refusals) {
        if self.is_allowed(rule, path, &mut found.used) {
            return;
        }
        let shown = escaped(path);
        let place = Place {
            file: shown.clone().into(),
            line: finding.line,
            column: finding.column,
        };
        let start = if finding.is_name { "its name " } else { "" };
        let message = format!(
            "{start}looks like {} (`{rule}`): {}",
            rule.what(),
            finding.masked()
        );
        let allow = allow_line(&shown, rule);
        let hint = format!(
            "take it out, or leave the file out by `exclude` or `.dockerignore`: a pod gets it from a Kubernetes secret, a step of a Dockerfile by `RUN --mount=type=secret` and `secrets.ID` of the image; if it is none, {allow}"
        );
        found
            .defects
            .push(Defect::new(Code::E114, place, message).hint(hint));
    }

    fn is_allowed(&self, rule: SecretRule, path: &Path, used: &mut BTreeSet<usize>) -> bool {
        let allowed = self.session.project.allowed_secrets.iter();
        let allowing = allowed
            .enumerate()
            .filter(|(_, allowed)| allowed.allows(rule, path));
        let numbers: Vec<usize> = allowing.map(|(number, _)| number).collect();
        used.extend(&numbers);
        !numbers.is_empty()
    }

    /// What a Dockerfile and the build arguments of its image say: every instruction stays in the image.
    fn instructions(
        &self,
        layer: &Layer,
        verdicts: &mut SecretVerdicts,
        found: &mut Refusals,
    ) -> Result<(), Error> {
        let Some(inputs) = layer.own_dockerfile() else {
            return Ok(());
        };
        let path = inputs.dockerfile.file().to_owned();
        for (rule, _) in inputs.dockerfile.written_secrets() {
            self.is_allowed(rule, &path, &mut found.used);
        }
        for finding in verdicts.of_text(inputs.dockerfile.text())? {
            if let Some(rule) = finding.rule() {
                self.tell(rule, &path, finding, found);
            }
        }
        for (name, argument) in &layer.image.build_arguments {
            let rules = verdicts.of_text(argument)?;
            let rules = rules.iter().filter_map(SecretFinding::rule);
            let named = inputs.dockerfile.is_secret_argument(name, argument);
            let named = named.then_some(SecretRule::BuildVariable);
            for rule in rules.chain(named) {
                if self.is_allowed(rule, Path::new(FILE_NAME), &mut found.used) {
                    continue;
                }
                let message = format!(
                    "the build argument `{name}` is {} (`{rule}`), and stays in the image",
                    rule.what()
                );
                let hint = format!(
                    "mount it: `RUN --mount=type=secret,id={0} …` and `secrets.{0} = {{ env = \"{name}\" }}` for the image; if it is none, {1}",
                    name.to_ascii_lowercase(),
                    allow_line(FILE_NAME, rule)
                );
                let place = layer.image.place.clone();
                found
                    .defects
                    .push(Defect::new(Code::E114, place, message).hint(hint));
                break;
            }
        }
        Ok(())
    }

    fn warn_of_stale(&self, used: &BTreeSet<usize>) {
        let allowed = self.session.project.allowed_secrets.iter().enumerate();
        let stale = allowed.filter(|(number, _)| !used.contains(number));
        for (
            _,
            Allowance {
                pattern,
                rule,
                place,
                ..
            },
        ) in stale
        {
            let message = format!(
                "nothing in `{pattern}` looks like {} (`{rule}`) any more",
                rule.what()
            );
            let warning = Defect::new(Code::W127, place.clone(), message);
            self.session
                .events
                .warn(&warning.hint("remove the entry, or correct its path"));
        }
    }
}
