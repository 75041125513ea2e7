//! YAML: locate the scalars that name images, and splice new ones to the byte (pure).
//!
//! A YAML library only parses, it never writes: a rewrite replaces the bytes of the chosen scalars. To prove that
//! nothing else has changed, the old and the new text are then parsed side by side.
//!
//! A text is parsed at two places only: [`locate()`] parses it once, and [`rewrite()`] parses it once more beside the new
//! text, if there are edits.
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
//! | `E200` | a place lacks a part that its reference needs |
//! | `E201` | kustomize's `newTag` and `digest` stand side by side |
//! | `E202` | a mark names no image, or stands behind no value |
//! | `E203` | a mark stands behind an expression |
//! | `E206` | several keys may hold the tag or the digest of an image |
//! | `E207` | a digest stands beside an image, and its key does not say whose it is |

mod applications;
mod assignments;
mod chunks;
mod comment;
mod document;
mod far;
mod groups;
mod image_place;
mod key_name;
mod keys;
mod literal;
mod local_files;
mod local_paths;
mod locate;
mod located;
mod marked;
mod marks;
mod no_comment;
mod not_yaml;
#[cfg(test)]
pub(crate) mod parses;
mod path;
mod places;
mod rewrite;
mod rules;
mod scalar;
mod shared;
mod siblings;
mod stray;
mod strays;
mod table;
mod view;
mod walk;

#[cfg(test)]
mod properties;

pub use applications::{SparkApplication, applications};
pub use assignments::versions_beside;
pub use chunks::on_all_cores;
pub use comment::comment_start;
pub use image_place::{Expected, ExpectedDigest, ImagePlace, LeftAlone, ReferenceParts, Scalar};
pub use locate::locate;
pub use located::{LocalFiles, Located, Object, Unlocated};
pub use no_comment::NoComment;
pub use places::paths;
pub use rewrite::{ImageChange, Rewritten, rewrite};
pub use rules::PlaceRules;
pub use scalar::{EXPRESSIONS, before_expression, holds_expression};
pub use stray::{Stray, StrayKind};
pub use table::PlacesTable;
