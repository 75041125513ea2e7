//! Keeps the rewritten Dockerfile, which is sent within the build context, out of the image.
//!
//! A builder accepts a Dockerfile only as a file of the context. The one that is sent is not the user's: image names in
//! it are replaced by names in the daemon. `COPY . .` would copy it into the image, and with it a registry's name,
//! which no fingerprint covers. So the real context is sent as a subfolder. An inserted stage holds the content of that
//! folder, every `COPY` and every bind mount of the context reads that stage, and every `ADD`, which has no `--from`,
//! reads the folder itself.

use std::ops::Range;

use super::{Dockerfile, Instruction, Pattern, Resolution, mount::Mount, stages::Used, words};
use crate::{code::Code, project::place::Defect};

/// The Dockerfile's name in the context that is sent: a name that no file of a project has.
pub const SENT_DOCKERFILE: &str = ".sparkpack.Dockerfile";

/// The folder of the sent context in which the real one lies.
pub const CONTEXT_FOLDER: &str = ".sparkpack-context";

/// The inserted stage that holds the real context.
const CONTEXT_STAGE: &str = "sparkpack-context";

/// The name of the target, if it is given as the number of a stage without a name.
const TARGET_STAGE: &str = "sparkpack-target";

/// The lines that [`Dockerfile::isolated`] puts before the first `FROM`.
pub const INSERTED_LINES: usize = 2;

type Replacements = Vec<(Range<usize>, String)>;

/// Why an instruction of a Dockerfile cannot read the context from a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// The patterns of `ADD --exclude` are relative to the context.
    Exclude,
    /// `--from`, by which the files would be copied, cannot be combined with a heredoc.
    Heredoc,
    /// What a variable holds may be a URL.
    Variable,
    /// The fields of a mount are in quotes.
    Quotes,
}

impl Obstacle {
    /// What to write instead.
    fn hint(self) -> &'static str {
        match self {
            Self::Exclude => "write `COPY --exclude` in place of `ADD`, or name what is added",
            Self::Heredoc => "write the heredoc and the files in a `COPY` each",
            Self::Variable => {
                "write `COPY` in place of `ADD`, or the path without a variable before it"
            }
            Self::Quotes => "write the mount without quotes",
        }
    }
}

impl Dockerfile {
    /// Whether the Dockerfile that is sent would be copied into the image, so that it has to be [`Self::isolated`].
    #[must_use]
    pub fn needs_isolation(resolution: &Resolution) -> bool {
        resolution.may_copy(SENT_DOCKERFILE)
    }

    /// The replacements after which the Dockerfile reads the context from [`CONTEXT_FOLDER`].
    ///
    /// # Errors
    /// An instruction cannot read it from there.
    pub fn isolated(&self, resolution: &Resolution) -> Result<Replacements, Defect> {
        let mut replacements = self.renumbered(resolution);
        let mut stages = 0_usize;
        for instruction in self.instructions() {
            if instruction.keyword == "FROM" {
                if stages == 0 {
                    let stage =
                        format!("FROM scratch AS {CONTEXT_STAGE}\nCOPY {CONTEXT_FOLDER}/ /\n");
                    let start = instruction.span.start;
                    replacements.push((start..start, stage));
                }
                stages += 1;
                continue;
            }
            let is_reached = |index| resolution.reached().contains(&index);
            // A stage that the target does not need is not built, and its files are not in the sent context.
            if !stages.checked_sub(1).is_some_and(is_reached) {
                continue;
            }
            let reads = match instruction.keyword.as_str() {
                "ADD" => add(instruction, resolution),
                "COPY" => copy(instruction),
                "RUN" => mounts(instruction),
                _ => continue,
            };
            replacements
                .extend(reads.map_err(|obstacle| self.not_isolated(instruction, obstacle))?);
        }
        Ok(replacements)
    }

