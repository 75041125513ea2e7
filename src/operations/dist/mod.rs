//! Writes the project's `dist/`: packed jobs and `images.json`.

mod beside;
mod images_json;
mod installed;
mod package;

pub(crate) use images_json::{
    Action, BuiltImage, CommitLookup, ImageResult, Size, write_images_json,
};
pub(crate) use package::Packer;
