//! The folder `dist` of a project, which holds only what sparkpack makes.

use std::path::Path;

use crate::{adapters::store, error::Error};

/// What is made is not committed, unless a person has said otherwise in `dist` itself.
pub(crate) fn keep_out_of_git(dist: &Path) -> Result<(), Error> {
    let file = dist.join(".gitignore");
    if file.exists() {
        return Ok(());
    }
    Ok(store::replace(&file, b"*\n")?)
}
