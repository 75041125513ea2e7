//! Splits the lines of a Dockerfile into instructions, and maps offsets in joined lines back to bytes of the file.

use std::ops::Range;

use super::{shown, words};

/// One instruction, its continued lines joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Upper case: `FROM`, `RUN`.
    pub keyword: String,
    /// What follows the keyword, joined, without white space around it and without heredocs' bodies.
    pub arguments: String,
    /// The line of the keyword; 1 is the first.
    pub line: usize,
    /// Its bytes in the file: with heredocs, without the end of the last line.
    pub span: Range<usize>,
    /// The names of the heredocs that follow.
    pub heredocs: Vec<String>,
    /// For each piece of `arguments`: its offset in `arguments`, and its offset in the file.
    pieces: Vec<(usize, usize)>,
}

impl Instruction {
    /// The bytes of the file that a range of `arguments` stands for.
    #[must_use]
    pub fn span_of(&self, range: &Range<usize>) -> Range<usize> {
        let last = range.end.max(range.start + 1) - 1;
        self.offset_of(range.start)..self.offset_of(last) + (range.end - range.start).min(1)
    }

    fn offset_of(&self, offset: usize) -> usize {
        let after = self.pieces.partition_point(|(start, _)| *start <= offset);
        let (start, in_file) = self
            .pieces
            .get(after.saturating_sub(1))
            .copied()
            .unwrap_or((0, self.span.start));
        in_file + (offset - start)
    }
}

/// What the scan found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) instructions: Vec<Instruction>,
    pub(super) escape: char,
    /// The value of `# syntax=` and its bytes.
    pub(super) syntax: Option<(String, Range<usize>)>,
    /// Syntax errors, each with its offset, its message and its cure.
    pub(super) faults: Vec<(usize, String, &'static str)>,
}

#[derive(Clone, Copy)]
struct PhysicalLine {
    number: usize,
    start: usize,
    /// The end of the line's content, without `\r` and `\n`.
    end: usize,
}

/// The longest line that builders read, in bytes.
const LONGEST_LINE: usize = 65_535;

/// Scans a whole file, with or without a byte-order mark.
pub(super) fn scan(text: &str) -> Scan {
    let mut scan = Scan {
        instructions: Vec::new(),
        escape: '\\',
        syntax: None,
        faults: Vec::new(),
    };
    let lines = lines(text);
    scan.refuse_long_lines(&lines);
    scan.read_directives(text, &lines);
    let mut next = 0;
    while next < lines.len() {
        next = scan.read_instruction(text, &lines, next);
    }
    scan
}

fn lines(text: &str) -> Vec<PhysicalLine> {
    let mut start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut lines = Vec::new();
    while start < text.len() {
        let next = text[start..]
            .find('\n')
            .map_or(text.len(), |end| start + end + 1);
        let end = start + text[start..next].trim_end_matches(['\r', '\n']).len();
        lines.push(PhysicalLine {
            number: lines.len() + 1,
            start,
            end,
        });
        start = next;
    }
    lines
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

impl Scan {
    fn refuse_long_lines(&mut self, lines: &[PhysicalLine]) {
        for line in lines {
            let length = line.end - line.start;
            if length > LONGEST_LINE {
                self.faults.push((
                    line.start,
                    format!("the line has {length} bytes, and builders read no line of more than {LONGEST_LINE}"),
                    "continue it on further lines, or put what it says into a file that is copied",
                ));
            }
        }
    }

    /// Reads the parser directives: `# name=value` lines count only at the very top.
    ///
    /// `BuildKit` looks for `# syntax=` behind a `#!` line too; no builder looks there for `# escape=`.
    fn read_directives(&mut self, text: &str, lines: &[PhysicalLine]) {
        let mut seen: Vec<String> = Vec::new();
        let has_shebang = lines
            .first()
            .is_some_and(|line| text[line.start..line.end].starts_with("#!"));
        for line in &lines[usize::from(has_shebang)..] {
            let content = text[line.start..line.end].trim_start();
            let Some((name, value)) = directive(content) else {
                return;
            };
            let name = name.to_ascii_lowercase();
            if !matches!(&*name, "escape" | "syntax" | "check") || (has_shebang && name == "escape")
            {
                continue;
            }
            if seen.contains(&name) {
                self.faults.push((
                    line.start,
                    format!("only one `# {name}=` is allowed"),
                    "remove one of the two",
                ));
            }
            match (&*name, value) {
                ("escape", "\\") => self.escape = '\\',
                ("escape", "`") => self.escape = '`',
                ("escape", other) => self.faults.push((
                    line.start,
                    format!(
                        "`# escape={}`: only a backslash or a backtick can be the escape",
                        shown(other)
                    ),
                    "remove the line: a backslash is the escape then",
                )),
                ("syntax", image) => {
                    let end = text[..line.end].trim_end().len();
                    self.syntax = Some((image.to_owned(), end - image.len()..end));
                }
                _ => {}
            }
            seen.push(name);
        }
    }

    /// Reads the instruction that begins at line `index`, and returns the first line after it.
    fn read_instruction(&mut self, text: &str, lines: &[PhysicalLine], index: usize) -> usize {
        let first = lines[index];
        let content = &text[first.start..first.end];
        if is_comment(content) || content.trim().is_empty() {
            return index + 1;
        }
        let mut joined = Joined::default();
        let indent = content.len() - content.trim_start().len();
        let mut open = joined.push(&content[indent..], first.start + indent, self.escape);
        let mut next = index + 1;
        let mut end = first.end;
        while open && next < lines.len() {
            let line = lines[next];
            let content = &text[line.start..line.end];
            next += 1;
            if is_comment(content) || content.trim().is_empty() {
                continue;
            }
            open = joined.push(content, line.start, self.escape);
            end = line.end;
        }
        if open {
            self.faults.push((
                text[..end].trim_end().len() - self.escape.len_utf8(),
                format!("`{}` joins the next line, and there is none", self.escape),
                "take it away, or write the line that is missing",
            ));
        }
        let mut instruction = joined.instruction(first.number, first.start + indent..end);
        if may_hold_heredoc(&instruction) {
            next = self.read_heredocs(text, lines, next, &mut instruction);
        }
        self.instructions.push(instruction);
        next
    }

    fn read_heredocs(
        &mut self,
        text: &str,
        lines: &[PhysicalLine],
        mut next: usize,
        instruction: &mut Instruction,
    ) -> usize {
        for (name, chomp) in heredocs(&instruction.arguments, self.escape) {
            let mut ended = false;
            while !ended && next < lines.len() {
                let line = lines[next];
                let content = &text[line.start..line.end];
                let content = if chomp {
                    content.trim_start_matches('\t')
                } else {
                    content
                };
                ended = content == name;
                instruction.span.end = line.end;
                next += 1;
            }
            if !ended {
                self.faults.push((
                    instruction.span.start,
                    format!(
                        "the heredoc `<<{0}` is not ended by a line `{0}`",
                        shown(&name)
                    ),
                    "write that line behind its text, without a blank before or behind it",
                ));
            }
            instruction.heredocs.push(name);
        }
        next
    }
}

fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let mut letters = name.bytes();
    let valid = letters
        .next()
        .is_some_and(|letter| letter.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric());
    (valid && !value.is_empty()).then_some((name, value))
}

