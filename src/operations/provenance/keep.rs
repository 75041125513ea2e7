//! The records of images are kept in `dist/records` by every build and push.

use std::{collections::BTreeSet, path::Path};

use crate::{
    adapters::store,
    error::Error,
    image::Digest,
    operations::{resolution::Prepared, workspace::Session},
};

/// How many records are kept at least, the newest; those of the last run always are.
const KEPT: usize = 200;

/// Keeps the records of `targets` and of all that they stand on.
pub(crate) fn keep_records(
    session: &Session<'_>,
    prepared: &Prepared,
    targets: &[String],
) -> Result<(), Error> {
    let folder = session.dist().records();
    let mut current = BTreeSet::new();
    let mut is_new = false;
    for name in prepared.plan.with_parents(targets) {
        for stage in &prepared.plan.stages[&name].platforms {
            let file = folder.join(stage.fingerprint.hex());
            let bytes = stage.record.bytes();
            // One that was damaged is written anew.
            if !fs_err::read(&file).is_ok_and(|old| old == bytes) {
                session.dist().keep_out_of_git()?;
                store::replace(&file, &bytes)?;
                is_new = true;
            }
            current.insert(stage.fingerprint.hex().to_owned());
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

/// The names of the records in a folder that begin so.
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
