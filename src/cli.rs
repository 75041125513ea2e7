//! The command line.

use std::{path::PathBuf, str::FromStr};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

/// Turns a `PySpark` project into immutable container images and the Kubernetes manifests that name them.
#[derive(Debug, Parser)]
#[command(name = "sparkpack", version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Work on the project in this folder, instead of the one here or above.
    #[arg(short = 'C', long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// Print nothing but data and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print the output of builds and what is behind a reason; twice: which rule leaves a file out.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// How long to wait for another sparkpack that works in the same project.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 600,
        env = "SPARKPACK_LOCK_TIMEOUT",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub lock_timeout: u64,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0 done                                     4 credentials
  1 drift found, or files changed            5 network, after retries
  2 bad usage, configuration or lock         6 work failed (a build, a disk)
  3 registry conflict

References and other data go to stdout, everything for people to stderr.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Those that need no project.
    #[command(flatten)]
    Anywhere(AnywhereCommand),
    /// Those that work on one.
    #[command(flatten)]
    Project(ProjectCommand),
}

/// The verbs that need no project.
#[derive(Debug, Subcommand)]
pub enum AnywhereCommand {
    /// Make a new project, with jobs, tests and manifests.
    #[command(
        long_about = "Make a new project in the folder NAME: two jobs, what they share with its data, tests, requirements, \
manifests (namespace and roles, the jobs), the hooks of pre-commit, a CI, and a README of one page. It builds, runs and tests \
as it is.

NAME is the name of the project, of its namespace and of its images' folder: lower-case letters, digits and `-`. It may be a \
path. A folder that has something already is left alone: exit code 2.

Prints the files, one a line."
    )]
    New(NewArguments),
    /// Write a sparkpack.toml for the project that is there.
    #[command(
        long_about = "Write a sparkpack.toml for the project that is there: one short file, and nothing else is changed.

It reads what git tracks, or outside of git what is no cache and no virtual environment: which packages import which, the \
files that are started, requirements and locks of every kind, Makefiles, scripts and CI files with their `docker build`, \
`pip install` and `spark-submit` lines, Dockerfiles and what they stand on, the images in manifests and values, and the \
versions of Spark and Python. Nothing is asked and nothing is sent; no daemon is needed.

It prints what it found, what it assumed because no file says it, what it could not tell, and what to watch, each with its \
place. What it wrote was read by sparkpack itself before. Where it cannot tell what the images would be, it says what it \
looked for, exit code 2, and writes nothing.

--dry-run prints the configuration to stdout instead of writing it. The last lines of the file, `# found: KEY = VALUE \
(FILE:LINE)`, are what it follows from: --diff reads the project again, prints which of them are new or gone, and how the \
configuration would be now; exit code 1 where any has changed."
    )]
    Init(InitArguments),
    /// Say what this machine has and lacks for the project, each with the command that cures it.
    #[command(
        long_about = "Say what this machine has and lacks for the project, each with the command that cures it; nothing is changed.

One line a check: the project and its locks, the daemon with its builder and the platforms that it can build for, each \
registry by a real request, proxies and certificates, room on the disks, the folders that are written into, uv or pip, \
git, the hook before a commit, and the clock. What has to be mended has `run:` with a command below it, or `hint:`.

It works outside of a project too, and with a sparkpack.toml that has mistakes. Nothing is waited for longer than ten \
seconds. --offline asks no registry. --format json prints one document: `version` 1, `healthy` and `checks`.

Exit code 0 where nothing has to be mended; else that of the most important finding: 2 configuration or locks, then 4 \
credentials, 5 network, 6 anything else."
    )]
    Doctor(DoctorArguments),
    /// Print the script by which a shell completes verbs and flags.
    #[command(
        long_about = "Print the script by which a shell completes verbs and flags. Where it goes:

  bash        ~/.local/share/bash-completion/completions/sparkpack, where the package bash-completion is installed; \
without it, this line in ~/.bashrc:
                eval \"$(sparkpack completions bash)\"
  zsh         _sparkpack in a folder that is in fpath before compinit runs; in ~/.zshrc:
                fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit
              and once: mkdir -p ~/.zfunc; sparkpack completions zsh > ~/.zfunc/_sparkpack
  fish        ~/.config/fish/completions/sparkpack.fish
  elvish      this line in ~/.config/elvish/rc.elv:
                eval (sparkpack completions elvish | slurp)
  powershell  this line in the file that $PROFILE names:
                sparkpack completions powershell | Out-String | Invoke-Expression

