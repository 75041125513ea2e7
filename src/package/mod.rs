//! Archives, and the layout of installed Python packages. The same input gives the same bytes.

pub mod archive;
pub mod gzip;
pub mod imports;
pub mod layer;
pub mod layer_difference;
pub mod layering;
pub mod modules;
pub mod native;
pub mod vendor;
