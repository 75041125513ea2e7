//! Keeps the rewritten Dockerfile, which is sent within the build context, out of the image.
//!
//! A builder accepts a Dockerfile only as a file of the context. The one that is sent is not the user's: image names in
//! it are replaced by names in the daemon. `COPY . .` would copy it into the image, and with it a registry's name,
//! which no fingerprint covers. So the real context is sent as a subfolder. An inserted stage holds the content of that
//! folder, every `COPY` and every bind mount of the context reads that stage, and every `ADD`, which has no `--from`,
//! reads the folder itself.

use std::ops::Range;

use super::{Dockerfile, Instruction, Resolution, stages::is_url, words};

/// The folder of the sent context in which the real one lies.
pub const CONTEXT_FOLDER: &str = ".sparkpack-context";

/// The inserted stage that holds the real context.
const CONTEXT_STAGE: &str = "sparkpack-context";

/// The lines that [`Dockerfile::isolated`] puts before the first `FROM`.
pub const INSERTED_LINES: usize = 2;

type Replacements = Vec<(Range<usize>, String)>;

impl Dockerfile {
    /// The replacements after which the Dockerfile reads the context from [`CONTEXT_FOLDER`].
    ///
    /// `None` where that is impossible: the inserted stage would shift the numbers by which stages are named, a heredoc
    /// cannot be combined with `--from`, the patterns of `ADD --exclude` are relative to the context, and a variable in
    /// an `ADD` may hold a URL.
    #[must_use]
    pub fn isolated(
        &self,
        resolution: &Resolution,
        target: Option<&str>,
    ) -> Option<Vec<(Range<usize>, String)>> {
        if target.is_some_and(is_number) {
            return None;
        }
        let mut replacements = Vec::new();
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
            let reads = match instruction.keyword.as_str() {
                "ADD" => add(instruction)?,
                "COPY" => copy(instruction)?,
                "RUN" => mounts(instruction)?,
                _ => continue,
            };
            // A stage that the target does not need is not built, and its files are not in the sent context.
            if resolution.reached().contains(&(stages.checked_sub(1)?)) {
                replacements.extend(reads);
            }
        }
        Some(replacements)
    }

    /// The line on which the first `FROM` stands.
    #[must_use]
    pub fn first_from_line(&self) -> usize {
        let mut instructions = self.instructions().iter();
        let from = instructions.find(|instruction| instruction.keyword == "FROM");
        from.map_or(1, |from| from.line)
    }
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
fn copy(instruction: &Instruction) -> Option<Replacements> {
    match from_of(&instruction.arguments) {
        Some(stage) if is_number(stage) => None,
        Some(_) => Some(Vec::new()),
        None if !instruction.heredocs.is_empty() => None,
        None => Some(vec![insertion(
            instruction,
            0,
            format!("--from={CONTEXT_STAGE} "),
        )]),
    }
}

/// Makes an `ADD` from the context read the folder that it lies in.
fn add(instruction: &Instruction) -> Option<Replacements> {
    let text = instruction.arguments.as_str();
    let (flags, rest) = words::flags(text);
    // The patterns of `--exclude` are relative to the context's root.
    if flags.iter().any(|flag| flag.name == "exclude") {
        return None;
    }
    let shift = text.len() - rest.len();
    let mut starts = match words::json_list(rest) {
        Some(_) => quoted_starts(rest),
        None => words::plain_words(rest)
            .into_iter()
            .map(|word| word.start)
            .collect(),
    };
    starts.pop()?;
    let mut replacements = Vec::new();
    for start in starts {
        let source = rest.get(start..)?;
        if source.starts_with('$') || source.starts_with("\"$") {
            return None;
        }
        if !is_url(source) && !source.starts_with("<<") {
            let prefix = format!("{CONTEXT_FOLDER}/");
            replacements.push(insertion(instruction, shift + start, prefix));
        }
    }
    Some(replacements)
}

/// Where the strings of a JSON list begin.
fn quoted_starts(list: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for (offset, character) in list.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                quoted = !quoted;
                starts.extend(quoted.then_some(offset + 1));
            }
            _ => {}
        }
    }
    starts
}

/// Makes a bind mount of the context mount the stage that holds it.
fn mounts(instruction: &Instruction) -> Option<Replacements> {
    let (flags, _) = words::flags(&instruction.arguments);
    let mut replacements = Vec::new();
    for flag in flags.iter().filter(|flag| flag.name == "mount") {
        let written = instruction.arguments.get(flag.value_range.clone())?;
        if written.contains(['"', '\'']) {
            return None;
        }
        let keys = || written.split(',').map(|field| field.split_once('='));
        let has = |key: &str| keys().flatten().any(|(name, _)| name == key);
        let is_bind = keys()
            .flatten()
            .all(|(name, value)| name != "type" || value == "bind");
        if is_bind && !has("from") {
            let text = format!("from={CONTEXT_STAGE},");
            replacements.push(insertion(instruction, flag.value_range.start, text));
        }
    }
    Some(replacements)
}

/// The value of `--from` among the flags before the paths.
fn from_of(arguments: &str) -> Option<&str> {
    let flags = arguments
        .split_whitespace()
        .take_while(|word| word.starts_with("--"));
    let mut values = flags.filter_map(|flag| flag.strip_prefix("--from="));
    values.next()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;

    fn isolated(text: &str) -> Option<String> {
        let dockerfile = Dockerfile::parse(Path::new("Dockerfile"), text.as_bytes()).unwrap();
        let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
        let replacements = dockerfile.isolated(&resolution, None)?;
        Some(String::from_utf8(dockerfile.substitute(&replacements)).unwrap())
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
    fn what_cannot_be_told_apart_is_left_alone() {
        for text in [
            "FROM debian\nARG A\nADD ${A} /\n",
            "FROM debian\nADD --exclude=b . /\n",
            "FROM debian\nRUN --mount=\"type=bind,target=/x\" true\n",
            "FROM debian\nCOPY . <<E /x/\nE\n",
            "FROM debian\nFROM debian\nCOPY --from=0 /a /\nCOPY . /\n",
        ] {
            assert_eq!(isolated(text), None, "{text}");
        }
    }
}
