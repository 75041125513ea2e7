//! Archives and the vendoring plan (deterministic).

pub mod archive;
pub mod vendor;
