//! Parts of a long text that can be read apart from each other, so that every core has work.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Bytes that a part has at least: a manifest of ordinary size is one part.
pub(super) const LEAST: usize = 256 * 1024;

/// Some whole documents of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'t> {
    pub(super) text: &'t str,
    /// Bytes before it.
    pub(super) offset: usize,
    /// Lines before it.
    pub(super) line: usize,
}

/// Splits a text before lines that begin a document, into parts of `least` bytes or more.
///
/// `---` at a line's start begins a document whatever comes before it, even within quotes; only directives (`%TAG`)
/// belong to the document behind it, so a text that may have some is one part.
pub(super) fn parts(text: &str, least: usize) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = Part {
        text,
        offset: 0,
        line: 0,
    };
    let may_split = text.len() > least
        && !text.trim_start_matches('\u{feff}').starts_with('%')
        && !text.contains("\n%")
        && !text.contains("\r%");
    while let Some(length) = boundary(rest.text, least).filter(|_| may_split) {
        let (text, behind) = rest.text.split_at(length);
        parts.push(Part { text, ..rest });
        rest = Part {
            text: behind,
            offset: rest.offset + length,
            line: rest.line + line_breaks(text),
        };
    }
    parts.push(rest);
    parts
}

/// The first start of a document at or behind `least`.
fn boundary(text: &str, least: usize) -> Option<usize> {
    let from = (least..=text.len()).find(|from| text.is_char_boundary(*from))?;
    let starts = text[from..].match_indices("\n---").map(|(at, _)| from + at);
    let is_marker = |at: &usize| {
        let behind = text.as_bytes().get(at + "\n---".len());
        behind.is_none_or(|byte| b" \t\r\n".contains(byte))
    };
    starts.filter(is_marker).map(|at| at + 1).next()
}

/// As YAML counts them: a carriage return alone ends a line too.
fn line_breaks(text: &str) -> usize {
    let feeds = text.matches('\n').count();
    let returns = text.matches('\r').count();
    match returns {
        0 => feeds,
        _ => feeds + returns - text.matches("\r\n").count(),
    }
}

/// The results of `work` in the order of `items`, made on all cores.
pub fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            match items.get(index) {
                Some(item) => done.push((index, work(item))),
                None => return done,
            }
        }
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(items.len()))
            .map(|_| scope.spawn(worker))
            .collect();
        let mut results = worker();
        for other in others {
            match other.join() {
                Ok(done) => results.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_where_documents_begin() {
        let text = "a: ü\n--- \nb\r---\r\n---x\n  ---\n---\r\nc\n---";
        let split: Vec<(&str, usize)> = parts(text, 1)
            .iter()
            .map(|part| (part.text, part.line))
            .collect();
        assert_eq!(
            split,
            [
                ("a: ü\n", 0),
                ("--- \nb\r---\r\n---x\n  ---\n", 1),
                ("---\r\nc\n", 6),
                ("---", 8)
            ]
        );
        assert!(
            parts(text, 1)
                .iter()
                .all(|part| text[part.offset..].starts_with(part.text))
        );
        assert_eq!(parts(text, 100).len(), 1);
        assert_eq!(parts("a\n...\n%YAML 1.2\n---\nb\n---\nc", 1).len(), 1);
        assert_eq!(parts("", 0).len(), 1);
    }

    #[test]
    fn results_keep_the_order() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(on_all_cores(&items, |item| *item), items);
    }
}
