//! Makes a plan from the checkout and the locks. Looks up missing lock entries if the policy allows it.

mod below;
mod changes;
mod committed;
mod contents;
mod elsewhere;
mod from_source;
mod ignored;
mod impact;
mod input_files;
mod left_out;
mod lock_files;
mod lookup;
mod platforms;
mod prepare;
mod relock;
mod spark_extras;
#[cfg(test)]
mod tests;
mod tracked;
mod upgrade;
mod wanted;
mod wheels;

pub(crate) use committed::{Strictness, untracked_inputs};
pub(crate) use from_source::fetch_repository;
pub(crate) use impact::Impact;
pub(crate) use left_out::left_out;
pub(crate) use platforms::platforms;
pub(crate) use prepare::{
    Prepared, inputs_and_wheels, prepare, prepare_for, prepare_in_memory, read_inputs,
};
pub(crate) use relock::{LockRequest, relock};
pub(crate) use tracked::warn_of_left_out;
pub(crate) use wheels::{Wheels, wheels_of};
