//! An image whose wheels are to be chosen.

use super::below::Below;
use crate::project::{
    Image, inputs::ImageRequirements, requirements::ResolveRequest, wheel::Target,
};

/// An image on one platform whose wheels are wanted.
pub(super) struct Wanted<'a> {
    pub(super) image: &'a Image,
    pub(super) requirements: &'a ImageRequirements,
    /// The packages of the image's parents.
    pub(super) below: &'a Below,
    pub(super) target: &'a Target,
    /// The request. Locked wheels are used only if they were resolved for the same request.
    pub(super) asked: &'a ResolveRequest,
}
