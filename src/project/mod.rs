//! The user's files: configuration, locks, sources and requirements. This module reads files and writes none.

mod builder_addresses;
mod builders;
pub mod built_in;
mod chains;
mod config;
pub mod digest_cache;
mod distribution;
pub mod dockerfile;
pub mod elsewhere;
pub mod exclusions;
pub mod file_trees;
pub mod fit;
pub mod folded;
pub mod glob;
pub mod ignore;
mod image_matcher;
mod images;
pub mod importable;
pub mod inputs;
pub mod job_files;
mod jobs;
pub mod left_out;
pub mod links;
mod load;
mod loader;
pub mod lock;
pub mod loopback;
pub mod missing;
pub mod pins;
pub mod place;
pub mod python_code;
mod repeated;
pub mod requirements;
pub mod secrets;
mod settings;
pub mod source;
pub mod template;
pub mod tree;
pub mod utf8;
pub mod wheel;

pub use builders::{BuilderAddress, BuilderEndpoint, BuilderTls, Builders};
pub use config::FILE_NAME;
pub use image_matcher::{ImageMatcher, Mention, Tail};
pub use load::{load, load_text};
pub use loader::Environment;
pub use settings::{
    BesideFile, Chain, ChainOrigin, CodeForm, CodeTree, ConfiguredPlace, Context, Image, Kind,
    MadeChain, MainFile, ManifestGlob, Mirrors, Operator, OperatorOrigin, Package, PathStep,
    PinMode, Project, PythonSettings, Registry, SecretOrigin, UnknownRegistry, WheelBuilds,
};
