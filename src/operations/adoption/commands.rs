//! Commands in Makefiles, scripts, CI files and READMEs: what builds images, submits jobs and installs packages.

use super::{
    actions,
    build_line::BuildLine,
    image_name::ImageName,
    tree::{self, ProjectTree, folder_of, is_kind, joined, name_of, normal},
    variables::{UNKNOWN, Variables},
};
use crate::project::place::Place;

/// How many files with commands are read.
const FILES: usize = 2_000;

/// What the commands of a project say.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pub(super) builds: Vec<BuildLine>,
    /// Python files that are submitted, as they are written.
    pub(super) submitted: Vec<(Place, String)>,
    /// Files that are submitted with them, by `--files`.
    pub(super) files: Vec<(Place, String)>,
    /// Lists of requirements that are installed, below the project's folder; with whether into a folder that is packed.
    pub(super) installed: Vec<(Place, String, bool)>,
    /// The targets of Makefiles that build, pack or install.
    pub(super) targets: Vec<(Place, String)>,
    /// Variables that are set in any of the files.
    pub(super) variables: Variables,
}

/// Where a command stands and runs.
struct CommandLine<'a> {
    place: Place,
    folder: &'a str,
    variables: &'a Variables,
}

impl Commands {
    pub(super) fn of(tree: &ProjectTree) -> Self {
        let files = tree.files().filter(|path| has_commands(path));
        let files: Vec<&str> = files.take(FILES).collect();
        let mut found = Self::default();
        let mut texts = Vec::new();
        for path in files {
            let Some(text) = tree.text(path) else {
                continue;
            };
            if !is_document(path) {
                found.variables = found.variables.or(&Variables::of(&text));
            }
            texts.push((path, text));
        }
        let shared = std::mem::take(&mut found.variables);
        for (path, text) in texts {
            let variables = Variables::of(&text).or(&shared);
            found.read(path, &text, &variables);
        }
        found.variables = shared;
        found
    }

    fn read(&mut self, path: &str, text: &str, variables: &Variables) {
        let is_makefile = is_makefile(name_of(path));
        // A script of a Makefile or a CI file runs where that lies; CI files lie at the top for that.
        let folder = if is_makefile || is_kind(path, "sh") {
            folder_of(path)
        } else {
            "."
        };
        if path.starts_with(".github/") {
            self.builds.extend(actions::builds(path, text, variables));
        }
        let mut current = None;
        for (number, line) in logical_lines(text) {
            let place = Place::of_line(path, number);
            if is_makefile && let Some(target) = target(&line) {
                current = Some((place, target.to_owned()));
                continue;
            }
            let before = self.found();
            self.commands(&line, &place, folder, variables);
            let packs = line.split_whitespace().any(|word| word == "zip");
            if is_makefile && (packs || self.found() > before) {
                self.targets.extend(current.take());
            }
        }
    }

    /// How many commands were found.
    fn found(&self) -> usize {
        self.builds.len() + self.submitted.len() + self.installed.len()
    }

    fn commands(&mut self, line: &str, place: &Place, folder: &str, variables: &Variables) {
        let mut folder = folder.to_owned();
        for command in line.split("&&").flat_map(|part| part.split([';', '|'])) {
            let expanded = variables.expand(command);
            let words = words(&expanded);
            let words = without_prefix(&words);
            let words = words.as_slice();
            let at = CommandLine {
                place: place.clone(),
                folder: &folder,
                variables,
            };
            match words {
                ["cd", to, ..] if !to.contains(UNKNOWN) => folder = normal(&joined(&folder, to)),
                ["docker" | "podman" | "nerdctl", "build", rest @ ..]
                | ["docker" | "podman", "buildx" | "image", "build", rest @ ..]
                | ["buildah", "bud" | "build", rest @ ..] => self.builds.extend(at.build(rest)),
                ["/kaniko/executor" | "executor", rest @ ..] => self.builds.extend(at.kaniko(rest)),
                _ => self.other(words, &at),
            }
        }
    }