A shell that is open already reads it when it is started again. The names of images and registries are not completed."
    )]
    Completions(CompletionsArguments),
}

/// The verbs that work on a project.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Pack the job's code and requirements into dist/: main.py, jobs.zip, jobs/, libs.zip, site-packages/.
    #[command(long_about = "Pack the job's code and requirements into dist/:

  dist/main.py          the file that spark-submit runs
  dist/jobs.zip         everything under `src` that is the job's, without tests, caches and litter
  dist/jobs/            the same as a folder, where it has data files that code opens beside itself
  dist/libs.zip         the pure Python packages of the requirements
  dist/site-packages/   the packages with native code, which Python cannot import from a zip

Packages are installed by uv, or by pip where uv is not there, for the Python and platform of the image, from the wheels \
that `requirements.lock` names; what it lacks is chosen and written. The same inputs give the same bytes. Prints the folders.

Before, each import of a job is followed: into its own code, its packages, what its image stands on, and the standard \
library of the image's Python. What leads nowhere is a warning, and with --strict, the default where the environment \
variable CI is set to anything but `false` or `0`, an error. A file that the image's Python cannot read is an error.")]
    Package(PackageArguments),
    /// Make the locks, or move what they hold; says what would be retagged before it writes.
    #[command(
        long_about = "Make the locks, or move what they hold, without building; says what would be retagged before it writes.

The locks hold what the checkout cannot know by itself. Commit them: with them the same checkout has the same tags \
everywhere, offline.

  sparkpack.lock      external images by digest and platform, checksums of sources, built-in recipes and their wheels, \
revisions, and what each chain is of
  requirements.lock   beside each requirements file: for every platform the wheels that were chosen, by file name and \
SHA-256; `pip install --require-hashes -r` and `uv pip sync` take it as it is

Alone it adds what is missing, for all images and platforms, and drops what nothing uses any more; versions that are \
locked stay. `build`, `push` and `package` do the same; with --locked they refuse to, with --offline they send nothing.

  --upgrade           looks everything up again: images by tag, recipes, wheels, URLs without a checksum
  --upgrade NAME      only that: an external image, a source by its name or origin, a package, a recipe, or all that \
an image of the project uses. Of the other packages only those move that the new version leaves no choice
  --refresh IMAGE     has IMAGE and all that stands on it made again from the same inputs, for a security update that \
a RUN fetches: a new revision moves the tag, and the first build of it on each machine leaves the builder's cache aside

Prints what moves in the locks, and each image whose tag moves, `NAME: OLD -> NEW`, with the reasons below it. Then all \
lock files are written together, or none. Writes nothing where nothing moves."
    )]
    Lock(LockArguments),
    /// Say what a build would do, and why, offline.
    #[command(
        long_about = "Say what `sparkpack build` would do, and why; nothing is changed, and nothing is sent over the network.

For each image, parents first: its reference, and `current` or `to build` with the reasons. An image whose Dockerfile \
may use the network is `not reproducible`: what it fetches is no input of its tag. `undecided` is an image that stays \
if its parent, which is to be built, comes out with the layers that it had.

The Docker daemon is asked what it has if it answers at once on this machine. Without one the OCI layout dist/oci is \
asked, if `build` has made it, else the manifests say it: an image whose reference stands in one was made, of others the \
state is `unknown`. An image that only a daemon can make is told where none answers.

Then the diff of each manifest that would change, and the inputs that git's index does not have: no other checkout has \
those (the first 20; with -v all). With -vv also every path that is no input of an image, with the rule that leaves it out.

--remote also asks the registry, only reading: what a push would adopt, send, build or refuse. --format json prints one \
document: `version` 2, `images`, `manifests`, `untracked`, `warnings`, `daemon` and `git`.

Colours are for terminals; NO_COLOR and TERM=dumb switch them off, CLICOLOR_FORCE=1 on. Exit code 0 also where there \
is something to do."
    )]
    Plan(PlanArguments),
    /// Print the reference that each image of this checkout has, offline.
    #[command(
        long_about = "Print the reference that each image of this checkout has, parents first, one a line. Needs no daemon and no network.

