//! The integration tests. Each module is one promise seen from outside.
//!
//! - `arrows`: the house: layers, rooms, circles of files, names, who prints, how long a verb is
//! - `layouts`: the four configurations that the schema must carry
//! - `killed`: a kill or a failing disk at any system call leaves all files old or all new
//! - `drift`: what is said of each bad manifest, with its place and a cure
//! - `places`: every form that a place of an image has, in both pin modes
//! - `check_formats`: what `check` tells reviews and programs: a diff that git applies, GitHub's commands, GitLab's report, JSON
//! - `mistakes`: every mistake gives one clear message with a cure
//! - `naming`: references, as docker and skopeo read them
//! - `packing`: the same inputs give the same bytes
//! - `planning`: what a plan says is what a build does; tags for scripts; inputs that git does not have
//! - `retagging`: what moves a tag, and what does not
//! - `staleness`: a changed file is always seen, and a bad cache costs time only
//! - `locking`: what the locks hold, what moves them, and what that retags
//! - `portability`: the same tags by every user, in every place and order, with nobody to ask
//! - `ignoring`: what reaches a build, compared with docker
//! - `hooks`: sparkpack as hooks of pre-commit, whatever git does around them
//! - `building`: a chain of kilobyte layers through a real daemon
//! - `pushing`: the same into a real registry: adopted, conflicting, with a password
//! - `pins`: the digests that a push writes down, and `check --remote` asks for
//! - `documents`: `dist/images.json` is what its schema says
//! - `manifests`: they change only in their images, to the byte: hard files and files by chance, as other readers see them
//! - `manifest_cache`: a manifest that is in order is not read again, until anything has changed
//! - `hostile_input`: manifests that somebody wrote to mislead change in their images only, or are refused
//! - `why`: what makes an image differ, from wherever its record still is
//! - `documentation`: the pages that are made from the code are what the code says
//! - `left_out`: what `scripts/test --fast` leaves out is what needs a daemon or a registry
//! - `real`: the example project with real Spark, from nothing to the job's result
//!
//! By verb: `package`: `packing`, `staleness` · `lock`: `locking`, `retagging` · `plan`, `tags`: `planning`, `retagging`,
//! `portability` · `why`, `diff`: `why` · `build`: `building`, `ignoring`, `layouts` · `push`: `pushing`, `pins` · `pin`:
//! `manifests`, `killed`, `hooks` · `check`: `drift`, `places`, `check_formats`, `manifest_cache`, `hostile_input`, `pins` · all: `mistakes`,
//! `naming`.
//!
//! What needs a Docker daemon or a registry stands here, by the beginnings of the tests' names; `scripts/test --fast` leaves
//! it out.
//!
//! fast leaves out `adapters::docker::tests::both_` `adapters::docker::tests::a_copy_of_` `adapters::docker::tests::a_command_`
//! fast leaves out `adapters::docker::tests::a_dockerfile_` `adapters::docker::tests::a_parent_` `adapters::docker::tests::a_large_`
//! fast leaves out `adapters::docker::tests::a_context_` `adapters::docker::tests::an_` `adapters::docker::tests::labels_`
//! fast leaves out `adapters::docker::tests::a_daemon_is_` `adapters::docker::tests::tags_` `adapters::docker::tests::transfer::`
//! fast leaves out `adapters::registry::client::tests::real::an_` `adapters::registry::client::tests::real::a_document_`
//! fast leaves out `adapters::registry::client::tests::real::a_wrong_` `adapters::registry::client::tests::real::tls_`
//! fast leaves out `building::` `documents::a_` `documents::the_` `ignoring::` `locking::` `pins::` `pushing::` `real::` `why::`
//! fast leaves out `layouts::several_platforms_` `mistakes::a_broken_dockerfile_` `naming::docker_and_skopeo_`
//! fast leaves out `planning::a_plan_is_what_` `planning::the_registry_is_only_read_` `planning::a_strict_push_`
//! fast leaves out `portability::every_checkout_` `staleness::whatever_is_done_to_dist_`
//!
//! `tests/more/main.rs` is for those that need the registries of Maven and Go.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    reason = "a test stops at the first surprise, runs programs, and is a table or a story"
)]

mod support;

mod arrows;
mod building;
mod check_formats;
mod documentation;
mod documents;
mod drift;
mod hooks;
mod hostile_input;
mod ignoring;
mod killed;
mod layouts;
mod left_out;
mod locking;
mod manifest_cache;
mod manifests;
mod mistakes;
mod naming;
mod packing;
mod pins;
mod places;
mod planning;
mod portability;
mod pushing;
mod real;
mod retagging;
mod staleness;
mod why;
