//! Writes the project's `dist/`: packed jobs and `images.json`.

mod beside;
mod built_wheels;
mod images_json;
mod imports;
mod installed;
mod keys;
mod package;
mod secret_files;
mod secret_verdicts;
mod secrets;
mod to_install;
mod whereabouts;
mod world;

pub(crate) use images_json::{
    Action, BuiltImage, CommitLookup, ImageResult, Size, write_images_json,
};
pub(crate) use imports::JobImage;
pub(crate) use package::Packer;