    fn other(&mut self, words: &[&str], at: &CommandLine<'_>) {
        let submit = words
            .iter()
            .position(|word| name_of(word) == "spark-submit");
        if let Some(submit) = submit {
            let behind = &words[submit + 1..];
            if let Some(file) = behind.iter().find(|word| is_python(word)) {
                let file = file.trim_start_matches("local://").to_owned();
                self.submitted.push((at.place.clone(), file));
            }
            for pair in behind.windows(2).filter(|pair| pair[0] == "--files") {
                let files = pair[1].split(',').map(str::to_owned);
                self.files
                    .extend(files.map(|file| (at.place.clone(), file)));
            }
        }
        let install = words.windows(2).position(|pair| {
            name_of(pair[0]).starts_with("pip")
                && ["install", "download", "wheel"].contains(&pair[1])
        });
        let Some(install) = install else {
            return;
        };
        let behind = &words[install + 2..];
        let is_packed = behind
            .iter()
            .any(|word| ["-t", "--target"].contains(word) || word.starts_with("--target="));
        for pair in behind.windows(2) {
            if ["-r", "--requirement"].contains(&pair[0]) && !pair[1].contains(UNKNOWN) {
                let file = normal(&joined(at.folder, pair[1]));
                self.installed.push((at.place.clone(), file, is_packed));
            }
        }
    }
}

impl CommandLine<'_> {
    fn build(&self, words: &[&str]) -> Option<BuildLine> {
        let mut build = BuildLine::at(&self.place);
        let mut dockerfile = None;
        let mut context = None;
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (option, mut value) = match word.split_once('=') {
                Some((option, value)) if word.starts_with("--") => (option, Some(value)),
                _ => (word, None),
            };
            let mut value = || value.take().or_else(|| words.next()).unwrap_or_default();
            match option {
                "-f" | "--file" => dockerfile = Some(value().to_owned()),
                "-t" | "--tag" => build.names.extend(ImageName::parse(value())),
                "--build-arg" => self.argument(&mut build, value()),
                "--target" => build.target = Some(value().to_owned()),
                _ if takes_value(option) => drop(value()),
                _ if option.starts_with('-') => {}
                _ => context = context.or(Some(word)),
            }
        }
        let context = context?;
        self.at(&mut build, dockerfile.as_deref(), context);
        Some(build)
    }

    fn kaniko(&self, words: &[&str]) -> Option<BuildLine> {
        let mut build = BuildLine::at(&self.place);
        let (mut dockerfile, mut context) = (None, None);
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, value),
                None => (word, words.next().unwrap_or_default()),
            };
            match option {
                "--dockerfile" => dockerfile = Some(value),
                "--context" => context = Some(value),
                "--destination" => build.names.extend(ImageName::parse(value)),
                "--build-arg" => self.argument(&mut build, value),
                "--target" => build.target = Some(value.to_owned()),
                _ => {}
            }
        }
        let in_checkout = |path: &str| {
            let path = path.trim_start_matches("dir://");
            path.trim_start_matches(['\\', UNKNOWN, '/']).to_owned()
        };
        // The Dockerfile is looked for in the context.
        let context = normal(&in_checkout(context.unwrap_or(".")));
        let dockerfile = in_checkout(dockerfile.unwrap_or("Dockerfile"));
        let in_context = normal(&joined(&context, &dockerfile));
        let is_below = dockerfile.starts_with(&format!("{context}/"));
        let dockerfile = if is_below { dockerfile } else { in_context };
        let is_known = |path: &String| !path.contains(UNKNOWN);
        build.dockerfile = Some(dockerfile).filter(is_known);
        build.context = Some(context).filter(is_known);
        (!build.names.is_empty()).then_some(build)
    }

    /// `NAME=value`, or `NAME` alone, whose value the shell has.
    fn argument(&self, build: &mut BuildLine, text: &str) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, self.variables.get(text)),
        };
        if let Some(value) = value {
            build.arguments.insert(name.to_owned(), value);
        }
    }

    fn at(&self, build: &mut BuildLine, dockerfile: Option<&str>, context: &str) {
        let is_known = |path: &&str| !path.contains(UNKNOWN);
        let context = Some(context).filter(is_known);
        let context = context.map(|context| normal(&joined(self.folder, context)));
        build.dockerfile = match (dockerfile, &context) {
            (Some(file), _) => Some(file)
                .filter(is_known)
                .map(|file| normal(&joined(self.folder, file))),
            (None, Some(context)) => Some(normal(&joined(context, "Dockerfile"))),
            (None, None) => None,
        };
        build.context = context;
    }
}

