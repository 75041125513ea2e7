//! The stages of a Dockerfile for given build arguments and a target.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::{
    ContextSource, Dockerfile, Instruction, List, Pattern, copies,
    mount::{Mount, SecretMount},
    shown, unwrapped,
    variables::Scope,
    words::{self, Flag, Unexpanded},
};
use crate::{
    code::Code,
    project::{
        ignore::{self, TreeError},
        place::{Defect, nearest},
        tree::Entry,
    },
};

/// The variables that `BuildKit` defines before the first `FROM` without an `ARG`.
pub(super) const PREDEFINED: [&str; 9] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETSTAGE",
];

/// One `FROM` and the instructions after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Lower case, as Docker compares it.
    pub name: Option<String>,
    /// The line of the `FROM`.
    pub line: usize,
    /// Its base image.
    pub base: ImageUse,
    /// `--platform` after expansion; as it is written if its variables are not known here.
    pub platform: Option<String>,
    /// The images that it copies or mounts from, in the file's order.
    pub uses: Vec<ImageUse>,
    /// What the `FROM` says, if variables choose an earlier stage of the file.
    choice: Option<String>,
    /// Sources that builders may not agree on, as they are meant.
    settled: Vec<(Range<usize>, String)>,
    sources: Vec<ContextSource>,
    mounts: Vec<SecretMount>,
    network: Option<usize>,
    /// Whether it runs a program.
    has_run: bool,
    unchecked: Vec<Defect>,
    bodies: Vec<Range<usize>>,
}

/// An image that a stage uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// How.
    pub role: Role,
    /// Which.
    pub used: Used,
    /// The bytes in the file that name it.
    pub span: Range<usize>,
    /// The instruction's line.
    pub line: usize,
}

/// How a stage uses an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `FROM`.
    From,
    /// `COPY --from`.
    Copy,
    /// `RUN --mount=from=`.
    Mount,
}

/// The image that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Used {
    /// An earlier stage of the file, from 0.
    Stage(usize),
    /// An image from elsewhere: the text after expansion.
    Image(String),
    /// `scratch`: no image.
    Scratch,
}

/// A Dockerfile with its build arguments and its target.
#[derive(Clone, Debug)]
pub struct Resolution {
    stages: Vec<Stage>,
    target: usize,
    reached: BTreeSet<usize>,
    sources: Vec<ContextSource>,
}

/// The words of a `FROM`, with their ranges in the instruction's arguments.
pub(super) struct From {
    pub(super) image: Range<usize>,
    /// Lower case.
    pub(super) name: Option<(String, Range<usize>)>,
    platform: Option<String>,
}

impl From {
    pub(super) fn parse(instruction: &Instruction) -> Option<Self> {
        let text = &instruction.arguments;
        let (flags, rest) = words::flags(text);
        let start = text.len() - rest.len();
        let shifted = |range: &Range<usize>| range.start + start..range.end + start;
        let words = words::plain_words(rest);
        let name = match &words[..] {
            [_] => None,
            [_, keyword, name] if rest[keyword.clone()].eq_ignore_ascii_case("as") => {
                Some((rest[name.clone()].to_ascii_lowercase(), shifted(name)))
            }
            _ => return None,
        };
        Some(Self {
            image: shifted(words.first()?),
            name,
            platform: flags
                .into_iter()
                .find(|flag| flag.name == "platform")
                .and_then(|flag| flag.value),
        })
    }
}

/// The values of build arguments.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// All, with those by which only sparkpack knows images.
    pub all: &'a BTreeMap<String, String>,
    /// Those that the builder is given.
    pub sent: &'a BTreeMap<String, String>,
}

/// The state of resolving a file from top to bottom.
struct Resolver<'a> {
    dockerfile: &'a Dockerfile,
    given: Given<'a>,
    /// What `FROM` sees.
    global: Scope,
    /// What stages inherit: the arguments before the first `FROM` as the builder knows them.
    inherited: Scope,
    stages: Vec<Stage>,
    scopes: Vec<Scope>,
    names: Vec<Option<String>>,
    defects: Vec<Defect>,
}