    /// Stages that are copied from by number, which the inserted stage shifts.
    fn renumbered(&self, resolution: &Resolution) -> Replacements {
        let numbers = resolution.uses().filter_map(|used| {
            let written = self.text.get(used.span.clone())?;
            match used.used {
                Used::Stage(stage) if is_number(written) => {
                    Some((used.span.clone(), shifted(stage)))
                }
                _ => None,
            }
        });
        numbers.collect()
    }

    /// The name of the stage that `target` stands for, and what names the stage in the Dockerfile. Not every builder
    /// finds a target by its number.
    #[must_use]
    pub fn named_target(&self, resolution: &Resolution, target: &str) -> (String, Replacements) {
        let stage = resolution.stages().get(resolution.target());
        let Some(stage) = stage.filter(|_| is_number(target)) else {
            return (target.to_owned(), Vec::new());
        };
        if let Some(name) = &stage.name {
            return (name.clone(), Vec::new());
        }
        let end = stage.base.span.end;
        let text = format!(" AS {TARGET_STAGE}");
        (TARGET_STAGE.to_owned(), vec![(end..end, text)])
    }

    fn not_isolated(&self, instruction: &Instruction, obstacle: Obstacle) -> Defect {
        let message = format!(
            "the whole context is copied, and with it the Dockerfile that sparkpack sends, because of this `{}`",
            instruction.keyword
        );
        let defect = self.defect(Code::E113, instruction.span.start, message);
        defect.hint(obstacle.hint())
    }

    /// The `ONBUILD` that would copy the Dockerfile which is sent into a child, as it is written.
    #[must_use]
    pub fn copying_trigger(&self, resolution: &Resolution) -> Option<String> {
        let triggers = self.instructions().iter();
        let mut triggers = triggers.filter(|instruction| instruction.keyword == "ONBUILD");
        let copying = triggers.find(|trigger| {
            let mut sources = resolution.sources().iter();
            sources.any(|source| {
                source.line == trigger.line && source.pattern.matches(SENT_DOCKERFILE)
            })
        })?;
        Some(format!("ONBUILD {}", copying.arguments))
    }

    /// The line on which the first `FROM` stands.
    #[must_use]
    pub fn first_from_line(&self) -> usize {
        let mut instructions = self.instructions().iter();
        let from = instructions.find(|instruction| instruction.keyword == "FROM");
        from.map_or(1, |from| from.line)
    }
}

/// The number of a stage after the inserted one.
fn shifted(stage: usize) -> String {
    (stage + 1).to_string()
}

/// A builder's text of an instruction, without what [`Dockerfile::isolated`] inserted.
#[must_use]
pub fn as_written(instruction: &str) -> String {
    let inserted = [
        format!("--from={CONTEXT_STAGE} "),
        format!("from={CONTEXT_STAGE},"),
        format!("{CONTEXT_FOLDER}/"),
    ];
    let without = |text: String, part: &String| text.replace(part, "");
    inserted.iter().fold(instruction.to_owned(), without)
}

fn insertion(instruction: &Instruction, offset: usize, text: String) -> (Range<usize>, String) {
    let start = instruction.span_of(&(offset..offset + 1)).start;
    (start..start, text)
}

/// Makes a `COPY` from the context read the stage that holds it.
fn copy(instruction: &Instruction) -> Result<Replacements, Obstacle> {
    let (flags, rest) = words::flags(&instruction.arguments);
    if flags.iter().any(|flag| flag.name == "from") {
        return Ok(Vec::new());
    }
    if !instruction.heredocs.is_empty() {
        let sources = words::plain_words(rest);
        let (_, sources) = sources.split_last().ok_or(Obstacle::Heredoc)?;
        let mut sources = sources.iter().map(|word| rest.get(word.clone()));
        let is_heredoc = |source: Option<&str>| source.is_some_and(|text| text.starts_with("<<"));
        let all = sources.all(is_heredoc);
        return all.then(Vec::new).ok_or(Obstacle::Heredoc);
    }
    let text = format!("--from={CONTEXT_STAGE} ");
    Ok(vec![insertion(instruction, 0, text)])
}

