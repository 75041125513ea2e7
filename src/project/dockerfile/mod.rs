//! Dockerfiles: instructions, stages, the images that they use and the context files that they can read.
//!
//! They are parsed as Docker parses them, so that a fingerprint covers everything that a build would use, and so that
//! mistakes are found before a daemon is asked. Where something cannot be decided here, the answer is the safe one: the
//! whole context.

mod copies;
mod credentials;
pub mod isolate;
mod mount;
mod placed;
mod scan;
mod stages;
mod steps;
mod variables;
mod words;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    place::{Defect, Place, nearest, shortened},
    secrets::SecretRule,
    utf8::OtherEncoding,
};
use crate::code::Code;

pub(in crate::project) use copies::{CharacterClass, glob};
pub use copies::{ContextSource, List, Pattern};
pub use mount::SecretMount;
pub use placed::Placed;
pub use scan::Instruction;
pub use stages::{Given, ImageUse, Resolution, Role, Stage, Used};

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A Dockerfile, parsed.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    file: PathBuf,
    bytes: Vec<u8>,
    text: String,
    escape: char,
    syntax: Option<(String, Range<usize>)>,
    instructions: Vec<Instruction>,
    features: Vec<Feature>,
}

/// The mode of `compileall` by which bytecode is taken for its source's without a look.
const UNCHECKED: &str = "unchecked-hash";

/// Something that only `BuildKit` can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// `heredoc`, `RUN --mount`, `COPY --link`.
    pub name: String,
    /// The instruction's line.
    pub line: usize,
}

/// An `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredArgument {
    /// Its name.
    pub name: String,
    /// Its default as it is written, without quotes.
    pub default: Option<String>,
    /// The instruction's line.
    pub line: usize,
    /// The stage that declares it, from 0; `None` before the first `FROM`.
    pub stage: Option<usize>,
}

