//! Writes the recipe of an image out into the project, to be changed there: `written` says what its Dockerfile is, and
//! `eject` puts it where nothing is.

mod eject;
mod written;

pub(crate) use eject::{Ejected, eject};
