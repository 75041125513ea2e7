//! YAML: locate the scalars that name images, and splice new ones to the byte (pure).
//!
//! A text is read as events and never written by a YAML library: only the bytes of the chosen scalars
//! differ afterwards, and the result is read again to prove it: with the new values taken back, it says what it said.
//!
//! | code | says |
//! |---|---|
//! | `E060` | the text is not YAML: what and where |
//! | `E061` | a key on the way to an image is there twice |
//! | `E062` | the value where an image is expected is not a string |
//! | `E063` | an anchor makes several places share the image: a change here would change the others |
//! | `E064` | the image is in a block scalar that cannot be changed without reflowing it |
//! | `E065` | the changed text would not read back as intended: nothing is changed |
//! | `E066` | too many mappings are merged by `<<` on the way to an image |

mod document;
mod locate;
mod part;
mod places;
mod reading;
mod rewrite;
mod scalar;

#[cfg(test)]
mod properties;

pub use locate::{ImagePlace, locate};
pub use rewrite::{Change, Rewritten, rewrite};