impl Dockerfile {
    /// Parses a Dockerfile; messages call it `file`.
    ///
    /// # Errors
    /// Every mistake that can be found without the build arguments.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, Vec<Defect>> {
        Self::parse_allowing(file, bytes, &|_| false)
    }

    /// The same with written secrets that these rules would find, if they are allowed.
    ///
    /// # Errors
    /// Those of [`Self::parse`].
    pub fn parse_allowing(
        file: &Path,
        bytes: &[u8],
        allows: &dyn Fn(SecretRule) -> bool,
    ) -> Result<Self, Vec<Defect>> {
        if let Some(found) = OtherEncoding::beginning(bytes) {
            return Err(vec![found.defect(Code::E050, Place::of_line(file, 1))]);
        }
        let (text, invalid) = sanitised(bytes);
        let scan = scan::scan(&text);
        let mut dockerfile = Self {
            file: file.to_owned(),
            bytes: bytes.to_vec(),
            text,
            escape: scan.escape,
            syntax: scan.syntax,
            instructions: scan.instructions,
            features: Vec::new(),
        };
        let mut faults: Vec<Defect> = scan
            .faults
            .into_iter()
            .map(|(offset, message, cure)| {
                Defect::new(Code::E057, dockerfile.place(offset), message).hint(cure)
            })
            .collect();
        let mut defects: Vec<Defect> = dockerfile.undecodable(&invalid).into_iter().collect();
        defects.extend(dockerfile.misplaced());
        defects.extend(dockerfile.misnamed_stages());
        let written = dockerfile.written_secrets().into_iter();
        let written = written.filter(|(rule, _)| !allows(*rule));
        defects.extend(written.map(|(_, defect)| defect));
        // What cannot be read as a line is not told again as an instruction.
        defects.retain(|defect| {
            faults
                .iter()
                .all(|fault| fault.place.line != defect.place.line)
        });
        defects.append(&mut faults);
        dockerfile.note_features();
        defects.sort_by_key(|defect| (defect.place.line, defect.place.column));
        if defects.is_empty() {
            Ok(dockerfile)
        } else {
            Err(defects)
        }
    }

    /// The name by which messages call the Dockerfile.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The instructions in their order.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Whether the instruction on a line is an `ONBUILD`, which runs in the children alone.
    #[must_use]
    pub fn is_trigger(&self, line: usize) -> bool {
        let mut instructions = self.instructions.iter();
        instructions.any(|instruction| instruction.line == line && instruction.keyword == "ONBUILD")
    }

    /// The image of `# syntax=`, which `BuildKit` pulls and runs, and its bytes in the file.
    #[must_use]
    pub fn syntax(&self) -> Option<(&str, Range<usize>)> {
        let (image, span) = self.syntax.as_ref()?;
        Some((image, span.clone()))
    }

    /// The features that a classic builder lacks, in the file's order.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The warnings about steps that compile Python to bytecode that Python takes whatever its source is: what a child
    /// copies over the source would not be run.
    pub fn unchecked_bytecode(&self) -> impl Iterator<Item = Defect> {
        let steps = self.instructions.iter();
        let steps = steps.filter(|step| unwrapped(step).0 == "RUN");
        steps.filter_map(|step| {
            let at = self.text[step.span.clone()].find(UNCHECKED)?;
            let message = format!(
                "bytecode with `{UNCHECKED}` is never compared with its source: where an image above replaces the source, the old code runs"
            );
            let defect = self.defect(Code::W129, step.span.start + at, message);
            Some(defect.hint(Code::W129.cure()))
        })
    }

    /// Every `ARG`, before the first `FROM` and in stages.
    #[must_use]
    pub fn arguments(&self) -> Vec<DeclaredArgument> {
        let mut stage = None;
        let mut arguments = Vec::new();
        for instruction in &self.instructions {
            match &*instruction.keyword {
                "FROM" => stage = Some(stage.map_or(0, |stage: usize| stage + 1)),
                "ARG" => {
                    let assignments = words::assignments(&instruction.arguments, self.escape);
                    arguments.extend(assignments.into_iter().map(|(name, default)| {
                        DeclaredArgument {
                            name,
                            default: default.map(|text| words::unquoted(&text, self.escape)),
                            line: instruction.line,
                            stage,
                        }
                    }));
                }
                _ => {}
            }
        }
        arguments
    }

    /// Whether the builder takes the argument's value: an `ARG` declares it, or a `FROM` names one that needs no `ARG`.
    #[must_use]
    pub fn takes(&self, argument: &str) -> bool {
        let mut instructions = self.instructions.iter();
        let declared = self.arguments();
        declared.iter().any(|found| found.name == argument)
            || stages::PREDEFINED.contains(&argument)
                && instructions
                    .any(|found| found.keyword == "FROM" && found.arguments.contains(argument))
    }

    /// Whether the argument has a part in choosing one of the Dockerfile's own stages by a `FROM`. The record has no row
    /// for such a stage.
    #[must_use]
    pub fn chooses_stage(&self, argument: &str, resolution: &Resolution) -> bool {
        let declared = self.arguments();
        let mut defaults = declared.iter().filter_map(|found| found.default.as_ref());
        let mut choices = resolution.choices().peekable();
        choices.peek().is_some()
            && (choices.any(|text| text.contains(argument))
                || defaults.any(|text| text.contains(argument)))
    }

    /// Whether the argument can only change which image a `FROM` names. Then its value is no input of its own: the
    /// record already has the image. It is one where [`Self::chooses_stage`].
    #[must_use]
    pub fn only_names_images(&self, argument: &str) -> bool {
        let declared = self.arguments();
        let mut own = declared.iter().filter(|found| found.name == argument);
        let mut defaults = declared.iter().filter_map(|found| found.default.as_ref());
        let froms = self
            .instructions
            .iter()
            .filter(|found| found.keyword == "FROM");
        let mut flags = froms.flat_map(|from| words::flags(&from.arguments).0);
        !is_read_by_builders(argument)
            && own.all(|found| found.stage.is_none())
            && !defaults.any(|text| text.contains(argument))
            && !flags.any(|flag| flag.value.is_some_and(|text| text.contains(argument)))
    }

    /// The Dockerfile's bytes with each range replaced by a text. Every line keeps its number.
    #[must_use]
    pub fn substitute(&self, replacements: &[(Range<usize>, String)]) -> Vec<u8> {
        let mut sorted: Vec<&(Range<usize>, String)> = replacements.iter().collect();
        sorted.sort_by_key(|(range, _)| (range.start, range.end));
        let mut output = Vec::with_capacity(self.bytes.len());
        let mut done = 0;
        for (range, text) in sorted {
            if range.start < done {
                continue;
            }
            output.extend_from_slice(&self.bytes[done..range.start]);
            let newlines = self.text[range.clone()].matches('\n').count();
            // Line continuations go before the text: after it, an empty line could swallow the next instruction.
            let filler = if text.is_empty() {
                "\n".to_owned()
            } else {
                format!("{}\n", self.escape)
            };
            output.extend_from_slice(filler.repeat(newlines).as_bytes());
            output.extend_from_slice(text.as_bytes());
            done = range.end;
        }
        output.extend_from_slice(&self.bytes[done..]);
        output
    }

    pub(self) fn place(&self, offset: usize) -> Place {
        Place::of_offset(&self.file, &self.text, offset)
    }

    fn defect(&self, code: Code, offset: usize, message: impl Into<String>) -> Defect {
        Defect::new(code, self.place(offset), message)
    }

    /// Bytes that are not UTF-8 are harmless in a comment only.
    fn undecodable(&self, invalid: &[usize]) -> Option<Defect> {
        let held = |offset: usize| {
            let after = self
                .instructions
                .partition_point(|instruction| instruction.span.start <= offset);
            let before = after.checked_sub(1).map(|index| &self.instructions[index]);
            before.is_some_and(|instruction| instruction.span.contains(&offset))
        };
        let offset = *invalid.iter().find(|&&offset| held(offset))?;
        let found = OtherEncoding::Byte(self.bytes[offset]);
        Some(found.defect(Code::E050, self.place(offset)))
    }

    fn misplaced(&self) -> Vec<Defect> {
        let mut defects = Vec::new();
        let mut in_stage = false;
        for instruction in &self.instructions {
            let start = instruction.span.start;
            match &*instruction.keyword {
                "FROM" => in_stage = true,
                "ARG" => {}
                // A continuation that nothing follows, which the scan tells.
                "" => continue,
                keyword if !KEYWORDS.contains(&keyword) => {
                    defects.push(self.unknown(
                        instruction,
                        keyword,
                        "does the line before need a continuation?",
                    ));
                    continue;
                }
                keyword if !in_stage => {
                    let message = format!("`{keyword}` stands before the first `FROM`");
                    defects.push(
                        self.defect(Code::E052, start, message)
                            .hint("only `ARG` may come before `FROM`"),
                    );
                    in_stage = true;
                }
                _ => {}
            }
            if instruction.arguments.is_empty() {
                let message = format!("`{}` needs arguments", instruction.keyword);
                let defect = self.defect(Code::E057, start, message);
                defects.push(defect.hint("write them behind it, or remove the line"));
            } else if instruction.keyword == "ONBUILD" {
                defects.extend(self.wrong_trigger(instruction));
            }
        }
        if !in_stage && defects.is_empty() {
            let defect = Defect::new(
                Code::E052,
                Place::of_line(&self.file, 1),
                "there is no `FROM`",
            );
            defects.push(defect.hint("begin with `FROM IMAGE`"));
        }
        defects
    }

    fn unknown(&self, instruction: &Instruction, keyword: &str, hint: &str) -> Defect {
        let message = format!("unknown instruction `{}`", shown(keyword));
        let defect = self.defect(Code::E051, instruction.span.start, message);
        match nearest(keyword, KEYWORDS) {
            Some(near) => defect.hint(format!("did you mean `{near}`?")),
            None => defect.hint(hint),
        }
    }

    /// An `ONBUILD` of what builders run in no child: they tell it late, some not before a child is built.
    fn wrong_trigger(&self, instruction: &Instruction) -> Option<Defect> {
        let (keyword, arguments) = unwrapped(instruction);
        let start = instruction.span.start;
        if !KEYWORDS.contains(&&*keyword) {
            let hint = "behind `ONBUILD` stands an instruction: `ONBUILD RUN …`";
            return Some(self.unknown(instruction, &keyword, hint));
        }
        if matches!(&*keyword, "FROM" | "MAINTAINER" | "ONBUILD") {
            let message = format!("`ONBUILD {keyword}`: no builder lets a child image do that");
            let defect = self.defect(Code::E057, start, message);
            return Some(defect.hint("write it into the Dockerfile of the child"));
        }
        let message = format!("`ONBUILD {keyword}` needs arguments");
        arguments.is_empty().then(|| {
            self.defect(Code::E057, start, message)
                .hint("write them behind it, or remove the line")
        })
    }

    fn misnamed_stages(&self) -> Vec<Defect> {
        let mut names: Vec<(String, usize)> = Vec::new();
        let mut defects = Vec::new();
        let froms = self
            .instructions
            .iter()
            .filter(|instruction| instruction.keyword == "FROM");
        for instruction in froms.filter(|instruction| !instruction.arguments.is_empty()) {
            let start = instruction.span.start;
            let Some(from) = stages::From::parse(instruction) else {
                let message = format!(
                    "`FROM {}` is not `FROM IMAGE` or `FROM IMAGE AS NAME`",
                    shown(&instruction.arguments)
                );
                let defect = self.defect(Code::E057, start, message);
                defects.push(defect.hint("write one of the two"));
                continue;
            };
            let Some((name, range)) = from.name else {
                continue;
            };
            let offset = instruction.span_of(&range).start;
            let mut letters = name.bytes();
            let valid = letters
                .next()
                .is_some_and(|letter| letter.is_ascii_lowercase())
                && letters.all(|letter| {
                    letter.is_ascii_lowercase()
                        || letter.is_ascii_digit()
                        || b"-_.".contains(&letter)
                });
            if !valid {
                let message = format!(
                    "`{}` is no name of a stage: a letter, then letters, digits, `-`, `_`, `.`",
                    shown(&name)
                );
                let defect = self.defect(Code::E057, offset, message);
                defects.push(defect.hint("rename the stage"));
            } else if let Some((_, line)) = names.iter().find(|(other, _)| *other == name) {
                let message = format!("the stage name `{}` is taken by line {line}", shown(&name));
                let defect = self.defect(Code::E053, offset, message);
                defects.push(defect.hint("rename one of the two, and what copies from it"));
            } else {
                names.push((name, instruction.line));
            }
        }
        defects
    }

    fn note_features(&mut self) {
        let mut features = Vec::new();
        for instruction in &self.instructions {
            let line = instruction.line;
            if !instruction.heredocs.is_empty() {
                features.push(Feature {
                    name: "heredoc".to_owned(),
                    line,
                });
            }
            let (keyword, arguments) = unwrapped(instruction);
            if !matches!(&*keyword, "ADD" | "COPY" | "RUN") {
                continue;
            }
            let (flags, _) = words::flags(&arguments);
            let beyond_classic = flags
                .iter()
                .filter(|flag| !matches!(&*flag.name, "from" | "chown"));
            features.extend(beyond_classic.map(|flag| Feature {
                name: format!("{keyword} --{}", flag.name),
                line,
            }));
        }
        self.features = features;
    }
}