--format json prints one document: `version` 1 and for each image `name`, `reference`, `repository`, `tag`, \
`fingerprint`, `platforms`; with several platforms `by_platform` too, with the `platform`, `reference` and `fingerprint` of \
each one's image.

--format env prints `NAME=value` lines for a CI's environment file (`>> \"$GITHUB_ENV\"`, a dotenv artifact of GitLab): \
the image's name in upper case, `-` and `.` as `_`, and `_IMAGE`: `JOB_IMAGE=registry.example/team/job:1f2e…`. A name \
that begins with a digit has a `_` before it. Two images with one variable are an error."
    )]
    Tags(TagsArguments),
    /// Say what makes an image differ from the one that is in use.
    #[command(
        long_about = "Say what makes an image differ from the one that is in use, down to the root cause.

The inputs of this checkout are compared with those of the image that the manifests name: files, wheels, build arguments, \
revisions, sources, external images, and below a parent that changed its own inputs. `--against` compares with another tag \
of the image, `--against-image` with any image.

What an image was made of travels with it, as its record: in a label, or beside the image in the registry under the tag \
`TAG.record` where it is too large for a label. It is looked for in dist/records, where every build and push keeps the \
records that it used, then in the daemon, then in the registry; nothing is built or changed.

Prints the differences, the most telling first; with -v the records themselves too."
    )]
    Why(WhyArguments),
    /// Say what makes two images differ.
    #[command(
        long_about = "Say what makes two images differ, down to the root cause, as `why` does for this checkout.

Each is a tag of an image of this project, IMAGE:TAG, or a whole reference. Their records are looked for in dist/records, \
then in the daemon, then in the registry."
    )]
    Diff(DiffArguments),
    /// Rewrite the references in the manifests, offline.
    #[command(
        long_about = "Rewrite the references in the manifests to those of this checkout, offline; nothing is built or sent.

Only the bytes of the values change, in all files or in none. `docs/manifests.md` lists the places that are looked at. \
With `pin = \"tag\"`, the default, a reference is its tag; with `pin = \"tag+digest\"` the digest that the last push of \
it wrote into sparkpack.pins stands behind it. A tag that changes takes the digest beside it away, or along.

With --exit-code the exit code is 1 where a file was changed: for hooks. --strict refuses inputs that are not \
as git's index has them: the commit would not have the tag that they make. It is the default where the environment \
variable CI is set to anything but `false` or `0`; --no-strict switches it off."
    )]
    Pin(PinArguments),
    /// Say whether the manifests name the images of this checkout, offline.
    #[command(
        long_about = "Say whether the manifests name the images of this checkout, offline; nothing is changed.

Exit code 1 where one does not, with a unified diff on stdout: `sparkpack pin` makes that change.

--format json prints one document (`version` 1); github prints workflow commands that annotate the lines of a pull \
request; gitlab prints a Code Quality report. What looks like a credential in the images' files is exit code 2. --remote also asks the registry whether it has every image that the \
manifests name, and every digest that is pinned."
    )]
    Check(CheckArguments),
    /// Build what is missing, in the Docker daemon or an OCI layout, and rewrite the manifests.
    #[command(
        long_about = "Build the images that are not there yet, parents first, and rewrite the manifests.

They go into the Docker daemon if one answers, else into the OCI image layout dist/oci, which podman, skopeo and umoci \
read: `skopeo copy oci:dist/oci:REFERENCE …`. --output chooses. In a layout images that only get files (job, ds) are put \
together, and those that have a Dockerfile are copied from the registry, or from a daemon where the registry lacks them. \
Of an image with several `platforms` a layout gets all, and an index over them; a daemon gets the one for its own platform.

An image whose tag is there with the right fingerprint is not built again; the daemon is asked every time. BuildKit is \
used where the daemon has it, the classic builder otherwise (`DOCKER_BUILDKIT=0` asks for it). `DOCKER_HOST` and docker's \
contexts name the daemon. With `[builder]` in sparkpack.toml a BuildKit at an address builds, the images go into dist/oci, and no \
daemon is asked but by `--output daemon`.

Missing lock entries are made, as `sparkpack lock` does: commit `sparkpack.lock` and `requirements.lock`.

