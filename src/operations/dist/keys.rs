//! Digests of what the files of a `dist` folder are packed from.

use super::to_install::ToInstall;
use crate::{
    image::Digest,
    project::{job_files::PackageInputs, tree::Entry},
};

/// A digest of everything that `dist` is packed from.
pub(super) fn key_of_dist(inputs: &PackageInputs, wanted: ToInstall<'_>) -> Digest {
    let mut key = format!("dist 3 {:?}\nmain {}\n", inputs.form, inputs.main_digest());
    key.push_str(&listing_of(&inputs.beside));
    key.extend([key_of_packages(wanted).to_string(), "\n".to_owned()]);
    key.push_str(&listing_of(&inputs.modules));
    Digest::of(key.as_bytes())
}

/// A digest of everything that decides the installed packages.
pub(super) fn key_of_packages(wanted: ToInstall<'_>) -> Digest {
    wanted.key().unwrap_or_else(|| Digest::of(b"no packages"))
}

pub(super) fn listing_of(entries: &[Entry]) -> String {
    entries.iter().map(Entry::row).collect()
}
