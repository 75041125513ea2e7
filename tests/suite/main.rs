//! The integration tests. Each module tests one promise from outside.
//!
//! - `arrows`: the architecture: layers, rooms, cycles of files, names, who prints, how long a verb is
//! - `init`: what is written for a project that is there, and what is said of it
//! - `layouts`: the four layouts that the configuration must support
//! - `killed`: a kill or a failing disk at any system call leaves all files old or all new
//! - `any_call`: a kill or a failing disk at any system call of any verb that writes, in the daemon and registries too
//! - `waiting`: runs beside each other: who waits for whom, how long, and what is said of it
//! - `signalled`: a signal ends a run within two seconds, with what it began: builds, containers, programs, folders
//! - `bare_machines`: no HOME, no TMPDIR, no current folder, no PATH: it works, or one line says why not
//! - `disks`: disks that are full, read-only or limited: one clear error, and nothing old is lost
//! - `drift`: the message for each bad manifest, with its place and a cure
//! - `places`: every form of a place that names an image, in both pin modes
//! - `check_formats`: the output of `check` for reviews and programs: a diff, GitHub's commands, GitLab's report, JSON
//! - `imports`: imports of a job that lead nowhere are told before anything is made, and no others
//! - `mistakes`: every mistake gives one clear message with a cure
//! - `naming`: references, as docker and skopeo read them
//! - `packing`: the same inputs give the same bytes
//! - `pythons`: archives of every shape import in every Python that a chain may name
//! - `sources`: a job's code wherever it lies in a project, and what is none of it
//! - `planning`: a build does what its plan says; tags for scripts; inputs that git does not track
//! - `bad_requirements`: requirements that cannot be met are one clear error, with what to do
//! - `requirements`: what people have as requirements is read, and their locks decide the versions
//! - `retagging`: what moves a tag, and what does not
//! - `staleness`: a changed file is always noticed, and a bad cache costs only time
//! - `locking`: the content of the locks, what changes it, and which images are then retagged
//! - `portability`: the same tags for every user, in every place and order, without a network
//! - `parents`: what binds a job of the packages below it, what it may replace, and what Spark brings
//! - `ignoring`: which files reach a build, compared with docker
//! - `hooks`: sparkpack as hooks of pre-commit, whatever git does around them
//! - `committed`: inputs that no commit has are refused or told
//! - `passed_over`: references in shapes that no place has are written where they are clear, and told otherwise
//! - `own_package`: a context that is the job's own package is never what lies in `dist`
//! - `untrue_images`: what would make an image that is not what it says is refused by name
//! - `local_files`: files that a SparkApplication names in its image and that are not there are told
//! - `proxies`: registries behind a proxy
//! - `certificates`: registries behind TLS: who is trusted, and what is told of the others
//! - `test_imports`: `build --test-imports`: what it tells, and that no container stays
//! - `running`: `run`: which job is meant, what it is given, who it is, and that no container stays
//! - `installing`: the wheel: installed by pip and uv, and as pre-commit's hook, without a Rust toolchain
//! - `releasing`: `scripts/release`: what it refuses, what it packs; completions in a real bash; a man page for every verb
//! - `creating`: `new`: a project of every kind builds, runs, tests and checks as it is made
//! - `ci_files`: linters find nothing in the CI files that `new` writes, and what is wrong if something is
//! - `ci_steps`: the shell steps of those CI files check, test and push a clone
//! - `folding`: names that some disks take for one are refused, and on such a disk a checkout has the tags that it has everywhere
//! - `canaries`: secrets of a machine are never printed, kept, or sent to where they are not for
//! - `bytecode`: bytecode of an image below never runs in the place of a source that was changed above
//! - `hidden`: what looks like a credential stops whatever would make or send an image, and nothing else does
//! - `secrets`: secrets and SSH agents of builds: told what is missing, never shown
//! - `added_files`: images that only get files, without a builder and without a daemon
//! - `daemonless`: where no Docker daemon answers
//! - `platforms`: images for several platforms under one index
//! - `ejecting`: recipes that are written out, and what they need in `sparkpack.toml`
//! - `elsewhere`: chains and jobs on an image from elsewhere
//! - `from_source`: packages without a wheel, which are built from their sources where that is allowed
//! - `only_in_daemon`: jobs on an image that no registry has
//! - `accepted`: what was pushed is copied, unpacked, pulled and run by the programs of others
//! - `same_as_built`: an image that was put together is the one that the daemon builds from its Dockerfile
//! - `builders`: `[builder]`: what is said of it where no `BuildKit` is
//! - `building`: a chain of kilobyte layers through a real daemon
//! - `pushing`: pushes to a real registry: adopted images, conflicts, a password
//! - `lost_blobs`: what a registry has lost of an image counts as absent
//! - `pins`: the digests that a push writes down, and `check --remote` asks for
//! - `faults`: whatever single request fails in passing, a push arrives, and what is told of it is true
//! - `races`: two first pushes of the same images at the same time agree on what they tell
//! - `registry_kinds`: a push arrives at registries of every kind
//! - `promoting`: a set is copied into another registry byte for byte, or nothing is written
//! - `verifying`: an image is made again from the checkout of its tag, and what differs is named
//! - `doctor`: what a machine has and lacks for a project, with what cures it, and nothing is changed
//! - `documents`: `dist/images.json` is what its schema says
//! - `manifests`: only the bytes of images change, in difficult and random files, according to other YAML parsers
//! - `halves`: values under any keys: what is written renders as the current reference, or it is said
//! - `manifest_cache`: a manifest without findings is not read again until something changes
//! - `hostile_input`: in manifests that are written to mislead only the images change, or they are refused
//! - `cases`: five more of each kind of fault that people have reported of requirements and sources
//! - `wheels`: wheels that are not what they should be are refused by name, or are harmless
//! - `why`: why an image differs, wherever its record is found
//! - `documentation`: the pages that are made from the code are what the code says
//! - `left_out`: `scripts/test --fast` leaves out exactly the tests that need a daemon or a registry
//! - `projects`: the layouts of well-known templates: few lines, no Dockerfile, and the job runs in real Spark
//! - `real`: the example project with real Spark, from nothing to the job's result
//!
//! By verb: `init`: `init` · `package`: `packing`, `pythons`, `sources`, `requirements`, `bad_requirements`, `wheels`, `cases`,
//! `imports`, `staleness` · `lock`: `locking`, `retagging` · `plan`, `tags`: `planning`, `retagging`, `portability`, `platforms` ·
//! `why`, `diff`: `why`, `platforms` · `build`: `building`, `builders`, `bytecode`, `added_files`, `same_as_built`, `ignoring`, `layouts`, `test_imports`,
//! `platforms` · `push`: `pushing`, `lost_blobs`, `platforms`, `accepted`, `elsewhere`, `only_in_daemon`, `pins`, `daemonless`, `faults`, `races`, `registry_kinds` ·
//! `promote`: `promoting` · `verify`: `verifying` · `pin`:
//! `manifests`, `halves`, `killed`, `hooks` · `check`: `drift`, `places`, `check_formats`, `manifest_cache`, `hostile_input`,
//! `pins` · `run`: `running`, `real` · `new`: `creating`, `ci_files`, `ci_steps` · `doctor`: `doctor` · `eject`: `ejecting`,
//! `same_as_built` · `completions`: `releasing` · all: `mistakes`, `naming`, `any_call`, `waiting`, `signalled`, `bare_machines`, `disks`.
//!
//! The tests that need a Docker daemon or a registry, by the prefixes of their names; `scripts/test --fast` leaves them
//! out.
//!
//! fast leaves out `adapters::docker::tests::both_` `adapters::docker::tests::a_copy_of_` `adapters::docker::tests::a_command_`
//! fast leaves out `adapters::docker::tests::a_dockerfile_` `adapters::docker::tests::a_parent_` `adapters::docker::tests::a_large_`
//! fast leaves out `adapters::docker::tests::a_context_` `adapters::docker::tests::an_` `adapters::docker::tests::labels_`
//! fast leaves out `adapters::docker::tests::a_daemon_is_` `adapters::docker::tests::tags_` `adapters::docker::tests::transfer::`
//! fast leaves out `adapters::docker::tests::tls::` `adapters::docker::tests::load::`
//! fast leaves out `adapters::registry::client::tests::push::` `adapters::registry::client::tests::ahead::a_registry_`
//! fast leaves out `adapters::registry::client::tests::real::an_` `adapters::registry::client::tests::real::a_document_`
//! fast leaves out `adapters::registry::client::tests::real::a_wrong_`
//! fast leaves out `added_files::` `builders::a_daemon_` `builders::a_variable_` `building::` `bytecode::a_changed_` `canaries::twelve_` `daemonless::` `elsewhere::` `faults::` `races::` `promoting::` `registry_kinds::` `verifying::` `from_source::` `only_in_daemon::`
//! fast leaves out `documents::a_` `documents::the_` `ignoring::` `locking::` `lost_blobs::` `pins::` `platforms::` `pushing::` `real::`
//! fast leaves out `projects::every_template_is_` `running::` `test_imports::` `why::` `same_as_built::` `accepted::`
//! fast leaves out `ci_steps::` `creating::a_new_project_builds_` `installing::the_hooks_` `mistakes::a_broken_dockerfile_`
//! fast leaves out `naming::docker_and_skopeo_` `doctor::a_machine_` `doctor::credentials_` `init::every_tree_is_`
//! fast leaves out `planning::a_plan_is_what_` `planning::the_registry_is_only_read_` `planning::a_strict_push_`
//! fast leaves out `any_call::build_` `any_call::push_` `any_call::promote_`
//! fast leaves out `certificates::` `adapters::registry::client::tests::tls::` `adapters::registry::client::tests::unanswered::a_connection_`
//! fast leaves out `adapters::registry::client::tests::unanswered::an_`
//! fast leaves out `folding::a_build_` `hidden::a_build_` `secrets::a_build_` `adapters::docker::tests::a_step_`
//! fast leaves out `own_package::both_` `portability::every_checkout_` `staleness::whatever_is_done_to_dist_`
//! fast leaves out `secrets::a_build_` `adapters::docker::tests::a_step_`
//! fast leaves out `signalled::a_build_` `signalled::at_any_` `waiting::a_hook_` `waiting::a_build_` `own_package::both_` `portability::every_checkout_` `staleness::whatever_is_done_to_dist_`
//!
//! The tests in `tests/more/main.rs` need the registries of Maven and Go.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    reason = "a test stops at the first surprise, runs programs, and is a table or a story"
)]

