//! What makes one image differ from another: this checkout's from the one in use, or any two.

mod diff;
mod why;

pub(crate) use diff::diff;
pub(crate) use why::{Against, NamedBy, Why, WhyAnswer, why};
