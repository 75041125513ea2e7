//! Finds the line of the Dockerfile that a builder's message is about.

use std::borrow::Cow;

use super::{Dockerfile, Instruction};

/// How well an instruction fits a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Prefix,
    Variables,
    Exact,
}

impl Dockerfile {
    /// The line of a step that a builder names.
    ///
    /// The classic builder says `Step k/n : RUN …` and counts from the top; `BuildKit` says `[stage-1 3/7] RUN …`, where
    /// variables are replaced and long texts cut.
    #[must_use]
    pub fn line_of(
        &self,
        step: Option<(usize, usize)>,
        instruction: &str,
        buildkit: bool,
    ) -> Option<usize> {
        let (bracket, text) = split_bracket(instruction);
        let wanted = normalised(text);
        if let (Some((number, _)), false) = (step, buildkit) {
            let counted = self.instructions.get(number.checked_sub(1)?);
            let keyword = wanted.split(' ').next().unwrap_or_default();
            let agrees = |found: &&Instruction| {
                keyword.is_empty() || found.keyword.eq_ignore_ascii_case(keyword)
            };
            if let Some(found) = counted.filter(agrees) {
                return Some(found.line);
            }
        }
        let fits = self
            .instructions
            .iter()
            .enumerate()
            .filter_map(|(index, found)| Some((fit(found, &wanted)?, index)));
        let fits: Vec<(Fit, usize)> = fits.collect();
        let best = fits.iter().map(|(fit, _)| *fit).max()?;
        let mut indices = fits
            .iter()
            .filter(|(fit, _)| *fit == best)
            .map(|(_, index)| *index);
        let first = indices.clone().next()?;
        let number = step.map(|(number, _)| number);
        let counted = bracket.and_then(|bracket| self.counted(bracket, number));
        let chosen = indices
            .find(|index| Some(*index) == counted)
            .unwrap_or(first);
        self.instructions.get(chosen).map(|found| found.line)
    }

    /// The index of the instruction that `BuildKit` calls `[stage-1 3/7]`: it counts `FROM` and what makes layers.
    fn counted(&self, bracket: &str, number: Option<usize>) -> Option<usize> {
        let words: Vec<&str> = bracket.split_whitespace().collect();
        let in_bracket = words
            .iter()
            .find_map(|word| word.split_once('/')?.0.parse::<usize>().ok());
        let number = in_bracket.or(number)?;
        let names = self.stage_names();
        let stage = words.iter().find_map(|word| {
            let numbered = word
                .strip_prefix("stage-")
                .and_then(|digits| digits.parse::<usize>().ok());
            names
                .iter()
                .position(|name| name.as_deref() == Some(word))
                .or(numbered)
        });
        let mut current = None;
        let mut count = 0;
        for (index, instruction) in self.instructions.iter().enumerate() {
            match &*instruction.keyword {
                "FROM" => {
                    current = Some(current.map_or(0, |current: usize| current + 1));
                    count = 1;
                }
                "RUN" | "COPY" | "ADD" | "WORKDIR" => count += 1,
                _ => continue,
            }
            if count == number && current == Some(stage.unwrap_or(0)) {
                return Some(index);
            }
        }
        None
    }

    fn stage_names(&self) -> Vec<Option<String>> {
        let froms = self
            .instructions
            .iter()
            .filter(|instruction| instruction.keyword == "FROM");
        froms
            .map(|from| super::stages::From::parse(from)?.name.map(|(name, _)| name))
            .collect()
    }
}

fn split_bracket(text: &str) -> (Option<&str>, &str) {
    let split = || text.trim_start().strip_prefix('[')?.split_once(']');
    split().map_or((None, text), |(bracket, rest)| (Some(bracket), rest))
}

/// The words of an instruction, without the names of images: a builder gets others than are written.
fn normalised(text: &str) -> String {
    let words: Vec<Cow<'_, str>> = text.split_whitespace().map(without_image).collect();
    words.join(" ")
}

fn without_image(word: &str) -> Cow<'_, str> {
    if word.starts_with("--from=") {
        return "--from=".into();
    }
    match word.strip_prefix("--mount=") {
        Some(fields) if fields.contains("from=") => {
            let others = fields
                .split(',')
                .filter(|field| !field.starts_with("from="));
            format!("--mount={}", others.collect::<Vec<_>>().join(",")).into()
        }
        _ => word.into(),
    }
}

fn fit(instruction: &Instruction, wanted: &str) -> Option<Fit> {
    let ours = normalised(&format!(
        "{} {}",
        instruction.keyword, instruction.arguments
    ));
    let keyword = wanted.split(' ').next()?;
    if !keyword.eq_ignore_ascii_case(&instruction.keyword) {
        return None;
    }
    let wanted = format!(
        "{}{}",
        instruction.keyword,
        wanted.get(keyword.len()..).unwrap_or_default()
    );
    if ours == wanted {
        return Some(Fit::Exact);
    }
    let cut = wanted.trim_end_matches(['.', '…']).trim_end();
    let shortened = cut.len() < wanted.len() && ours.starts_with(cut);
    let with_heredoc = !instruction.heredocs.is_empty() && wanted.starts_with(&ours);
    let pieces = literals(&ours);
    match (
        shortened || with_heredoc,
        pieces.len() > 1 && appear(&pieces, cut, cut.len() < wanted.len()),
    ) {
        (_, true) => Some(Fit::Variables),
        (true, _) => Some(Fit::Prefix),
        _ => ours.starts_with(&wanted).then_some(Fit::Prefix),
    }
}

/// The literal text between the variables of a text.
fn literals(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        pieces.push(&rest[..start]);
        let after = &rest[start + 1..];
        let end = match after.strip_prefix('{') {
            Some(braced) => braced.find('}').map_or(after.len(), |end| end + 2),
            None => after
                .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
                .unwrap_or(after.len()),
        };
        rest = &after[end..];
    }
    pieces.push(rest);
    pieces
}

/// Whether the pieces appear in their order, the first at the start and, unless the text is cut, the last at the end.
fn appear(pieces: &[&str], text: &str, cut: bool) -> bool {
    let Some(mut rest) = pieces.first().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    for piece in &pieces[1..] {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return cut,
        }
    }
    cut || pieces.last().is_some_and(|last| text.ends_with(last))
}
