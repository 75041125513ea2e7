//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Turns a `PySpark` project into immutable container images and the Kubernetes manifests that name them.
#[derive(Debug, Parser)]
#[command(name = "sparkpack", version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Work on the project in this folder, instead of the one here or above.
    #[arg(short = 'C', long, global = true, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
    /// Print nothing but data and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print the output of builds, and what makes an image not reproducible.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0 done                                     4 credentials
  1 drift found                              5 network, after retries
  2 bad usage, configuration or lock         6 work failed (a build, a disk)
  3 registry conflict

References and other data go to stdout, everything for people to stderr.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pack the job's code and requirements into dist/: main.py, jobs.zip, libs.zip, site-packages/.
    #[command(long_about = "Pack the job's code and requirements into dist/:

  dist/main.py          the file that spark-submit runs
  dist/jobs.zip         everything under `src` that is the job's, without tests, caches and litter
  dist/libs.zip         the pure Python packages of the requirements
  dist/site-packages/   the packages with native code, which Python cannot import from a zip

Packages are installed by uv, or by pip where uv is not there, for the Python and platform of the image, from the wheels \
that `requirements.lock` names; a missing lock is made. The same inputs give the same bytes. Prints the folders.")]
    Package,
    /// Print the reference that each image of this checkout has, offline.
    #[command(
        long_about = "Print the reference that each image of this checkout has, parents first, one a line.

Needs no daemon and no network: a tag is the first 16 hex digits of the hash of everything that goes into the image. What \
the locks do not know yet is an error; `sparkpack build` completes them. With --verbose, images are named that are not \
reproducible, since a RUN may use the network."
    )]
    Plan(Registry),
    /// Build what is missing through the Docker daemon, and rewrite the manifests.
    #[command(
        long_about = "Build the images that the Docker daemon does not have yet, parents first, and rewrite the manifests.

An image whose tag is there with the right fingerprint is not built again; the daemon is asked every time. BuildKit is \
used where the daemon has it, the classic builder otherwise (`DOCKER_BUILDKIT=0` asks for it). `DOCKER_HOST` and docker's \
contexts name the daemon.

Missing lock entries are made: commit `sparkpack.lock` and `requirements.lock`.

Prints the references, one a line. `dist/images.json` tells other programs what was made."
    )]
    Build(Images),
    /// Push the images, building what is missing, and rewrite the manifests.
    #[command(
        long_about = "Push the images to the registry, parents first, building what is missing, and rewrite the manifests.

The registry is asked before anything is built. An image that is there with the same fingerprint is adopted, whoever made \
it. A tag that is there with another fingerprint, or with none, is a conflict: exit code 3, and nothing is overwritten. \
Credentials come from docker's and podman's configuration (`docker login`).

Prints the references with their digests, one a line."
    )]
    Push(Images),
}

/// Which registry.
#[derive(Args, Debug)]
pub struct Registry {
    /// The registry, by its name under `[registries]`; by default the only one, or `main`.
    #[arg(long, value_name = "NAME")]
    pub registry: Option<String>,
}

/// Which images, for which registry.
#[derive(Args, Debug)]
pub struct Images {
    /// The images, by name; by default all.
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// For which registry.
    #[command(flatten)]
    pub registry: Registry,
}
