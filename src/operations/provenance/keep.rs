//! Keeps the records of images in `dist/records`, at every build and push.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    adapters::store,
    error::Error,
    image::Digest,
    operations::{resolution::Prepared, workspace::Session},
};

/// How many records are kept. The oldest are removed, but never those of the last run.
const KEPT: usize = 200;

/// Keeps the records of `targets` and of all their parents.
pub(crate) fn keep_records(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> Result<(), Error> {
    let folder = session.dist().records();
    let mut current = BTreeSet::new();
    let mut is_new = false;
    for name in prepared.plan.with_parents(targets) {
        let stage = &prepared.plan.stages[&name];
        let mut records: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for on in &stage.platforms {
            records.insert(on.fingerprint.hex(), on.record.bytes());
        }
        // It tells later which platforms the tag was for.
        records.insert(stage.fingerprint.hex(), stage.whole_record().bytes());
        for (hex, bytes) in records {
            let file = folder.join(hex);
            // A damaged file is replaced.
            if !fs_err::read(&file).is_ok_and(|old| old == bytes) {
                session.dist().keep_out_of_git()?;
                store::replace(&file, &bytes)?;
                is_new = true;
            }
            current.insert(hex.to_owned());
        }
    }
    if is_new {
        remove_oldest(&folder, &current)?;
    }
    Ok(())
}

fn remove_oldest(folder: &Path, current: &BTreeSet<String>) -> Result<(), Error> {
    let mut others = Vec::new();
    for name in names(folder, "") {
        if !current.contains(&name) {
            let file = folder.join(name);
            others.push((fs_err::metadata(&file)?.modified()?, file));
        }
    }
    others.sort();
    let room = KEPT.saturating_sub(current.len());
    for (_, file) in others.iter().rev().skip(room) {
        fs_err::remove_file(file)?;
    }
    Ok(())
}

/// The names of the records in a folder that start with `beginning`, sorted.
pub(crate) fn names(folder: &Path, beginning: &str) -> Vec<String> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with(beginning) && digest_of_hex(name).is_some())
        .collect();
    names.sort();
    names
}

pub(crate) fn digest_of_hex(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::operations::{
        resolution,
        testing::{Project, Recorder},
        workspace::{LockPolicy, Services},
    };

    /// Keeps the records of `target`, and returns the fingerprints of `base` and `job`.
    fn keep(project: &Project, target: &str) -> Result<[Digest; 2], Error> {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let prepared = resolution::prepare(&session, &services)?;
        keep_records(&session, &prepared, &[target.to_owned()])?;
        Ok(["base", "job"].map(|name| prepared.plan.stages[name].fingerprint.clone()))
    }

    fn kept(project: &Project) -> Vec<String> {
        names(&project.path("dist/records"), "")
    }

    #[test]
    fn the_records_of_an_image_and_of_what_it_stands_on_are_kept() {
        let project = Project::small();
        let [base, job] = keep(&project, "base").unwrap();
        assert_eq!(kept(&project), [base.hex()]);
        assert_eq!(project.read("dist/.gitignore"), "*\n");
        keep(&project, "job").unwrap();
        let mut both = [base.hex(), job.hex()];
        both.sort_unstable();
        assert_eq!(kept(&project), both);
        for name in both {
            let bytes = fs_err::read(project.path("dist/records").join(name)).unwrap();
            assert_eq!(Digest::of(&bytes).hex(), name);
        }
    }

    #[test]
    fn a_damaged_record_is_written_anew() {
        let project = Project::small();
        let [base, _] = keep(&project, "base").unwrap();
        let file = format!("dist/records/{}", base.hex());
        project.write(&file, "damaged");
        keep(&project, "base").unwrap();
        assert_eq!(&Digest::of(project.read(&file).as_bytes()), &base);
    }

    #[test]
    fn only_the_newest_are_kept_and_always_those_of_this_run() {
        let project = Project::small();
        let name = |number: u64| Digest::of(&number.to_le_bytes());
        for number in 0..210_u64 {
            let file = format!("dist/records/{}", name(number).hex());
            project.write(&file, "old");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + number);
            let handle = fs_err::File::options()
                .write(true)
                .open(project.path(&file));
            handle.unwrap().set_modified(time).unwrap();
        }
        project.write("dist/records/notes.txt", "mine");
        let current = keep(&project, "job").unwrap();
        let left = kept(&project);
        assert_eq!(left.len(), KEPT);
        let is_there = |digest: &Digest| left.iter().any(|name| name == digest.hex());
        assert!(current.iter().all(is_there));
        assert!(!is_there(&name(11)) && is_there(&name(12)), "the oldest go");
        assert_eq!(project.read("dist/records/notes.txt"), "mine");
    }

    #[test]
    fn a_disk_that_does_not_take_them_is_an_error() {
        let project = Project::small();
        project.write("dist/records", "a file");
        assert!(matches!(keep(&project, "job"), Err(Error::Io(_))));
    }

    #[test]
    fn only_64_hex_digits_are_a_digest() {
        let digest = Digest::of(b"x");
        assert_eq!(digest_of_hex(digest.hex()), Some(digest));
        assert_eq!(digest_of_hex("12"), None);
    }
}