--test-imports then runs each job's image as user 185 without a network, with Spark on a driver and two executors: the packages of the lock and all modules of the job are imported on the driver and in the executors' Python workers, the main file is compiled and its imports are made, and an Arrow UDF is run where pandas and pyarrow are there. What fails is told with the reason, exit code 6, before any manifest changes; with -v each module is told. It needs a daemon and 3 GB of memory, adds nothing to the image, and takes half a minute.

Prints the references, one a line. `dist/images.json` tells other programs what was made."
    )]
    Build(BuildArguments),
    /// Push the images, building what is missing, and rewrite the manifests.
    #[command(
        long_about = "Push the images to the registry, parents first, building what is missing, and rewrite the manifests.

The registry is asked before anything is built. An image that is there with the same fingerprint is adopted, whoever made \
it. A tag that is there with another fingerprint, or with none, is a conflict: exit code 3, and nothing is overwritten. \
Credentials come from docker's and podman's configuration (`docker login`).

It needs a daemon only where an image with a Dockerfile is missing, or what an image stands on is in a daemon alone.

With --strict, inputs that are not as the commit has them are refused (exit code 2) before anything is pushed: no \
commit stands for such a tag. It is the default where the environment variable CI is set to anything but `false` or `0`; \
--no-strict switches it off. `sparkpack plan` names such inputs.

--dry-run does all that comes before, and prints each request that would write and each file, one a line; nothing is packed, \
built, sent or changed, nor are locks made. IMAGE_ID and DIGEST stand for what is known only when an image is made.

If an image fails, those that do not stand on it are pushed all the same. Manifests and pins name the new images only when \
all are there; with --keep-going they name those that arrived. The exit code is that of what failed.

Prints the references with their digests, one a line."
    )]
    Push(PushArguments),
    /// Copy the images of this checkout from one registry into another, and rewrite that one's manifests.
    #[command(
        long_about = "Copy the images of this checkout, with those that they stand on, from one registry into another, and \
rewrite the manifests and pins of the other one. Both are names under [registries].

Nothing is built: the bytes and so the digests stay. What the other registry has already is not sent, and layers that \
another repository of it has are mounted. Where it has an image made from the same inputs under a tag, that one is taken, as \
`push` does; a tag of other inputs is a conflict: exit code 3. An image that is not in the registry to copy from is exit \
code 6. In both cases nothing is written.

Prints the references with their digests, one a line."
    )]
    Promote(PromoteArguments),
    /// Make the image of a tag again from its checkout, and compare it with the registry's.
    #[command(
        long_about = "Make the image of a tag again from its checkout, in an empty cache, and compare it with the one that the \
registry has, byte for byte.

IMAGE is the image of this checkout. IMAGE:TAG is that of an earlier one: its commit is found by the manifests that named the \
tag, and checked out into a temporary folder; the work tree stays as it is. The files are put on the registry's image of \
the parent, whose layers are not made again.

What is the same is said, exit code 0. Otherwise it prints the first difference, exit code 1: a layer, and the file in it, or \
a key of the config. An image that is built from a Dockerfile has other bytes each time, and is not made again.

dist/ is packed as `sparkpack package` does; for IMAGE:TAG it is not touched."
    )]
    Verify(VerifyArguments),
    /// Run a job in its image on this machine.
    #[command(
        long_about = "Run a job in its image on this machine, as a cluster would: through the image's entrypoint, with the \
arguments, the environment and the properties of the SparkApplication that the manifests have for it.

JOB is the name of a SparkApplication, the path of its manifest, an image of the project, or one of its main files. It \
is not needed where there is one alone. ARGUMENTS replace those of the SparkApplication. An image that is missing is \
built first; no manifest changes.

Spark runs with the master local[*], all in one container: what only means something in a cluster is left out and named, \
and the driver gets the larger of the memories. Values that a secret has are taken from your environment by --env NAME. \
Spark logs warnings and errors alone; with -v all that it likes to.

A container sees no file of this machine but what --volume mounts. With volumes the job runs as you, so that what it \
writes into them is yours; without any as the image's own user. A container does not outlive the run.

--local runs the job from dist/, without an image, by the Spark of this machine: SPARK_HOME, or that of a `spark-submit` \
or a Python with pyspark on the PATH. The packages of what its image stands on (ds) are not in dist/: that Python has to \
have them.

--shell gives a shell in the image instead, --shell=pyspark Spark's own for Python.

