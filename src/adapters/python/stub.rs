//! Stub wheels for the packages that the parent image already has.
//!
//! The resolver has to see the image's packages in exactly their versions, even if the index has no wheel of the
//! package (`PySpark`) or not that version. An empty wheel with name and version is enough, because it is never
//! shipped.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
};

use zip::{ZipWriter, write::SimpleFileOptions};

use crate::project::requirements::Pin;

/// The folder of the stub wheels.
pub(super) const FOLDER: &str = "provided";

/// Writes the stub wheel for `pin`, which needs `needs`, into the folder of a run.
pub(super) fn write(folder: &Path, pin: &Pin, needs: &[String]) -> io::Result<()> {
    let folder = folder.join(FOLDER);
    fs_err::create_dir_all(&folder)?;
    let stem = format!("{}-{}", pin.name.replace('-', "_"), pin.version);
    let information = format!("{stem}.dist-info");
    let Pin { name, version } = pin;
    let extras: BTreeSet<&str> = needs
        .iter()
        .filter_map(|need| need.split_once("extra == \"")?.1.split('"').next())
        .collect();
    let extras = extras
        .into_iter()
        .map(|extra| format!("Provides-Extra: {extra}\n"));
    let needs = needs.iter().map(|need| format!("Requires-Dist: {need}\n"));
    let needs: String = extras.chain(needs).collect();
    let files = [
        (
            "METADATA",
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"),
        ),
        (
            "WHEEL",
            "Wheel-Version: 1.0\nGenerator: sparkpack\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                .to_owned(),
        ),
        (
            "RECORD",
            format!("{information}/METADATA,,\n{information}/WHEEL,,\n{information}/RECORD,,\n"),
        ),
    ];
    // In memory first: a writer that fails on the disk prints a message of its own.
    let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (file, text) in files {
        zip.start_file(
            format!("{information}/{file}"),
            SimpleFileOptions::default(),
        )?;
        zip.write_all(text.as_bytes())?;
    }
    let bytes = zip.finish()?.into_inner();
    fs_err::write(folder.join(format!("{stem}-py3-none-any.whl")), bytes)
}