/// Makes an `ADD` from the context read the folder that it lies in.
fn add(instruction: &Instruction, resolution: &Resolution) -> Result<Replacements, Obstacle> {
    let text = instruction.arguments.as_str();
    let (flags, rest) = words::flags(text);
    if flags.iter().any(|flag| flag.name == "exclude") {
        return Err(Obstacle::Exclude);
    }
    let shift = text.len() - rest.len();
    let ranges = match words::json_list(rest) {
        Some(_) => words::quoted_ranges(rest),
        None => words::plain_words(rest),
    };
    let mut list = words::paths(rest);
    list.pop();
    // What a source with a variable matches is known only if the variable's value is.
    let sources = resolution.sources().iter();
    let here: Vec<_> = sources
        .filter(|source| source.line == instruction.line)
        .collect();
    let mut replacements = Vec::new();
    for (range, (source, _)) in ranges.into_iter().zip(&list) {
        // What is fetched is no source in the context.
        let Some(found) = here.iter().find(|found| found.text == *source) else {
            continue;
        };
        let begins_with_variable = source.trim_start_matches(['"', '\'']).starts_with('$');
        if begins_with_variable && found.pattern == Pattern::Everything {
            return Err(Obstacle::Variable);
        }
        let prefix = format!("{CONTEXT_FOLDER}/");
        replacements.push(insertion(instruction, shift + range.start, prefix));
    }
    Ok(replacements)
}

