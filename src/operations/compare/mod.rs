//! Explains why images differ: this checkout's image from the one in use, or any two images.

mod diff;
mod why;

pub(crate) use diff::diff;
pub(crate) use why::{Against, NamedBy, Why, WhyAnswer, why};