impl Dockerfile {
    /// The stages for the given build arguments; `target` is a stage's name or number, the last one by default.
    ///
    /// Arguments such as `TARGETARCH` are known only if they are given.
    ///
    /// # Errors
    /// Undeclared variables, `--from` of a later stage, sources outside the context, an unknown target.
    pub fn resolve(
        &self,
        arguments: &BTreeMap<String, String>,
        target: Option<&str>,
    ) -> Result<Resolution, Vec<Defect>> {
        let given = Given {
            all: arguments,
            sent: arguments,
        };
        self.resolve_given(given, target)
    }

    /// [`Self::resolve`] where the builder is given fewer arguments.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_given(
        &self,
        given: Given<'_>,
        target: Option<&str>,
    ) -> Result<Resolution, Vec<Defect>> {
        let froms = self
            .instructions
            .iter()
            .filter(|instruction| instruction.keyword == "FROM");
        let mut resolver = Resolver {
            dockerfile: self,
            given,
            global: Scope::default(),
            inherited: Scope::default(),
            stages: Vec::new(),
            scopes: Vec::new(),
            names: froms
                .map(|from| From::parse(from)?.name.map(|(name, _)| name))
                .collect(),
            defects: Vec::new(),
        };
        for name in PREDEFINED {
            resolver.global.predefine(name, given.all.get(name));
            resolver.inherited.predefine(name, given.sent.get(name));
        }
        for instruction in &self.instructions {
            resolver.read(instruction);
        }
        let target = resolver.target(target);
        if resolver.defects.is_empty() {
            Ok(Resolution::new(resolver.stages, target))
        } else {
            Err(resolver.defects)
        }
    }

    /// The stage whose name is nearest to `written`: a `--from` may be a misspelt stage rather than an image.
    #[must_use]
    pub fn nearest_stage(&self, written: &str) -> Option<String> {
        let froms = self
            .instructions
            .iter()
            .filter(|instruction| instruction.keyword == "FROM");
        let names: Vec<String> = froms
            .filter_map(|from| From::parse(from)?.name)
            .map(|(name, _)| name)
            .collect();
        nearest(written, names.iter().map(String::as_str)).map(str::to_owned)
    }
}

