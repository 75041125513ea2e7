//! From the checkout and the locks to a plan; looks up what is missing where that is allowed.

mod changes;
mod impact;
mod lock_files;
mod lookup;
mod platforms;
mod prepare;
#[cfg(test)]
mod tests;
mod untracked;
mod upgrade;
mod wheels;

pub(crate) use changes::lock_changes;
pub(crate) use impact::{Before, Impact};
pub(crate) use lock_files::LockFiles;
pub(crate) use platforms::{only_platform, platforms};
pub(crate) use prepare::{
    Prepared, Resolver, inputs_and_wheels, prepare, read_inputs, warn_of_inputs,
};
pub(crate) use untracked::{Strictness, untracked_inputs};
pub(crate) use upgrade::{Upgrade, upgrade};