/// Makes a bind mount of the context mount the stage that holds it.
fn mounts(instruction: &Instruction) -> Result<Replacements, Obstacle> {
    let (flags, _) = words::flags(&instruction.arguments);
    let mut replacements = Vec::new();
    for flag in flags.iter().filter(|flag| flag.name == "mount") {
        let written = &instruction.arguments[flag.value_range.clone()];
        if written.contains(['"', '\'']) {
            return Err(Obstacle::Quotes);
        }
        let mount = Mount::parse(written, &|value| Some(value.to_owned()));
        if mount.kind.as_deref() == Some("bind") && mount.from.is_none() {
            let text = format!("from={CONTEXT_STAGE},");
            replacements.push(insertion(instruction, flag.value_range.start, text));
        }
    }
    Ok(replacements)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;

    fn isolated(text: &str) -> Result<String, String> {
        let dockerfile = Dockerfile::parse(Path::new("Dockerfile"), text.as_bytes()).unwrap();
        let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
        let isolated = dockerfile.isolated(&resolution);
        let replacements = isolated.map_err(|defect| format!("{defect} {:?}", defect.hint))?;
        Ok(String::from_utf8(dockerfile.substitute(&replacements)).unwrap())
    }

    #[test]
    fn every_copy_of_the_context_reads_the_stage_that_holds_it() {
        let text = "ARG A=debian\nFROM ${A} AS one\ncopy --chown=1:1 a \\\n  b /x/\nFROM one\nCOPY [\"c d\", \"/\"]\nCOPY --from=one /x /y\n";
        let wanted = "ARG A=debian\nFROM scratch AS sparkpack-context\nCOPY .sparkpack-context/ /\nFROM ${A} AS one\ncopy --from=sparkpack-context --chown=1:1 a \\\n  b /x/\nFROM one\nCOPY --from=sparkpack-context [\"c d\", \"/\"]\nCOPY --from=one /x /y\n";
        assert_eq!(isolated(text).unwrap(), wanted);
        assert_eq!(
            as_written("COPY --from=sparkpack-context . /x"),
            "COPY . /x"
        );
    }

    #[test]
    fn what_cannot_read_a_stage_reads_the_folder() {
        for (written, wanted) in [
            ("ADD . /x", "ADD .sparkpack-context/. /x"),
            (
                "ADD --chown=1:1 a*.tgz \\\n  /b https://h.example/c /x/",
                "ADD --chown=1:1 .sparkpack-context/a*.tgz \\\n  .sparkpack-context//b https://h.example/c /x/",
            ),
            (
                "ADD [\"a \\\" b\", \"c\", \"/x/\"]",
                "ADD [\".sparkpack-context/a \\\" b\", \".sparkpack-context/c\", \"/x/\"]",
            ),
            (
                "RUN --mount=type=bind,target=/x --mount=type=cache,target=/y true",
                "RUN --mount=from=sparkpack-context,type=bind,target=/x --mount=type=cache,target=/y true",
            ),
            (
                "RUN --mount=target=/x,from=one true",
                "RUN --mount=target=/x,from=one true",
            ),
            (
                "RUN --mount=target=/x true",
                "RUN --mount=from=sparkpack-context,target=/x true",
            ),
            ("ONBUILD COPY . /x", "ONBUILD COPY . /x"),
        ] {
            let sent = isolated(&format!("FROM debian AS one\nFROM one\n{written}\n")).unwrap();
            let (_, rest) = sent.split_once("FROM one\n").unwrap();
            assert_eq!(rest, format!("{wanted}\n"));
            assert_eq!(as_written(wanted), written, "as it was");
        }
    }

    #[test]
    fn numbers_of_stages_follow_the_inserted_one() {
        let text = "FROM a\nFROM b AS one\nCOPY --from=0 /a /\nRUN --mount=type=bind,from=0,target=/x --mount=TYPE=Bind,target=/y true\nFROM c\nCOPY --from=1 /c --from=0 /\nCOPY . /\n";
        let sent = isolated(text).unwrap();
        let (_, rest) = sent.split_once("FROM b").unwrap();
        let wanted = " AS one\nCOPY --from=1 /a /\nRUN --mount=type=bind,from=1,target=/x --mount=from=sparkpack-context,TYPE=Bind,target=/y true\nFROM c\nCOPY --from=2 /c --from=0 /\nCOPY --from=sparkpack-context . /\n";
        assert_eq!(rest, wanted);
        let dockerfile = Dockerfile::parse(Path::new("Dockerfile"), text.as_bytes()).unwrap();
        for (target, name, from) in [
            ("0", "sparkpack-target", "FROM a AS sparkpack-target\n"),
            ("1", "one", "FROM b AS one\n"),
            ("one", "one", "FROM b AS one\n"),
        ] {
            let resolution = dockerfile.resolve(&BTreeMap::new(), Some(target)).unwrap();
            let (named, replacements) = dockerfile.named_target(&resolution, target);
            assert_eq!(named, name);
            let sent = String::from_utf8(dockerfile.substitute(&replacements)).unwrap();
            assert!(sent.contains(from), "{sent}");
        }
    }

    #[test]
    fn what_cannot_read_the_folder_is_refused() {
        for (line, hint) in [
            ("ARG A\nADD ${A} /", "write `COPY` in place"),
            ("ADD --exclude=b . /", "write `COPY --exclude`"),
            ("RUN --mount=\"type=bind,target=/x\" true", "without quotes"),
            ("COPY . <<E /x/\nE", "in a `COPY` each"),
        ] {
            let error = isolated(&format!("FROM debian\nCOPY . /y\n{line}\n")).unwrap_err();
            assert!(
                error.contains("Dockerfile:") && error.contains(hint),
                "{error}"
            );
        }
        let heredoc = isolated("FROM debian\nCOPY . /y\nCOPY <<E <<F /x/\nE\nF\n").unwrap();
        assert!(heredoc.ends_with("\nCOPY <<E <<F /x/\nE\nF\n"), "{heredoc}");
        let variable = isolated("FROM debian\nARG D=d\nCOPY . /y\nADD $D/a $D /x/\n").unwrap();
        let prefixed = "\nADD .sparkpack-context/$D/a .sparkpack-context/$D /x/\n";
        assert!(variable.ends_with(prefixed), "{variable}");
        let text = "FROM debian\nARG U=https://a.example\nCOPY . /y\nADD $U/a b ${U} /x/\n";
        let fetched = isolated(text).unwrap();
        let prefixed = "\nADD $U/a .sparkpack-context/b ${U} /x/\n";
        assert!(fetched.ends_with(prefixed), "{fetched}");
    }
}