/// An instruction's continued lines, joined.
#[derive(Default)]
struct Joined {
    text: String,
    pieces: Vec<(usize, usize)>,
}

impl Joined {
    /// Adds a line, and returns whether the next line continues it.
    fn push(&mut self, content: &str, offset: usize, escape: char) -> bool {
        let trimmed = content.trim_end_matches([' ', '\t']);
        let before = trimmed.strip_suffix(escape);
        let continued = before.filter(|before| !before.ends_with(escape));
        self.pieces.push((self.text.len(), offset));
        self.text.push_str(continued.unwrap_or(content));
        continued.is_some()
    }

    fn instruction(self, line: usize, span: Range<usize>) -> Instruction {
        // The first line may be a continuation alone.
        let keyword_start = self.text.len() - self.text.trim_start().len();
        let keyword_end = self.text[keyword_start..]
            .find(|character: char| character.is_ascii_whitespace())
            .map_or(self.text.len(), |length| keyword_start + length);
        let rest = &self.text[keyword_end..];
        let start = keyword_end + (rest.len() - rest.trim_start().len());
        let mut instruction = Instruction {
            keyword: self.text[keyword_start..keyword_end].to_ascii_uppercase(),
            arguments: rest.trim().to_owned(),
            line,
            span,
            heredocs: Vec::new(),
            pieces: Vec::new(),
        };
        let first = self.pieces.partition_point(|(offset, _)| *offset <= start) - 1;
        let (offset, in_file) = self.pieces[first];
        instruction.pieces.push((0, in_file + (start - offset)));
        let later = &self.pieces[first + 1..];
        instruction.pieces.extend(
            later
                .iter()
                .map(|(offset, in_file)| (offset - start, *in_file)),
        );
        instruction
    }
}

fn may_hold_heredoc(instruction: &Instruction) -> bool {
    let arguments = &instruction.arguments;
    let inner = arguments
        .split_ascii_whitespace()
        .next()
        .unwrap_or_default();
    let keyword = match &*instruction.keyword {
        "ONBUILD" => inner.to_ascii_uppercase(),
        other => other.to_owned(),
    };
    matches!(&*keyword, "ADD" | "COPY" | "RUN")
        && arguments.contains("<<")
        && words::json_list(words::flags(arguments).1).is_none()
}

/// The heredocs that a text announces: the name of each, and whether leading tabs are stripped (`<<-`).
fn heredocs(arguments: &str, escape: char) -> Vec<(String, bool)> {
    let announced = |word: Range<usize>| {
        let word = arguments[word].trim_start_matches(|digit: char| digit.is_ascii_digit());
        let rest = word.strip_prefix("<<")?;
        let (rest, chomp) = rest
            .strip_prefix('-')
            .map_or((rest, false), |rest| (rest, true));
        let name = words::unquoted(rest, escape);
        (!name.is_empty() && !rest.contains('<')).then_some((name, chomp))
    };
    words::quoted_words(arguments, escape)
        .filter_map(announced)
        .collect()
}
