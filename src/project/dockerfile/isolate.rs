//! Keeps what is sent beside the context out of the image.
//!
//! A builder takes a Dockerfile only from within the context, and what is sent differs from what a person wrote: images
//! are named by what the daemon has. `COPY . .` would take it into the image. So the context is sent as a folder that
//! a stage of its own holds, and every `COPY` of the context becomes a `COPY --from` that stage.

use std::ops::Range;

use super::{Dockerfile, Resolution};

/// The folder in which the context is sent.
pub const CONTEXT_FOLDER: &str = ".sparkpack-context";

/// The stage that holds the context.
const CONTEXT_STAGE: &str = "sparkpack-context";

/// The lines that [`Dockerfile::isolated`] puts before the first `FROM`.
pub const INSERTED_LINES: usize = 2;

impl Dockerfile {
    /// Replacements after which the Dockerfile reads the context from [`CONTEXT_FOLDER`].
    ///
    /// `None` where that cannot be: `ADD` and mounts read the context itself, triggers that of another build, and a
    /// stage that is named by its number would be another one.
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
            let text = instruction.arguments.as_str();
            match instruction.keyword.as_str() {
                "FROM" => {
                    if stages == 0 {
                        let stage =
                            format!("FROM scratch AS {CONTEXT_STAGE}\nCOPY {CONTEXT_FOLDER}/ /\n");
                        let start = instruction.span.start;
                        replacements.push((start..start, stage));
                    }
                    stages += 1;
                }
                "ADD" | "ONBUILD" => return None,
                "RUN" if text.contains("--mount") => return None,
                "COPY" => match from_of(text) {
                    Some(stage) if is_number(stage) => return None,
                    Some(_) => {}
                    None if !instruction.heredocs.is_empty() => return None,
                    None if !resolution.reached().contains(&(stages.checked_sub(1)?)) => {}
                    None => {
                        let start = instruction.span_of(&(0..1)).start;
                        replacements.push((start..start, format!("--from={CONTEXT_STAGE} ")));
                    }
                },
                _ => {}
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

/// A builder's words about an instruction without what [`Dockerfile::isolated`] put into it.
#[must_use]
pub fn as_written(instruction: &str) -> String {
    instruction.replace(&format!("--from={CONTEXT_STAGE} "), "")
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
    fn what_reads_the_context_otherwise_is_left_alone() {
        for text in [
            "FROM debian\nADD a /\n",
            "FROM debian\nRUN --mount=type=bind,target=/x true\n",
            "FROM debian\nONBUILD COPY a /\n",
            "FROM debian\nFROM debian\nCOPY --from=0 /a /\nCOPY . /\n",
        ] {
            assert_eq!(isolated(text), None, "{text}");
        }
    }
}