The exit code is the job's; where the job was not started it is one of sparkpack's."
    )]
    Run(RunArguments),
    /// Write the built-in recipe of an image into the project, to be changed there.
    #[command(
        long_about = "Write the built-in recipe of an image into the project, to be changed there.

For base, py and operator that is the built-in Dockerfile with the files that it copies; for ds and jobs, which sparkpack \
puts together without one, the Dockerfile that makes the same. They go into docker/IMAGE/, or where --to says; nothing is \
overwritten.

Prints the lines that sparkpack.toml needs for it, and changes nothing there. Once they stand there, the Dockerfile is an \
input like any other: a change of it moves the tag of the image, and those of all that stands on it. A job and ds have \
another tag at once, and need a builder from then on."
    )]
    Eject(EjectArguments),
}

impl ProjectCommand {
    /// The verb, as it is typed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Package(_) => "package",
            Self::Lock(_) => "lock",
            Self::Plan(_) => "plan",
            Self::Tags(_) => "tags",
            Self::Why(_) => "why",
            Self::Diff(_) => "diff",
            Self::Pin(_) => "pin",
            Self::Check(_) => "check",
            Self::Build(_) => "build",
            Self::Run(_) => "run",
            Self::Push(_) => "push",
            Self::Promote(_) => "promote",
            Self::Verify(_) => "verify",
            Self::Eject(_) => "eject",
        }
    }
}

/// What a new project is like.
#[derive(Args, Debug)]
pub struct NewArguments {
    /// The folder, whose name is the project's.
    #[arg(value_name = "NAME")]
    pub name: PathBuf,
    /// The Spark operator of the cluster.
    #[arg(long, value_enum, default_value_t)]
    pub operator: OperatorName,
    /// Build the operator's image too, and have its manifests (kubeflow's alone).
    #[arg(long)]
    pub with_operator: bool,
    /// The CI.
    #[arg(long, value_enum, default_value_t)]
    pub ci: CiName,
    /// How the code lies: `src/jobs` and `src/shared`, or a package with a pyproject.toml.
    #[arg(long, value_enum, default_value_t)]
    pub layout: LayoutName,
}

/// A Spark operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OperatorName {
    /// kubeflow/spark-operator
    #[default]
    Kubeflow,
    /// apache/spark-kubernetes-operator
    Apache,
    /// Stackable's, which runs its own Spark
    Stackable,
}

/// A CI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CiName {
    /// GitHub Actions
    #[default]
    Github,
    /// GitLab CI
    Gitlab,
}

/// How code lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LayoutName {
    /// src/jobs and src/shared
    #[default]
    Jobs,
    /// A package with a pyproject.toml
    Package,
}

/// What is run, and how.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// A SparkApplication, its manifest, an image or a main file.
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// The job's arguments, instead of the SparkApplication's.
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<String>,
    /// Mount a folder or a file of this machine; may be repeated.
    #[arg(long, value_name = "SOURCE:TARGET[:ro]")]
    pub volume: Vec<String>,
    /// Set a variable of the job's environment, or take it from yours; may be repeated.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Set a property of Spark; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub conf: Vec<String>,
    /// The file that spark-submit runs, as it is named in the image.
    #[arg(long, value_name = "FILE")]
    pub main: Option<String>,
    /// Where Spark runs.
    #[arg(long, default_value = "local[*]")]
    pub master: String,
    /// The container's network, as docker names them; `none` for no network.
    #[arg(long, value_name = "NAME", conflicts_with = "local")]
    pub network: Option<String>,
    /// Run from dist/ by the Spark of this machine, without an image.
    #[arg(long, conflicts_with = "volume")]
    pub local: bool,
    /// Give a shell instead.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "bash", conflicts_with = "arguments")]
    pub shell: Option<Shell>,
    /// For which registry.
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// What may become of the locks.
    #[command(flatten)]
    pub locks: Locks,
    /// Whether imports that lead nowhere are refused.
    #[command(flatten)]
    pub strict: StrictImports,
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// The system's.
    Bash,
    /// Spark's, for Python.
    Pyspark,
}

/// What is done with the configuration of a project that is there.
#[derive(Args, Debug)]
pub struct InitArguments {
    /// Print the configuration, and write nothing.
    #[arg(long, conflicts_with = "diff")]
    pub dry_run: bool,
    /// Say what has changed since the configuration was written.
    #[arg(long)]
    pub diff: bool,
}