/// Whether a builder itself obeys an argument, whatever the stages say: a proxy is in the environment of every `RUN`.
fn is_read_by_builders(argument: &str) -> bool {
    let upper = argument.to_ascii_uppercase();
    upper.ends_with("_PROXY")
        || argument.starts_with("BUILDKIT_")
        || argument == "SOURCE_DATE_EPOCH"
}

/// The keyword and the arguments; for `ONBUILD X`, those of `X`.
fn unwrapped(instruction: &Instruction) -> (String, String) {
    if instruction.keyword != "ONBUILD" {
        return (instruction.keyword.clone(), instruction.arguments.clone());
    }
    let (keyword, arguments) = instruction
        .arguments
        .split_once(|character: char| character.is_ascii_whitespace())
        .unwrap_or((&instruction.arguments, ""));
    (keyword.to_ascii_uppercase(), arguments.trim().to_owned())
}

/// The beginning of a text that may be long, for a message.
fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    shortened(text, SHOWN)
}

/// A valid UTF-8 text of the same length, and the offsets of the bytes that were not UTF-8.
fn sanitised(bytes: &[u8]) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(bytes.len());
    let mut invalid = Vec::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            invalid.push(text.len());
            text.push('?');
        }
    }
    (text, invalid)
}

#[cfg(test)]
mod tests;