impl Resolver<'_> {
    fn read(&mut self, instruction: &Instruction) {
        if instruction.keyword == "FROM" {
            return self.read_from(instruction);
        }
        let (keyword, arguments) = unwrapped(instruction);
        match &*keyword {
            "ARG" | "ENV" if instruction.keyword == "ONBUILD" => {
                self.read_trigger(&keyword, &arguments);
            }
            "ARG" => self.read_argument(&arguments),
            "ENV" => self.read_environment(&arguments),
            "COPY" | "ADD" => self.read_copy(instruction, &keyword, &arguments),
            "RUN" => self.read_run(instruction, &arguments),
            "WORKDIR" => self.refuse_whiteout(instruction, arguments.trim()),
            _ => {}
        }
        if let Some(stage) = self.stages.last_mut() {
            stage.bodies.push(instruction.span.clone());
        }
    }

    fn read_from(&mut self, instruction: &Instruction) {
        let Some(from) = From::parse(instruction) else {
            return;
        };
        let span = instruction.span_of(&from.image);
        let text = &instruction.arguments[from.image.clone()];
        let image = match self.expand_global(text) {
            Ok(image) => image,
            Err(unexpanded) => {
                let defect = self.unexpanded(span.start, text, unexpanded);
                self.defects.push(defect);
                String::new()
            }
        };
        let earlier = self.names[..self.stages.len()].iter().position(|name| {
            name.as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case(&image))
        });
        let choice = earlier
            .filter(|_| text.contains('$'))
            .map(|_| text.to_owned());
        let used = match earlier {
            Some(stage) => Used::Stage(stage),
            None if image == "scratch" => Used::Scratch,
            None => Used::Image(image),
        };
        self.scopes.push(match used {
            Used::Stage(stage) => self.scopes[stage].of_child(),
            Used::Scratch => Scope::on_scratch(),
            Used::Image(_) => Scope::on_image(),
        });
        let platform = from
            .platform
            .map(|text| self.expand_global(&text).unwrap_or(text));
        self.stages.push(Stage {
            name: from.name.map(|(name, _)| name),
            line: instruction.line,
            base: ImageUse {
                role: Role::From,
                used,
                span,
                line: instruction.line,
            },
            platform,
            choice,
            settled: Vec::new(),
            uses: Vec::new(),
            sources: Vec::new(),
            mounts: Vec::new(),
            network: None,
            has_run: false,
            unchecked: Vec::new(),
            bodies: Vec::new(),
        });
    }

    fn expand_global(&self, text: &str) -> Result<String, Unexpanded> {
        let expanded = self.global.expand(text, self.dockerfile.escape)?;
        Ok(expanded.text)
    }

    fn unexpanded(&self, offset: usize, text: &str, unexpanded: Unexpanded) -> Defect {
        let text = shown(text);
        let (message, hint) = match unexpanded {
            Unexpanded::Undeclared(name) => (
                format!("`{text}` uses `{name}`, which no `ARG` before the first `FROM` declares"),
                Some(format!("write `ARG {name}=…` above the first `FROM`")),
            ),
            Unexpanded::NoValue(name) => (
                format!("`{text}` uses `{name}`, which has no value"),
                Some(format!(
                    "give `ARG {name}` a default, or set it under `build-args`"
                )),
            ),
            Unexpanded::Unsupported(part) => {
                (format!("`{part}` in `{text}` cannot be expanded"), None)
            }
        };
        let defect = self.dockerfile.defect(Code::E055, offset, message);
        match hint {
            Some(hint) => defect.hint(hint),
            None => defect,
        }
    }

    fn read_argument(&mut self, arguments: &str) {
        let escape = self.dockerfile.escape;
        for (name, default) in words::assignments(arguments, escape) {
            let default = default.as_deref();
            if let Some(scope) = self.scopes.last_mut() {
                let given = self.given.sent.get(&name);
                scope.declare(&name, (given, default), &self.inherited, escape);
                continue;
            }
            let both = [
                (&mut self.global, self.given.all),
                (&mut self.inherited, self.given.sent),
            ];
            for (scope, given) in both {
                scope.declare_global(&name, (given.get(&name), default), escape);
            }
        }
    }

    fn read_environment(&mut self, arguments: &str) {
        let escape = self.dockerfile.escape;
        let assignments = words::environment(arguments, escape);
        if let Some(scope) = self.scopes.last_mut() {
            scope.set(assignments, escape);
        }
    }

    /// What a child of this stage sees is not what the stage itself sees, so neither is known behind it.
    fn read_trigger(&mut self, keyword: &str, arguments: &str) {
        let escape = self.dockerfile.escape;
        let names = match keyword {
            "ARG" => words::assignments(arguments, escape),
            "ENV" => words::environment(arguments, escape),
            _ => return,
        };
        if let Some(scope) = self.scopes.last_mut() {
            for (name, _) in &names {
                scope.forget(name);
            }
        }
    }

    fn read_copy(&mut self, instruction: &Instruction, keyword: &str, arguments: &str) {
        let (flags, rest) = words::flags(arguments);
        let list = words::paths(rest);
        if let Some((destination, _)) = list.last() {
            self.refuse_whiteout(instruction, destination);
        }
        if list.len() < 2 {
            let message = format!("`{keyword}` needs a source and a destination");
            let start = instruction.span.start;
            let defect = self.dockerfile.defect(Code::E057, start, message);
            self.defects
                .push(defect.hint(format!("write `{keyword} SOURCE DESTINATION`")));
        }
        if let Some(flag) = flags.iter().find(|flag| flag.name == "from") {
            if let Some(value) = &flag.value {
                let range = in_instruction(instruction, arguments, &flag.value_range);
                self.read_use(instruction, Role::Copy, value, &range);
            }
            return;
        }
        let parents = flags.iter().any(|flag| flag.name == "parents");
        let sources = list
            .split_last()
            .map(|(_, sources)| sources)
            .unwrap_or_default();
        let shift = arguments.len() - rest.len();
        let mut found = Vec::new();
        let mut has_other = false;
        for (source, range) in sources {
            let range = range.as_ref().map(|range| {
                let range = range.start + shift..range.end + shift;
                instruction.span_of(&in_instruction(instruction, arguments, &range))
            });
            if source.starts_with("<<") {
                has_other = true;
            } else if keyword == "ADD" && self.is_fetched(source) {
                has_other = true;
                self.note_network(instruction.line);
                self.note_unchecked(instruction, source, &flags);
                self.settled(source, range);
            } else {
                let expanded = if is_of_child(instruction, source) {
                    None
                } else {
                    self.settled(source, range)
                };
                let expanded = expanded.as_deref();
                found.extend(self.context_source(instruction, source, expanded, parents));
            }
        }
        let together: Arc<[Pattern]> = found
            .iter()
            .map(|source| source.pattern.clone())
            .chain(has_other.then_some(Pattern::Everything))
            .collect();
        for source in &mut found {
            source.together = Arc::clone(&together);
        }
        if let Some(stage) = self.stages.last_mut() {
            stage.sources.extend(found);
        }
    }

    /// Notes a defect if files get a name by which a layer deletes files of those below it.
    fn refuse_whiteout(&mut self, instruction: &Instruction, destination: &str) {
        let scope = self.scopes.last().unwrap_or(&self.global);
        let escape = self.dockerfile.escape;
        let expanded = scope.expand(destination, escape);
        let path = expanded.map_or_else(|_| destination.to_owned(), |expanded| expanded.text);
        if ignore::whiteout(&path).is_some() {
            let error = TreeError::of_whiteout(&path);
            let start = instruction.span.start;
            let defect = self.dockerfile.defect(Code::E068, start, error.to_string());
            self.defects
                .push(defect.hint("give it another name in the image"));
        }
    }

    /// Warns of a download whose content nothing fixes; an empty checksum checks nothing.
    fn note_unchecked(&mut self, instruction: &Instruction, source: &str, flags: &[Flag]) {
        let is_checked = flags.iter().any(|flag| {
            flag.name == "checksum" && flag.value.as_ref().is_some_and(|value| !value.is_empty())
        });
        if is_checked || names_commit(source) {
            return;
        }
        let message = format!(
            "`ADD {}` without `--checksum`: what it fetches may change unnoticed",
            shown(source)
        );
        let start = instruction.span.start;
        let defect = self.dockerfile.defect(Code::E059, start, message);
        if let Some(stage) = self.stages.last_mut() {
            stage
                .unchecked
                .push(defect.hint("name it under `[sources]` with its `sha256`, and `COPY` it"));
        }
    }

    fn is_fetched(&self, source: &str) -> bool {
        let scope = self.scopes.last().unwrap_or(&self.global);
        let expanded = scope.expand(source, self.dockerfile.escape);
        is_url(source) || expanded.is_ok_and(|expanded| is_url(&expanded.text))
    }

    /// A source after expansion. Where builders may not agree on it, it will be written out for them; `None` if it is
    /// not known, or cannot be written out.
    fn settled(&mut self, source: &str, range: Option<Range<usize>>) -> Option<String> {
        let scope = self.scopes.last()?;
        let expanded = scope.expand(source, self.dockerfile.escape).ok()?;
        if !expanded.is_certain {
            let range = range.filter(|_| can_be_written(&expanded.text))?;
            let stage = self.stages.last_mut()?;
            stage.settled.push((range, expanded.text.clone()));
        }
        Some(expanded.text)
    }

    /// A source in the context; notes a defect if it leads out of it.
    fn context_source(
        &mut self,
        instruction: &Instruction,
        source: &str,
        expanded: Option<&str>,
        parents: bool,
    ) -> Option<ContextSource> {
        let pattern =
            match &expanded {
                Some(path) if copies::leaves_context(path) => {
                    let message = format!("`{}` lies outside the build context", shown(source));
                    let start = instruction.span.start;
                    let defect = self.dockerfile.defect(Code::E057, start, message);
                    self.defects.push(defect.hint(
                        "a build sees only its `context`: choose a larger one, or `contexts`",
                    ));
                    return None;
                }
                Some(path) => Pattern::of(path, parents),
                None => Pattern::Everything,
            };
        Some(ContextSource {
            text: source.to_owned(),
            line: instruction.line,
            pattern,
            together: Arc::default(),
        })
    }

    fn read_run(&mut self, instruction: &Instruction, arguments: &str) {
        if let Some(stage) = self.stages.last_mut() {
            stage.has_run = true;
        }
        let (flags, _) = words::flags(arguments);
        let alone = flags
            .iter()
            .any(|flag| flag.name == "network" && flag.value.as_deref() == Some("none"));
        if !alone {
            self.note_network(instruction.line);
        }
        for flag in flags.iter().filter(|flag| flag.name == "mount") {
            self.read_mount(instruction, arguments, flag);
        }
    }

    fn read_mount(&mut self, instruction: &Instruction, arguments: &str, flag: &Flag) {
        let mount = Mount::parse(flag.value.as_deref().unwrap_or_default(), &|value| {
            let scope = self.scopes.last().unwrap_or(&self.global);
            let expanded = scope.expand(value, self.dockerfile.escape).ok()?;
            (!is_of_child(instruction, value)).then_some(expanded.text)
        });
        if mount.may_be(&["secret", "ssh"])
            && let Some(stage) = self.stages.last_mut()
        {
            stage.mounts.push(mount.secret(instruction.line));
        }
        if mount.kind.is_some() && mount.may_be(&["secret", "ssh"]) {
            return;
        }
        if let Some(from) = &mount.from {
            let written = &arguments[flag.value_range.clone()];
            let range = from_range(written).filter(|range| written[range.clone()] == *from);
            let Some(range) = range else {
                let start = instruction.span.start;
                let message = format!("`from={}` stands within quotes", shown(from));
                let defect = self.dockerfile.defect(Code::E054, start, message);
                self.defects.push(defect.hint("write it without"));
                return;
            };
            let shift = flag.value_range.start;
            let range = range.start + shift..range.end + shift;
            let range = in_instruction(instruction, arguments, &range);
            self.read_use(instruction, Role::Mount, from, &range);
        } else if mount.may_be(&["bind"]) {
            let found = self.mounted_source(instruction, &mount.source);
            if let Some(stage) = self.stages.last_mut() {
                stage.sources.extend(found);
            }
        }
    }

    /// A source of a bind mount: only one builder knows those, so that no two can disagree on it.
    fn mounted_source(&mut self, instruction: &Instruction, source: &str) -> Option<ContextSource> {
        let scope = self.scopes.last()?;
        let expanded = scope.expand(source, self.dockerfile.escape).ok();
        let expanded = expanded.filter(|_| !is_of_child(instruction, source));
        let expanded = expanded.map(|expanded| expanded.text);
        self.context_source(instruction, source, expanded.as_deref(), false)
    }

    /// A stage's name or number, or an image.
    fn read_use(
        &mut self,
        instruction: &Instruction,
        role: Role,
        value: &str,
        range: &Range<usize>,
    ) {
        let span = instruction.span_of(range);
        let current = self.stages.len().saturating_sub(1);
        let wrong = |message: String| self.dockerfile.defect(Code::E054, span.start, message);
        let named = self.names.iter().position(|name| {
            name.as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case(value))
        });
        let used = match (named, value.parse::<usize>()) {
            _ if value.contains('$') => {
                let value = shown(value);
                let defect = wrong(format!("`--from={value}`: Docker expands no variable here"));
                Err(defect.hint("name the image by `FROM … AS name` and copy from `name`"))
            }
            (Some(stage), _) | (None, Ok(stage)) if stage < current => Ok(Used::Stage(stage)),
            (Some(stage), _) if stage == current => {
                Err(wrong(format!("the stage `{value}` copies from itself")))
            }
            (Some(stage), _) => {
                let defect = wrong(format!("the stage `{value}` comes later in the file"));
                Err(defect.hint(format!(
                    "move it above line {}",
                    self.stages.get(current).map_or(stage, |s| s.line)
                )))
            }
            (None, Ok(_)) => Err(wrong(format!(
                "there is no stage {value} before this one, the first is 0"
            ))),
            (None, Err(_)) if value.is_empty() => Err(wrong("`from` has no value".to_owned())),
            (None, Err(_)) if value == "scratch" => Ok(Used::Scratch),
            (None, Err(_)) => Ok(Used::Image(value.to_owned())),
        };
        match (used, self.stages.last_mut()) {
            (Ok(used), Some(stage)) => stage.uses.push(ImageUse {
                role,
                used,
                span,
                line: instruction.line,
            }),
            (Err(defect), _) => self.defects.push(defect),
            _ => {}
        }
    }

    fn note_network(&mut self, line: usize) {
        if let Some(stage) = self.stages.last_mut() {
            stage.network.get_or_insert(line);
        }
    }

    fn target(&mut self, target: Option<&str>) -> usize {
        let last = self.stages.len().saturating_sub(1);
        let Some(target) = target else {
            return last;
        };
        let named = self.names.iter().position(|name| {
            name.as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case(target))
        });
        let numbered = target.parse().ok().filter(|&number| number <= last);
        named.or(numbered).unwrap_or_else(|| {
            let defect =
                self.dockerfile
                    .defect(Code::E056, 0, format!("there is no stage `{target}`"));
            let defect = match self.dockerfile.nearest_stage(target) {
                Some(near) => defect.hint(format!("did you mean `{near}`?")),
                None => defect,
            };
            self.defects.push(defect);
            last
        })
    }
}

