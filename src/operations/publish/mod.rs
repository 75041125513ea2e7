//! Gives a registry what a plan names, never overwriting a tag, and says what it has.

mod claim;
mod pins;
mod push;
mod verify;

pub(crate) use pins::{NewPins, read_pins};
pub(crate) use push::Pusher;
pub(crate) use verify::verify;