/// Which registry.
#[derive(Args, Debug)]
pub struct RegistryArguments {
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
    pub registry: RegistryArguments,
    /// What may become of the locks.
    #[command(flatten)]
    pub locks: Locks,
}

/// What is built.
#[derive(Args, Debug)]
pub struct BuildArguments {
    /// Which images, for which registry.
    #[command(flatten)]
    pub images: Images,
    /// Where the images go: `daemon`, or `oci:PATH`, an OCI image layout. By default the daemon if one answers, else
    /// `dist/oci`.
    #[arg(long, value_name = "daemon|oci:PATH")]
    pub output: Option<OutputPlace>,
    /// Import all packages and modules in the images of jobs, on a driver and executors of Spark.
    #[arg(long)]
    pub test_imports: bool,
    /// Whether imports that lead nowhere are refused.
    #[command(flatten)]
    pub strict: StrictImports,
}

/// What is packed.
#[derive(Args, Debug)]
pub struct PackageArguments {
    /// What may become of the locks.
    #[command(flatten)]
    pub locks: Locks,
    /// Whether imports that lead nowhere are refused.
    #[command(flatten)]
    pub strict: StrictImports,
}

/// Whether imports of jobs that lead nowhere are refused.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct StrictImports {
    /// Refuse imports of jobs that lead nowhere; the default where CI is set.
    #[arg(long, overrides_with = "no_strict")]
    pub strict: bool,
    /// Only warn of imports of jobs that lead nowhere.
    #[arg(long, overrides_with = "strict")]
    pub no_strict: bool,
}

impl StrictImports {
    /// What was asked for, if anything was.
    #[must_use]
    pub fn asked(self) -> Option<bool> {
        (self.strict || self.no_strict).then_some(self.strict)
    }
}

/// Where a build puts its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputPlace {
    /// The Docker daemon.
    Daemon,
    /// An OCI image layout in this folder.
    Layout(PathBuf),
}

impl FromStr for OutputPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "daemon" => Ok(Self::Daemon),
            Some(("oci", folder)) if !folder.is_empty() => Ok(Self::Layout(PathBuf::from(folder))),
            _ => Err("write `daemon`, or `oci:` and a folder: `oci:dist/oci`".to_owned()),
        }
    }
}

/// What is pushed.
#[derive(Args, Debug)]
pub struct PushArguments {
    /// Which images, for which registry.
    #[command(flatten)]
    pub images: Images,
    /// Whether inputs that the commit does not have are refused.
    #[command(flatten)]
    pub strict: Strict,
    /// Print what would be written, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Name the images that arrived in the manifests, also if others failed.
    #[arg(long, conflicts_with = "dry_run")]
    pub keep_going: bool,
}

/// What is copied from one registry into another.
#[derive(Args, Debug)]
pub struct PromoteArguments {
    /// The registry to copy into, by its name under `[registries]`.
    #[arg(long, value_name = "REGISTRY")]
    pub to: String,
    /// Which images, from which registry.
    #[command(flatten)]
    pub images: ImagesOnly,
}

/// What is verified.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// The image, by name, and the tag if it is not that of this checkout.
    #[arg(value_name = "IMAGE[:TAG]")]
    pub image: String,
    /// In which registry.
    #[command(flatten)]
    pub registry: RegistryArguments,
}

/// Whether inputs that no commit has are refused.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Strict {
    /// Refuse inputs that no commit has, because no other checkout gets their tag, and imports of jobs that lead nowhere;
    /// the default where CI is set.
    #[arg(long, overrides_with = "no_strict")]
    pub strict: bool,
    /// Let inputs count that no commit has, and only warn of imports that lead nowhere.
    #[arg(long, overrides_with = "strict")]
    pub no_strict: bool,
}

impl Strict {
    /// What was asked for, if anything was.
    #[must_use]
    pub fn asked(self) -> Option<bool> {
        (self.strict || self.no_strict).then_some(self.strict)
    }
}

/// What may become of the locks.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Locks {
    /// Refuse to change the locks: what they lack is an error, as it should be in CI.
    #[arg(long)]
    pub locked: bool,
    /// Send nothing to registries and indexes, and download nothing: what the locks or the cache lack is an error. The
    /// daemon is asked, and what a RUN does is the daemon's.
    #[arg(long)]
    pub offline: bool,
}

