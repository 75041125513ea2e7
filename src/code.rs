//! The codes of errors and warnings: what each means, what to do about it, and the exit code that it gives.
//!
//! `docs/errors.md` is made from this table.

use std::fmt;

macro_rules! codes {
    ($($code:ident $exit:literal $meaning:literal $cure:literal)*) => {
        /// The code of an error (`E`) or a warning (`W`), which documentation and scripts can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $code,)*
        }

        impl Code {
            /// All codes, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// As it is written in messages: `E084`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)*
                }
            }

            /// The exit code of a run that stops with it; 0 for warnings, 2 for mistakes in the user's files.
            #[must_use]
            pub fn exit_code(self) -> u8 {
                match self {
                    $(Self::$code => $exit,)*
                }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => $meaning,)*
                }
            }

            /// The usual cure.
            #[must_use]
            pub fn cure(self) -> &'static str {
                match self {
                    $(Self::$code => $cure,)*
                }
            }
        }
    };
}

codes! {
    E010 2
        "There is no `sparkpack.toml`, or it is not a regular file."
        "go to the project's folder, or have one written there: `sparkpack init`"
    E011 2
        "A file is not UTF-8."
        "save it as UTF-8"
    E012 2
        "`sparkpack.toml` is larger than 1 MiB, or nested too deeply."
        "keep only sparkpack's configuration in it"
    E013 2
        "There is a `sparkpack.toml` already, here or above."
        "`sparkpack init --diff` says what has changed since it was written"
    E014 2
        "A project cannot be understood, so that no `sparkpack.toml` is written."
        "write one: the README shows the ten lines that it needs"
    E015 2
        "A `sparkpack.toml` has no facts to compare the project with."
        "only what `sparkpack init` wrote has them"
    E020 2
        "`sparkpack.toml` is not TOML."
        "correct the syntax where the place points"
    E021 2
        "`sparkpack.toml` has a key that there is not."
        "look for a typing error: the README's configuration table has every key"
    E022 2
        "A value in `sparkpack.toml` has the wrong type or is not one of those that are allowed."
        "correct the value: the README's configuration table has every key"
    E023 2
        "Something that is needed is missing in `sparkpack.toml`."
        "add the key that the message names"
    E024 2
        "`reference` is no template for references, or gives two images the same ones."
        "write `reference = \"{registry}/{image}:{fingerprint}\"`, or the like"
    E025 2
        "What would be a reference is none by the rules of registries."
        "a reference is HOST[:PORT]/PATH:TAG, in lower case up to the tag"
    E026 2
        "`format` is missing or one that this sparkpack does not know."
        "write `format = 1`, or install a newer sparkpack"
    E027 2
        "A placeholder names a variable of the environment that is not set, or stands where none is allowed."
        "set the variable, or write the value out"
    E028 2
        "A checksum is no SHA-256."
        "give what `sha256sum FILE` prints"
    E029 2
        "A name cannot be part of a reference."
        "use lower-case letters, digits and `-`"
    E030 2
        "`sparkpack.lock` cannot be read."
        "take the committed file back, or delete it and run `sparkpack lock`"
    E031 2
        "`sparkpack.lock` has a format that this sparkpack does not know."
        "install a newer sparkpack"
    E032 2
        "`sparkpack.lock` names a built-in recipe that this sparkpack does not carry."
        "install the sparkpack that wrote the lock, or a newer one, or run `sparkpack lock --upgrade`"
    E033 2
        "The locks lack something that a tag needs."
        "run `sparkpack lock`, which completes the locks"
    E034 2
        "The locks are not up to date, and `--locked` forbids to change them."
        "run `sparkpack lock`, and commit what it writes"
    E035 2
        "Something has to be fetched, and `--offline` forbids it."
        "run it once without `--offline`"
    E036 2
        "`lock --upgrade` names nothing that the locks have."
        "name an image, what one stands on, a source or a package"
    E037 2
        "`lock --refresh` has a reason that says nothing."
        "say why: `--reason \"CVE-2026-1234\"`"
    E038 2
        "Two images share a requirements file, but not what its wheels are chosen for."
        "give one of them a requirements file of its own"
    E039 2
        "The Spark, Java and Python of a chain do not fit each other, or its root image does not have them."
        "change the version that the message names, or the chain's `root`"
    E040 2
        "A requirements file cannot be read."
        "create the file, or correct `requirements` in sparkpack.toml"
    E041 2
        "A requirement cannot be pinned, such as a folder; or it would be built from its source, which nothing allows."
        "name a package and a version of the index, write a wheel's path, or allow the source by `from-source`"
    E042 2
        "A requirements file holds a user or a password."
        "take it out: put the URL into the variable PIP_INDEX_URL, or the password into ~/.netrc"
    E043 2
        "A requirements file has an option that a lock cannot honour."
        "take the option out; one index is named by `[mirrors] python`"
    E044 2
        "A file that a requirements file includes is not there, or not in the project."
        "correct the path, which is taken from the folder of the file that includes it"
    E045 2
        "Requirements files include each other in a circle."
        "remove one of these lines"
    E046 2
        "Two lines pin one package to different versions."
        "keep one of the two lines"
    E047 2
        "A line of a requirements file is not a requirement."
        "write `NAME==VERSION`, as pip does"
    E048 2
        "A hash in a requirements file is none, or stands at no version."
        "write `NAME==VERSION --hash=sha256:…`, or leave the hash out: the lock holds it"
    E049 2
        "The lock beside a requirements file cannot be read."
        "take the committed file back, or delete it and run `sparkpack lock`"
    E050 2
        "A Dockerfile is not UTF-8."
        "save it as UTF-8"
    E051 2
        "A Dockerfile has an instruction that there is not."
        "look for a typing error"
    E052 2
        "A Dockerfile has no `FROM`, or something before it."
        "begin with `FROM IMAGE`"
    E053 2
        "Two stages of a Dockerfile have the same name."
        "rename one of them"
    E054 2
        "A `COPY --from`, a mount or a variable in a Dockerfile names nothing."
        "correct the name, or declare it"
    E055 2
        "An image's name in a Dockerfile cannot be known before it is built."
        "declare the `ARG` before the first `FROM`, with a default"
    E056 2
        "A Dockerfile has no stage of the name that is wanted."
        "correct `target` in sparkpack.toml"
    E057 2
        "An instruction of a Dockerfile is not complete or not well formed."
        "correct the line"
    E058 2
        "A pattern in a `.dockerignore` is not well formed."
        "correct the line"
    E059 0
        "A Dockerfile fetches something over the network without a checksum."
        "name it under `[sources]` with its `sha256`, and `COPY` it"
    E060 2
        "A manifest is not YAML."
        "correct the syntax; what is YAML only after rendering is handled by marks: docs/manifests.md"
    E061 2
        "A mapping in a manifest has a key twice."
        "remove one of the two"
    E062 2
        "A place for an image in a manifest holds something else than a string."
        "write the image's reference, or `\"\"`"
    E063 2
        "An anchor's value would have to become two values."
        "write out what the alias stands for, or list the file under `anchors` in sparkpack.toml"
    E064 2
        "An image stands in a block scalar of several lines."
        "write the value on one line"
    E065 2
        "A manifest would not read back as intended after the change."
        "write the present value plainly, on one line"
    E066 2
        "A manifest merges too many mappings."
        "write the value out where it is meant"
    E067 2
        "No manifest names an image that was built, so that `why` has nothing to compare with."
        "say what to compare with: `--against TAG`, or `--against-image REFERENCE`"
    E068 2
        "A name begins with `.wh.`: a layer deletes the parent's files by such names."
        "rename it, or leave it out by `.dockerignore` or `exclude`"
    E069 2
        "`sparkpack.pins` cannot be read, or two paths lead to one file that would have to differ."
        "take the committed file back, or remove the line: `sparkpack push` writes it again"
    E070 2
        "A file or folder cannot be read."
        "give yourself the right to read it, or leave it out by `exclude` or `.dockerignore`"
    E071 2
        "A path is not a folder."
        "correct the path"
    E072 2
        "A FIFO, socket or device lies among the files."
        "remove it, or leave it out by `exclude` or `.dockerignore`"
    E073 2
        "A file's name is not UTF-8."
        "rename it, or leave it out"
    E074 2
        "Two names differ only in case, or in the form of their Unicode letters."
        "rename one: macOS and Windows keep only one of them"
    E075 2
        "A symbolic link leads out of the tree."
        "copy what it leads to, or leave the link out"
    E076 2
        "A symbolic link leads nowhere."
        "remove it, or bring back what it leads to"
    E077 2
        "A symbolic link leads back to where it came from."
        "remove it, or leave it out"
    E078 2
        "A tree has too many files."
        "leave out what no image needs, by `exclude` or `.dockerignore`"
    E079 2
        "Two images would have the same variable in `tags --format env`."
        "print one of them, or rename an image"
    E080 2
        "What was typed is neither a reference nor a tag."
        "write HOST[:PORT]/PATH:TAG, or a tag of an image of this project"
    E081 2
        "What an image was made of is not known anywhere."
        "name another image: of one that was removed everywhere nobody can say why it differs"
    E082 2
        "An image is there, but has no record that can be believed."
        "name another image, which sparkpack has made"
    E083 2
        "Two images have the same name."
        "give each image a name of its own"
    E084 2
        "There is no image of that name."
        "look for a typing error: the images are those of sparkpack.toml"
    E085 2
        "Images stand on each other in a circle."
        "take one `parent`, `FROM` or `COPY --from` away"
    E086 2
        "There is no source of that name."
        "add a table `[sources.NAME]`, or correct the name"
    E087 2
        "There is no registry of that name, or several and none was chosen, or one was chosen twice."
        "choose one with `--registry NAME`"
    E088 2
        "A glob of `each` matches no folder."
        "correct the glob: `each` makes one image of every folder that it matches"
    E089 2
        "A file or folder that sparkpack.toml names is not there, or cannot be read."
        "create it, or correct the path"
    E090 2
        "`dist`, which sparkpack makes, or a file that is in no image (a manifest, a lock, a secret) is named as an input, or a job's `src` lies in `dist`, or a context a name that sparkpack puts there."
        "name a folder of your own; only a job may have `context = \"dist\"`, which is its own package"
    E091 2
        "A path leads out of the project's folder."
        "what lies elsewhere is a source: `[sources.NAME]` with `path = \"…\"`"
    E092 2
        "An image is wanted for a platform that what it stands on does not have."
        "correct `platforms`, or name another image"
    E093 2
        "An image's name in a Dockerfile is none, or names a source that there is not."
        "correct the name"
    E094 2
        "An image is to stand on a `parent`, and its Dockerfile ends on another image."
        "write `ARG PARENT` at the top and `FROM ${PARENT}`"
    E095 2
        "A Dockerfile needs something that the builder in use does not know."
        "use a daemon with BuildKit, without `DOCKER_BUILDKIT=0`, or write it the old way"
    E096 2
        "A `COPY` or `ADD` matches nothing."
        "correct the path, which is below the image's `context`"
    E097 2
        "Git is needed and cannot be asked."
        "follow the hint: it says what git lacks"
    E098 2
        "Inputs are not as git's index or the commit has them, and `--strict`, CI's default, refuses them."
        "commit them, or leave them out by `.dockerignore` or `exclude`; `untracked` allows what every checkout makes"
    E100 1
        "A manifest does not name what this checkout stands for."
        "run `sparkpack pin`"
    E101 1
        "Manifests were changed, and `--exit-code` tells a hook."
        "review and stage them: `git add -u`"
    E102 1
        "A file was changed while sparkpack ran; nothing was written."
        "run it again"
    E103 1
        "The facts that `sparkpack init` wrote into the configuration have changed."
        "take from the diff what is right, with its `# found:` lines"
    E104 1
        "An image in a registry is not the one that its checkout makes."
        "look at what differs; `sparkpack why IMAGE --against TAG` says what the image was made of"
    E110 2
        "A step of a Dockerfile cannot do without a secret or an SSH agent that the image is not given."
        "name it under the image: `secrets.ID = { file = \"~/.netrc\" }`, `{ env = \"TOKEN\" }`, or `ssh = true`"
    E111 2
        "The secret or the SSH agent of an image is not there."
        "create the file, set the variable, or start the agent: the message names it"
    E112 2
        "A Dockerfile writes a secret into the image: by `ENV`, by `ARG`, or in a URL."
        "mount it by `RUN --mount=type=secret`, and name it under `secrets` of the image"
    E113 2
        "A Dockerfile copies the whole context in a way that would copy the Dockerfile which is sent into the image too."
        "write the instruction as the message says"
    E114 2
        "What would get into an image holds what looks like a credential."
        "take it out; if it is none, allow it by the line for `[secrets]` that the hint names"
    E116 2
        "No BuildKit is configured for a platform."
        "add one under `[builder]`, or under `[builder.platforms]`"
    E117 2
        "A BuildKit at an address only builds images: what was asked needs a Docker daemon."
        "leave that to a Docker daemon: `sparkpack build --output daemon`"
    E118 2
        "The address of a BuildKit cannot be used."
        "write `unix:///PATH` or `tcp://HOST:PORT`, with `ca`, `certificate` and `key` for another machine"
    E120 2
        "Python cannot read the whole of an archive: it has too many files, or is too large."
        "leave out what is no code by `exclude`, or set `python = \"3.13\"` for the chain"
    E121 2
        "The archive of a job would hold no Python module."
        "put the job's code into `src`, or take it by `include`"
    E130 2
        "An image from elsewhere is a chain's base, and something else says how that base is made."
        "remove one of the two lines"
    E131 2
        "Nothing can be put on an image from elsewhere: it has no Spark, no Python, musl as its C library, or no folder where one is needed."
        "name another image; `supplied` says what the platform that runs it brings"
    E140 2
        "The recipe of an image cannot be written out: it has a Dockerfile of its own, or is not made here."
        "name another image; one that is made by a built-in recipe has neither"
    E141 2
        "A file that `eject` would write is there already."
        "choose another folder by `--to`, or remove the file"
    E150 2
        "An entry of `src` would be a package or module, and its name is none that Python can import."
        "rename it, or end the entry with `/`: what is in it is then imported by its own name"
    E151 2
        "Two files of a job would be at one place."
        "rename one of them, or leave one out by `exclude` or another `src`"
    E152 2
        "A file would lie beside a job's code under a name that something else has there."
        "put it into a folder with another name"
    E160 2
        "`requirements` names a file of another kind."
        "name a requirements.txt, pyproject.toml, uv.lock, poetry.lock, Pipfile.lock or pylock.toml"
    E161 2
        "A lock of another tool no longer fits the project that it was made for."
        "make it again with the tool: `uv lock`, `poetry lock` or `pipenv lock`"
    E162 2
        "A pyproject.toml, or a lock of another tool, cannot be read."
        "mend the line that the message names, or make the lock again with its tool"
    E163 2
        "An extra or a group is not in the file that `requirements` names."
        "take a name that the message lists"
    E164 2
        "A pyproject.toml does not say what the project depends on."
        "write `dependencies` into `[project]`, or name the file that has them"
    E165 2
        "The project is not for the Python of the image."
        "change `python` of the chain, or the range of Pythons of the project"
    E166 2
        "A variable in the URL of a package index is not set."
        "set the variable, as pip needs it, too"
    E167 2
        "A variable stands in a requirement where its value would decide what is locked."
        "write what it stands for: only URLs may have variables"
    E168 2
        "A wheel is named by its URL, without a hash."
        "write `NAME @ URL#sha256=…`"
    E169 2
        "A wheel that is named by its path or URL is not in the project, cannot be read, or is none."
        "copy the wheel into the project, and write its path there"
    E170 2
        "A package has to come from an index that is not named, or from one of several."
        "name the index, with its URL, in the same file, and one for each package"
    E171 2
        "pip cannot keep a package to one of several indexes."
        "install uv, or name one index for all packages"
    E180 2
        "The requirements name an extra of PySpark that there is not, or nothing tells what it brings."
        "correct the extra's name, or require what it brings by lines of their own"
    E181 6
        "The installer did not choose the wheels of an image in time."
        "bound the packages that it was busy with, or raise `time-limit` under [python]"
    E182 2
        "A hash in the requirements is that of no wheel of its package."
        "take the hash that the message names, or find out who gave you the other one"
    E183 2
        "A native file of a wheel is for another Python, machine or system than the image has, or needs a newer glibc."
        "take another version of the package, or one that was built for the image"
    E184 2
        "A package is on more than one of the indexes that are configured, or its wheel is not of the one that is named for it."
        "name the index that it comes from under [python.indexes]"
    E200 2
        "A part of a reference is missing in a manifest, and cannot be added."
        "add the line that the message names"
    E201 2
        "kustomize's `newTag` and `digest` exclude each other."
        "remove one of the two"
    E202 2
        "A mark does not fit the value that it stands behind, or stands behind none."
        "put it behind the value, on the same line"
    E203 2
        "A template fills in a value that a mark names."
        "put the mark behind a value that is written out"
    E204 2
        "An object of a Spark operator names no image."
        "name one where the operator looks for it, or tell another place by `[[places]]`"
    E205 2
        "No manifest names an image of this project."
        "write a reference where the image is to run, or list the prefix that stands there under `formerly`"
    E206 2
        "Several keys of a manifest may hold the tag or the digest of one image."
        "put `# sparkpack: IMAGE tag` behind the one that it is, or `# sparkpack: ignore` behind the others"
    E207 2
        "A digest stands beside an image, and its key does not say whose it is."
        "remove it if it is the image's, else put `# sparkpack: ignore` behind it"
    E208 2
        "The image's Python cannot read a file of a job."
        "correct it for the chain's Python; what is no module of the job is left out by `exclude`"
    E209 2
        "An import of a job leads nowhere, and `--strict`, CI's default, refuses that."
        "follow the hint; what is there only at run time is named by `ignore-imports` of the image"
    E210 6
        "Modules cannot be imported in an image, on the driver or in the Python workers of executors."
        "the message has each exception: add what is missing to the requirements, to `src` or to a Dockerfile, or mend the module"
    E211 6
        "The import test of an image did not come to its end."
        "with -v all that it prints is shown; it needs 3 GB of memory and ends after ten minutes"
    E212 2
        "`--test-imports` runs images, and only a daemon can."
        "leave `--output oci:PATH` out, where a Docker daemon answers"
    E220 2
        "What `run` is to run cannot be told."
        "name a SparkApplication, an image with a job, or one of its main files"
    E221 2
        "The arguments of a SparkApplication are filled in before it is applied, so that nobody knows them here."
        "give them: `sparkpack run JOB -- ARGUMENTS`"
    E222 2
        "A volume or a variable that `run` is given cannot be used."
        "write `--volume SOURCE:TARGET`, `--env NAME` or `--env NAME=VALUE`"
    E223 6
        "`run --local` finds no Spark on this machine, or cannot start it."
        "install the chain's version, `pip install pyspark==VERSION`, or set SPARK_HOME"
    E225 2
        "`new` would make a project where something is already."
        "give another name; a project that is there is adopted by `sparkpack init`"
    E226 2
        "`new` is asked for things that do not go together."
        "leave out the one that the message names"
    E301 3
        "A registry has something else under a tag."
        "nothing was overwritten; find out who pushed it, then delete the tag there, or change an input, which makes another tag"
    E401 4
        "A registry wants credentials, or does not accept those that it got."
        "run `docker login HOST`"
    E402 4
        "A registry does not allow it."
        "check the repository's name, and ask for the right to write there"
    E501 5
        "A registry does not answer."
        "is it running, and is the way there free? try `curl https://HOST/v2/`"
    E502 5
        "A registry refuses, or its answer is not understood."
        "the reason is the registry's own"
    E503 5
        "A registry's answer is not true: other bytes than the digest says."
        "look for a proxy on the way; the registry or its storage may be damaged"
    E504 5
        "Registries cannot be spoken to: the certificates or the settings are not usable."
        "correct `ca` in sparkpack.toml, or the file in `certs.d` that the message names"
    E505 5
        "The file of a layer that is to be pushed is damaged: its bytes are not what its digest says."
        "run the same again; if it stays, remove the file that the message names"
    E506 5
        "A variable that names a proxy, or what is reached without one, is not understood."
        "write HTTPS_PROXY=http://HOST:PORT, and the entries of NO_PROXY with commas between them"
    E507 5
        "A registry failed in passing while the Docker daemon pushed or pulled, each time that it was tried."
        "run it again: what has arrived is kept"
    E508 5
        "The BuildKit that `[builder]` names cannot be reached."
        "see whether it runs, or correct `address` under `[builder]`"
    E509 5
        "There is no TLS connection to the BuildKit that `[builder]` names."
        "`ca`, `certificate` and `key` under `[builder]` must fit those of buildkitd"
    E601 6
        "The Docker daemon cannot be reached."
        "start Docker, or set DOCKER_HOST"
    E602 6
        "A build failed."
        "mend the line of the Dockerfile, then run it again: what is done is kept"
    E603 6
        "The daemon could not push."
        "the reason is the daemon's own; run it again"
    E604 6
        "The daemon could not pull."
        "check the image's name; the reason is the daemon's own"
    E605 6
        "The daemon could not do something else."
        "the reason is the daemon's own"
    E606 6
        "An image is not what it should be."
        "run it again; if it stays so, the daemon or the registry is at fault"
    E607 6
        "An image cannot have its labels."
        "shorten what is in them"
    E608 6
        "A build context cannot be sent."
        "run it again when nothing writes into the project"
    E609 6
        "The daemon lacks the layers that an image stands on."
        "pull the image that it stands on: `docker pull REFERENCE`"
    E610 6
        "A file cannot be read or written."
        "make room (`df -h`), or give yourself the right to that path"
    E611 6
        "A file changed while it was packed."
        "run it again when nothing writes into the project"
    E612 6
        "Another sparkpack changes files in this project."
        "wait for its end, then run it again"
    E613 6
        "The journal of an interrupted run cannot be trusted."
        "look at the files that it names, then remove it"
    E614 6
        "A folder of images (an OCI image layout) is not whole, or none."
        "delete it, and build again"
    E615 6
        "Another sparkpack works in this project, or makes the same thing, and has not ended within the limit."
        "run it again when that has ended; `--lock-timeout SECONDS` waits longer"
    E616 6
        "No lock can be had: something else is where its file belongs."
        "remove what is there: sparkpack makes a file"
    E620 6
        "A source is not what was pinned."
        "find out why it changed; `sparkpack lock --upgrade NAME` takes the new one"
    E621 6
        "A source cannot be fetched: nobody answers."
        "run it again, or set a mirror"
    E622 6
        "A source's server wants credentials."
        "put them into ~/.netrc, or fetch the file and name it by `path`"
    E623 2
        "A source does not exist where it is looked for."
        "correct its name or version"
    E624 6
        "An archive is not safe to unpack."
        "do not use it; ask whoever made it"
    E625 6
        "An archive cannot be unpacked."
        "it may be cut short: remove it from the cache and run it again"
    E626 6
        "The disk is full."
        "make room (`df -h`), then run it again: nothing old was lost"
    E627 6
        "A program that fetches or unpacks is not there."
        "install it"
    E628 6
        "A program that fetches or unpacks failed."
        "the reason is the program's own"
    E629 6
        "A source's file or folder cannot be read or written."
        "give yourself the right to that path"
    E630 6
        "The clock of this machine is wrong."
        "set it: `timedatectl set-ntp true`, or start the machine's time service"
    E631 6
        "The daemon's machine cannot run programs for the platform that an image is made for."
        "install an emulator there: `docker run --privileged --rm tonistiigi/binfmt --install all`"
    E632 6
        "A BuildKit could not do what was asked."
        "the reason is the BuildKit's own"
    E633 6
        "A BuildKit was lost in the middle of a build. Nothing was tagged."
        "look why it stopped, then run it again: what it had finished is in its cache"
    E701 6
        "There is neither uv nor pip."
        "install uv, or pip for the Python that is there"
    E702 6
        "The installer of Python packages failed."
        "the reason is the installer's own"
    E703 2
        "A package or its version is not on the index."
        "correct the name or the version"
    E704 2
        "A package has only a source distribution, which would run code."
        "choose a version that has a wheel, or allow that one is built by `from-source`"
    E705 2
        "A package has no wheel for the image's platform."
        "choose a version that has one, or another platform"
    E706 2
        "Requirements contradict each other, or what the parent image has."
        "change one of the requirements"
    E707 6
        "A wheel is not what was locked."
        "find out why it changed; `sparkpack lock --upgrade PACKAGE` chooses again"
    E708 6
        "The package index cannot be reached."
        "run it again, or set `[mirrors] python`"
    E709 6
        "The package index denies access."
        "put the credentials into ~/.netrc or PIP_INDEX_URL"
    E710 2
        "A package needs another Python than the image has."
        "choose another version, or another `python` for the chain"
    E711 6
        "The installer cannot choose wheels for the image's Python and platform."
        "install uv, which can"
    E712 6
        "The package index tells no SHA-256 of a wheel."
        "use an index that does"
    E713 6
        "The installer's files cannot be read or written."
        "give yourself the right to that path"
    E714 2
        "A requirements file with hashes lacks a line for a package that is needed."
        "add the line, or take the hashes away: the lock holds them"
    E715 6
        "A wheel that has to be made from its source cannot be built."
        "the message has what the build printed; name Debian packages that it needs by `build-packages`"
    E716 6
        "A wheel has to be built from its source, and no builder answers."
        "start Docker, or keep wheels in the project by `wheels = \"PATH\"` and build where there is a builder"
    E717 2
        "A wheel that was built and is kept in the project is not there, or is another one than was locked."
        "take the committed file back, or run `sparkpack lock --upgrade PACKAGE`"
    E718 6
        "A repository that a requirement names cannot be fetched, or has no such revision."
        "correct the URL or the revision; git's own message says more"
    E720 6
        "Installed packages cannot be read."
        "give yourself the right to that path"
    E721 6
        "A package brings something that is neither a file nor a folder."
        "leave the package out, or ask its maintainers for a sound wheel"
    E722 6
        "A package brings a file whose name is not UTF-8."
        "leave the package out, or ask its maintainers for a sound wheel"
    E723 2
        "Two packages bring other content for one path."
        "leave one of the two out"
    E724 6
        "A wheel was not installed."
        "leave the package out, or ask its maintainers for a sound wheel"
    E725 6
        "A package brings a file that no wheel lists."
        "leave the package out, or ask its maintainers for a sound wheel"
    E726 6
        "A package brings a file whose name begins with `.wh.`, which would delete files of the parent."
        "leave the package out, or ask its maintainers for a sound wheel"
    E727 2
        "A wheel is no sound archive, or names a path outside of itself."
        "run it again; if it stays so, take another version, and tell who publishes it or runs the index"
    E728 2
        "A wheel has more files or more bytes than any image takes."
        "leave the package out, or ask its maintainers for a sound wheel"
    W101 0
        "A glob of `[manifests]` matches no file."
        "correct the glob"
    W102 0
        "`mirrors.debian` has no effect yet."
        "let the root image name the package sources"
    W103 0
        "A build argument is set that the Dockerfile does not declare."
        "write `ARG NAME` in the Dockerfile, or leave the argument out"
    W104 0
        "No manifest names an image, so that nothing runs it."
        "name it by its repository, or let `[manifests]` match the file that does"
    W105 0
        "A reference that is not current stands where sparkpack does not rewrite."
        "put `# sparkpack: IMAGE` behind it, or `# sparkpack: ignore`"
    W106 0
        "The Spark operator refuses images in `sparkConf`."
        "name it as `spec.image`, `spec.driver.image` or `spec.executor.image`"
    W107 0
        "A manifest is for another Spark than the image has."
        "write the image's version, unless the operator needs the other"
    W108 0
        "A manifest holds a digest, and of the new tag none is known yet."
        "run `sparkpack push`, which writes it"
    W109 0
        "A registry does not have what is named or pinned, or has it otherwise."
        "run `sparkpack push IMAGE`"
    W110 0
        "A change reaches other places, through an anchor."
        "`anchors` in sparkpack.toml allows it"
    W111 0
        "A file that was replaced has other names, which keep the old content."
        "make those symbolic links"
    W112 0
        "A tag in a shared repository only begins like one of an image."
        "put `# sparkpack: IMAGE` behind it, or `# sparkpack: ignore`"
    W120 0
        "A reference of the project stands where sparkpack does not rewrite."
        "put `# sparkpack: IMAGE` behind it, or `# sparkpack: ignore`"
    W121 0
        "Git ignores a file that goes into an image."
        "leave it out by `exclude` or `.dockerignore`, or allow it by `untracked` in sparkpack.toml"
    W122 0
        "A built-in rule leaves files out of a job that git tracks."
        "take them by `include = [\"/PATH\"]`, or write the rule into `exclude` to say that it is meant"
    W123 0
        "The project has images and no `[manifests]`."
        "write `[manifests]` with the files that name the images"
    W124 0
        "A prefix in `formerly` can never match, or a source is never used."
        "remove it, or correct its name"
    W125 0
        "A place of `[[places]]` is in no manifest."
        "compare `group`, `kind` and `path` with the manifest, or remove the place"
    W126 0
        "The value of an image ends with a line break."
        "write the value on the line of its key, or `|-` in the place of `|`"
    W127 0
        "An entry of `[secrets] allow` allows nothing: its file has gone, or holds no such thing any more."
        "remove the entry, or correct its path"
    W128 0
        "A file has the setuid or setgid bit, or capabilities, which no image gets."
        "take them away, or set them by a `RUN chmod` or `RUN setcap` in a Dockerfile"
    W129 0
        "A Dockerfile compiles Python to bytecode that is never compared with its source."
        "leave `unchecked-hash` out: `checked-hash`, or the default, is compared"
    W130 0
        "A file that would get into an image was not searched for credentials, or not all of it."
        "unpack it; if it may go into the image as it is, allow it by the line for `[secrets]` that the hint names"
    W131 0
        "An image has a secret that no step of its Dockerfile mounts."
        "correct its name, or leave it out"
    W132 0
        "A manifest names a file in the image of a job (`local://…`) that is not there."
        "write the path that the message names, or put the file into the image"
    W133 0
        "A rule of `.dockerignore` takes a file with secrets back into a context."
        "remove the rule, and mount the file as a secret of the image"
    W134 0
        "An image that a Dockerfile names is from elsewhere, and nearly has the name of one that is not."
        "correct the name, or write `docker.io/library/NAME`"
    W135 0
        "The configuration tells something else about an image from elsewhere than what was found in it."
        "remove the key, unless what was found is wrong"
    W136 0
        "The entrypoint of an image from elsewhere does not know `driver` and `executor`."
        "give the image Spark's own `entrypoint.sh`, or start its jobs in another way"
    W140 0
        "An import of a job leads nowhere: its image will not have the module."
        "follow the hint; what is there only at run time is named by `ignore-imports` of the image"
    W141 0
        "A module of a job takes the place of one of the standard library or of Spark."
        "rename it, or name it in `ignore-imports` of the image if it is meant"
    W142 0
        "A job's own Dockerfile does not copy the packages that its code imports."
        "add the `COPY` that the message names"
    W150 0
        "The version of a project is known only to its build, so that an image says another one."
        "write the version into `pyproject.toml`, or as `__version__` into its package"
    W151 0
        "A version that was chosen has been taken back (yanked) from the package index."
        "take another version, or keep it if the reason does not concern you"
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Lets tests compare codes with their text.
#[cfg(test)]
impl PartialEq<&str> for Code {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

#[cfg(test)]
impl PartialEq<Code> for &str {
    fn eq(&self, other: &Code) -> bool {
        *self == other.as_str()
    }
}

/// The text of `docs/errors.md`.
#[must_use]
pub fn documentation() -> String {
    let groups = [
        (
            2,
            "Exit code 2: the command line, the configuration, a file of the project or a lock",
        ),
        (1, "Exit code 1: drift"),
        (3, "Exit code 3: a conflict in a registry"),
        (4, "Exit code 4: credentials"),
        (5, "Exit code 5: the network, after retries"),
        (6, "Exit code 6: the work itself failed"),
        (0, "Warnings"),
    ];
    let mut text = String::from(
        "# Errors and warnings\n\n\
         Every message has a code. Its first line says what happened and where, `because` says why, and `hint`\n\
         what to type. This page has what each code means and what mostly mends it. An error that points into a file of\n\
         yours gives exit code 2, whatever its code.\n\n\
         This page is made from `src/code.rs`: `UPDATE_DOCS=1 cargo test documentation` makes it again.\n",
    );
    for (exit, headline) in groups {
        text.extend([
            "\n## ",
            headline,
            "\n\n| code | what it means | what to do |\n|---|---|---|\n",
        ]);
        for code in Code::ALL.iter().filter(|code| code.exit_code() == exit) {
            text.extend([
                "| ",
                code.as_str(),
                " | ",
                code.meaning(),
                " | ",
                code.cure(),
                " |\n",
            ]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_in_order_and_say_what_they_are() {
        assert!(Code::ALL.is_sorted());
        assert!(Code::ALL.len() > 100);
        for code in Code::ALL {
            // E059 is a warning although its code begins with `E`, and codes never change.
            let is_warning = code.as_str().starts_with('W') || *code == Code::E059;
            assert_eq!(is_warning, code.exit_code() == 0, "{code}");
            assert!(code.exit_code() <= 6, "{code}");
            assert!(code.meaning().ends_with('.'), "{code}");
            assert!(!code.cure().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn no_two_codes_mean_the_same() {
        let meanings: BTreeSet<&str> = Code::ALL.iter().map(|code| code.meaning()).collect();
        assert_eq!(meanings.len(), Code::ALL.len());
    }

    #[test]
    fn every_code_is_documented() {
        let text = documentation();
        for code in Code::ALL {
            assert_eq!(text.matches(&format!("| {code} |")).count(), 1, "{code}");
        }
    }
}