mod support;

mod accepted;
mod added_files;
mod any_call;
mod arrows;
mod bad_requirements;
mod bare_machines;
mod builders;
mod building;
mod bytecode;
mod canaries;
mod cases;
mod certificates;
mod check_formats;
mod ci_files;
mod ci_steps;
mod committed;
mod creating;
mod daemonless;
mod disks;
mod doctor;
mod documentation;
mod documents;
mod drift;
mod ejecting;
mod elsewhere;
mod faults;
mod folding;
mod from_source;
mod halves;
mod hidden;
mod hooks;
mod hostile_input;
mod ignoring;
mod imports;
mod init;
mod installing;
mod killed;
mod layouts;
mod left_out;
mod local_files;
mod locking;
mod lost_blobs;
mod manifest_cache;
mod manifests;
mod mistakes;
mod naming;
mod only_in_daemon;
mod own_package;
mod packing;
mod parents;
mod passed_over;
mod pins;
mod places;
mod planning;
mod platforms;
mod portability;
mod projects;
mod promoting;
mod proxies;
mod pushing;
mod pythons;
mod races;
mod real;
mod registry_kinds;
mod releasing;
mod requirements;
mod retagging;
mod running;
mod same_as_built;
mod secrets;
mod signalled;
mod sources;
mod staleness;
mod test_imports;
mod untrue_images;
mod verifying;
mod waiting;
mod wheels;
mod why;