/// What is locked anew.
#[derive(Args, Debug)]
pub struct LockArguments {
    /// Look everything up again, or only NAME: an image, a source, a package or a recipe.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    pub upgrade: Option<String>,
    /// Have an image made again from the same inputs, without the builder's cache.
    #[arg(long, value_name = "IMAGE", requires = "reason")]
    pub refresh: Option<String>,
    /// Why, for `--refresh`.
    #[arg(long, value_name = "TEXT", requires = "refresh")]
    pub reason: Option<String>,
    /// Only say what would change.
    #[arg(long)]
    pub dry_run: bool,
}

/// How a plan is printed.
#[derive(Args, Debug)]
pub struct PlanArguments {
    /// Which images, for which registry.
    #[command(flatten)]
    pub images: ImagesOnly,
    /// Ask the registry too which images it has.
    #[arg(long)]
    pub remote: bool,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// The form of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// A table and what is behind it.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// How references are printed.
#[derive(Args, Debug)]
pub struct TagsArguments {
    /// Which images, for which registry.
    #[command(flatten)]
    pub images: ImagesOnly,
    /// One a line, one JSON document, or `NAME=value` lines.
    #[arg(long, value_enum, default_value_t)]
    pub format: TagsFormat,
}

/// Images by name, for a registry.
#[derive(Args, Debug)]
pub struct ImagesOnly {
    /// The images, by name; by default all.
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// For which registry.
    #[command(flatten)]
    pub registry: RegistryArguments,
}

/// The form of references.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TagsFormat {
    /// One reference a line.
    #[default]
    Lines,
    /// One JSON document.
    Json,
    /// `NAME=value` lines for a CI's environment file.
    Env,
}

/// What an image is compared with.
#[derive(Args, Debug)]
pub struct WhyArguments {
    /// The image, by its name in the project.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// A tag of the image, instead of the one in the manifests.
    #[arg(long, value_name = "TAG", conflicts_with = "against_image")]
    pub against: Option<String>,
    /// Any image, by its reference.
    #[arg(long, value_name = "REFERENCE")]
    pub against_image: Option<String>,
    /// For which registry.
    #[command(flatten)]
    pub registry: RegistryArguments,
}

/// Two images.
#[derive(Args, Debug)]
pub struct DiffArguments {
    /// The older: a reference, or a tag of an image of this project.
    #[arg(value_name = "TAG")]
    pub left: String,
    /// The newer.
    #[arg(value_name = "TAG")]
    pub right: String,
    /// For which registry.
    #[command(flatten)]
    pub registry: RegistryArguments,
}

/// How manifests are rewritten.
#[derive(Args, Debug)]
pub struct PinArguments {
    /// Which images, for which registry.
    #[command(flatten)]
    pub images: ImagesOnly,
    /// Exit with 1 where a file was changed.
    #[arg(long)]
    pub exit_code: bool,
    /// Whether inputs that git's index does not have are refused.
    #[command(flatten)]
    pub strict: Strict,
}

/// How manifests are checked.
#[derive(Args, Debug)]
pub struct CheckArguments {
    /// Which images, for which registry.
    #[command(flatten)]
    pub images: ImagesOnly,
    /// Ask the registry too whether it has what the manifests name.
    #[arg(long)]
    pub remote: bool,
    /// Whether inputs that git's index does not have are refused.
    #[command(flatten)]
    pub strict: Strict,
    /// For people, for programs, or for the review of a change.
    #[arg(long, value_enum, default_value_t)]
    pub format: CheckFormat,
}

/// The form of what a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A unified diff.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// GitHub's workflow commands.
    Github,
    /// GitLab's Code Quality report.
    Gitlab,
}

/// What is written out.
#[derive(Args, Debug)]
pub struct EjectArguments {
    /// The image, by its name in the project.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The folder to write into, below the project's; by default docker/IMAGE.
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<PathBuf>,
}

/// What is looked at, and how it is printed.
#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// Which registry; by default all.
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// Ask no registry.
    #[arg(long)]
    pub offline: bool,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: DoctorFormat,
}

/// The form of a diagnosis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    /// One line a check.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Which script is printed.
#[derive(Args, Debug)]
pub struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
