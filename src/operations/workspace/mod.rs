//! What every operation uses: the project, its caches and lock files, and external services such as the daemon and the
//! registry. Each is opened once in a run.

mod dist_folder;
mod manifest_cache;
mod policy;
mod project_locks;
mod services;
mod session;
mod side_by_side;
mod turns;
mod wheel_builder;
mod wheel_order;

pub(crate) use dist_folder::DistFolder;
pub(crate) use manifest_cache::{CachedManifest, ManifestCache};
pub(crate) use policy::LockPolicy;
pub(crate) use services::{Services, WheelBuilder};
pub(crate) use session::{Session, find_root, read_lock};
pub(crate) use side_by_side::{AT_ONCE, both, side_by_side};
pub(crate) use turns::Turns;
pub(crate) use wheel_builder::{BuiltWheel, digest_of};
pub(crate) use wheel_order::{OnIndex, WheelOrder};