/// Whether a source has variables of a child: those of a trigger are expanded there.
fn is_of_child(instruction: &Instruction, source: &str) -> bool {
    instruction.keyword == "ONBUILD" && source.contains('$')
}

/// Whether a source that is written into a Dockerfile means itself: nothing in it is a quote, a flag or a comment.
fn can_be_written(source: &str) -> bool {
    let begins = |first: char| first.is_alphanumeric() || "/._*?".contains(first);
    source.chars().next().is_some_and(begins)
        && source
            .chars()
            .all(|one| one.is_alphanumeric() || "/._-*?[]@+=,:~%^!&#;".contains(one))
}

/// Turns a range in the arguments of `X` in `ONBUILD X` into a range in the whole instruction's arguments.
fn in_instruction(
    instruction: &Instruction,
    arguments: &str,
    range: &Range<usize>,
) -> Range<usize> {
    let shift = instruction.arguments.len() - arguments.len();
    range.start + shift..range.end + shift
}

/// The range of the image in a `--mount` as it is written, without quotes at its end.
fn from_range(written: &str) -> Option<Range<usize>> {
    let mut offset = 0;
    for field in written.split(',') {
        let key = field.split_once('=').map_or("", |(key, _)| key);
        if key
            .trim_start_matches(['"', '\''])
            .eq_ignore_ascii_case("from")
        {
            let end = field.trim_end_matches(['"', '\'']).len();
            return Some(offset + key.len() + 1..offset + end.max(key.len() + 1));
        }
        offset += field.len() + 1;
    }
    None
}