/// Options of `docker build` with a value of their own.
fn takes_value(option: &str) -> bool {
    const OPTIONS: [&str; 22] = [
        "--add-host",
        "--annotation",
        "--attest",
        "--builder",
        "--build-context",
        "--cache-from",
        "--cache-to",
        "--cpuset-cpus",
        "--iidfile",
        "--isolation",
        "--label",
        "-m",
        "--memory",
        "--metadata-file",
        "--network",
        "-o",
        "--output",
        "--platform",
        "--progress",
        "--secret",
        "--shm-size",
        "--ssh",
    ];
    OPTIONS.contains(&option)
}

fn is_python(word: &str) -> bool {
    is_kind(word, "py") && !word.starts_with('-') && !word.contains(UNKNOWN)
}

fn is_makefile(name: &str) -> bool {
    ["Makefile", "makefile", "GNUmakefile"].contains(&name) || is_kind(name, "mk")
}

fn is_document(path: &str) -> bool {
    is_kind(path, "md") || is_kind(path, "rst")
}

/// Whether a file may have commands: Makefiles, scripts, CI files, READMEs, `.env` files.
fn has_commands(path: &str) -> bool {
    let name = name_of(path);
    let lower = name.to_ascii_lowercase();
    let is_ci = path.starts_with(".github/workflows/")
        || path.starts_with(".circleci/")
        || [
            ".gitlab-ci.yml",
            "azure-pipelines.yml",
            "bitbucket-pipelines.yml",
            "cloudbuild.yaml",
        ]
        .contains(&name)
        || [
            "buildspec.yml",
            "Jenkinsfile",
            "justfile",
            "Taskfile.yml",
            "tox.ini",
        ]
        .contains(&name);
    let is_text = is_makefile(name) || is_kind(path, "sh") || name.starts_with(".env");
    let is_readme = lower.starts_with("readme");
    (is_ci || is_text || is_readme) && (is_ci || name.starts_with(".env") || !tree::is_aside(path))
}

/// The lines of a text, continued ones joined, with the numbers of their first lines.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut is_continued = false;
    for (index, line) in text.lines().enumerate() {
        // A script in a text of another language doubles its backslashes.
        let bare = line.trim_end().trim_end_matches('\\');
        let goes_on = bare.len() < line.trim_end().len();
        let line = if goes_on { bare } else { line };
        match lines.last_mut().filter(|_| is_continued) {
            Some((_, last)) => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            None => lines.push((index + 1, line.to_owned())),
        }
        is_continued = goes_on;
    }
    lines
}

/// The name of a Makefile's target that builds, packs or installs.
fn target(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(':')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_target = !rest.starts_with('=') && !name.is_empty() && name.bytes().all(is_name);
    (is_target && !name.starts_with('.')).then_some(name)
}

/// The words of a command, without quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut is_open = false;
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => (quote, is_open) = (Some(character), true),
            (None, _) if character.is_whitespace() => {
                if is_open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            _ => word.push(character),
        }
    }
    if is_open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Without what a Makefile, a CI file or a document has before a command.
fn without_prefix(words: &[String]) -> Vec<&str> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    while let Some(first) = words.first().copied() {
        let bare = first.trim_start_matches(['@', '-', '+', '`']);
        let is_assignment = bare
            .split_once('=')
            .is_some_and(|(name, _)| super::variables::is_name(name));
        let is_prefix = bare.is_empty()
            || is_assignment
            || bare.ends_with(':')
            || [
                "$", "#", "sudo", "exec", "time", "env", ">", "RUN", "CMD", "then", "do",
            ]
            .contains(&bare);
        if !is_prefix {
            words[0] = bare;
            break;
        }
        words.remove(0);
    }
    words
}