/// Whether a URL of a git repository names a whole commit, which never changes.
fn names_commit(source: &str) -> bool {
    let fragment = source.split_once('#').map(|(_, fragment)| fragment);
    let commit = fragment.and_then(|fragment| fragment.split(':').next());
    commit.is_some_and(|commit| {
        commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Whether `ADD` downloads this source instead of reading it from the context.
pub(super) fn is_url(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"]
        .iter()
        .any(|scheme| source.starts_with(scheme))
}

impl Resolution {
    fn new(stages: Vec<Stage>, target: usize) -> Self {
        let mut reached = BTreeSet::new();
        let mut next = vec![target];
        while let Some(index) = next.pop() {
            if !reached.insert(index) {
                continue;
            }
            let uses = stages
                .get(index)
                .into_iter()
                .flat_map(|stage| stage.uses.iter().chain([&stage.base]));
            next.extend(uses.filter_map(|used| match used.used {
                Used::Stage(stage) => Some(stage),
                _ => None,
            }));
        }
        let held = |index: &usize| stages.get(*index);
        let sources = reached
            .iter()
            .filter_map(held)
            .flat_map(|stage| stage.sources.clone())
            .collect();
        Self {
            stages,
            target,
            reached,
            sources,
        }
    }

    /// All stages, in the file's order.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The index of the stage that becomes the image.
    #[must_use]
    pub fn target(&self) -> usize {
        self.target
    }

    /// The indexes of the stages that the target needs, with its own.
    #[must_use]
    pub fn reached(&self) -> &BTreeSet<usize> {
        &self.reached
    }

    fn reached_stages(&self) -> impl Iterator<Item = &Stage> {
        let indexes = self.reached.iter();
        indexes.filter_map(|&index| self.stages.get(index))
    }

    /// Every use of an image by a reached stage, in the file's order.
    pub fn uses(&self) -> impl Iterator<Item = &ImageUse> {
        self.reached_stages()
            .flat_map(|stage| std::iter::once(&stage.base).chain(&stage.uses))
    }

    /// What the reached stages read from the build context.
    #[must_use]
    pub fn sources(&self) -> &[ContextSource] {
        &self.sources
    }

    /// The secrets and SSH agents that the reached stages mount.
    pub fn secret_mounts(&self) -> impl Iterator<Item = &SecretMount> {
        self.reached_stages().flat_map(|stage| &stage.mounts)
    }

    /// Whether a reached stage can copy the file at `path` of the context.
    #[must_use]
    pub fn may_copy(&self, path: &str) -> bool {
        self.sources
            .iter()
            .any(|source| source.pattern.matches(path))
    }

    /// Whether a reached stage copies this path by a source other than the whole context, so that its build may fail
    /// without the file.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        self.sources
            .iter()
            .any(|source| source.pattern != Pattern::Everything && source.pattern.matches(path))
    }

    /// The entries of the context that a reached stage can read: [`Self::may_copy`], and the targets of symbolic links.
    ///
    /// # Errors
    /// Those of `list`.
    pub fn select<E>(&self, list: &mut List<'_, E>) -> Result<Vec<Entry>, E> {
        copies::select(&self.sources, list)
    }

    /// The sources that match none of the paths, so that a build would fail. A wildcard is not among them if another
    /// source of its instruction matches: builders then copy that one alone.
    pub fn unmatched<'a>(&'a self, paths: &'a [&str]) -> impl Iterator<Item = &'a ContextSource> {
        let is_found = |pattern: &Pattern| {
            let takes = |path: &&str| pattern.matches(path) || pattern.follows(path);
            *pattern == Pattern::Everything || paths.iter().any(takes)
        };
        self.sources.iter().filter(move |source| {
            let is_optional =
                matches!(source.pattern, Pattern::Glob(_)) && source.together.iter().any(is_found);
            !is_found(&source.pattern) && !is_optional
        })
    }

    /// The line of the first instruction of a reached stage that may use the network, if there is one.
    #[must_use]
    pub fn network(&self) -> Option<usize> {
        self.reached_stages()
            .filter_map(|stage| stage.network)
            .min()
    }

    /// Whether a reached stage runs a program.
    #[must_use]
    pub fn has_run(&self) -> bool {
        self.reached_stages().any(|stage| stage.has_run)
    }

    /// What works in the reached stages, but should be improved.
    pub fn warnings(&self) -> impl Iterator<Item = &Defect> {
        self.reached_stages().flat_map(|stage| &stage.unchecked)
    }

    /// What the `FROM` of the reached stages say where variables choose an earlier stage of the file.
    pub(super) fn choices(&self) -> impl Iterator<Item = &str> {
        self.reached_stages()
            .filter_map(|stage| stage.choice.as_deref())
    }

    /// Replacements that write out what variables choose, stages and sources on which builders may not agree: a builder
    /// then takes the same ones as the record.
    #[must_use]
    pub fn chosen(&self) -> Vec<(Range<usize>, String)> {
        let name = |stage: &Stage| match (&stage.choice, &stage.base.used) {
            (Some(_), Used::Stage(chosen)) => {
                let name = self.stages.get(*chosen)?.name.clone()?;
                Some((stage.base.span.clone(), name))
            }
            _ => None,
        };
        let of_stage = |stage: &Stage| {
            let sources = stage.settled.iter().cloned();
            name(stage).into_iter().chain(sources).collect::<Vec<_>>()
        };
        self.reached_stages().flat_map(of_stage).collect()
    }

    /// Replacements that empty the stages which the target does not need, but keep the stages' numbers.
    ///
    /// They are for the classic builder, which builds every stage and would not find those stages' files in the
    /// context.
    #[must_use]
    pub fn without_unreached(&self) -> Vec<(Range<usize>, String)> {
        let unreached = self
            .stages
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.reached.contains(index));
        let emptied = unreached.flat_map(|(_, stage)| {
            let from = (stage.base.span.clone(), "scratch".to_owned());
            let bodies = stage
                .bodies
                .iter()
                .map(|body| (body.clone(), String::new()));
            std::iter::once(from).chain(bodies)
        });
        emptied.collect()
    }
}
