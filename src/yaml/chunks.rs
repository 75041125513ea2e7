//! Long texts are split into chunks of whole documents, which several cores parse at the same time.

use rayon::prelude::*;

/// The minimal size of a chunk in bytes: a manifest of ordinary size is one chunk.
pub(super) const MIN_BYTES: usize = 256 * 1024;

/// A piece of a text that consists of whole documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'t> {
    pub(super) text: &'t str,
    /// Bytes before it.
    pub(super) offset: usize,
    /// Lines before it.
    pub(super) line: usize,
}

/// Splits a text before lines that begin a document, into chunks of at least `least` bytes.
///
/// `---` at a line's start begins a document whatever comes before it, even within quotes; only directives (`%TAG`)
/// belong to the document after them, so a text that may contain directives is one chunk.
pub(super) fn chunks(text: &str, least: usize) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let mut rest = Chunk {
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
        chunks.push(Chunk { text, ..rest });
        rest = Chunk {
            text: behind,
            offset: rest.offset + length,
            line: rest.line + line_breaks(text),
        };
    }
    chunks.push(rest);
    chunks
}

/// The first start of a document at or after `least`.
fn boundary(text: &str, least: usize) -> Option<usize> {
    let from = (least..=text.len()).find(|from| text.is_char_boundary(*from))?;
    let starts = text[from..].match_indices("\n---").map(|(at, _)| from + at);
    let is_marker = |at: &usize| {
        let behind = text.as_bytes().get(at + "\n---".len());
        behind.is_none_or(|byte| b" \t\r\n".contains(byte))
    };
    starts.filter(is_marker).map(|at| at + 1).next()
}

/// The number of line breaks as YAML counts them: a carriage return alone is one, too.
fn line_breaks(text: &str) -> usize {
    let feeds = text.matches('\n').count();
    let returns = text.matches('\r').count();
    match returns {
        0 => feeds,
        _ => feeds + returns - text.matches("\r\n").count(),
    }
}

/// The results of `work` in the order of `items`, made on all cores.
pub fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    // A single item is not worth starting rayon's threads.
    if items.len() < 2 {
        return items.iter().map(work).collect();
    }
    items.par_iter().map(work).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_where_documents_begin() {
        let text = "a: ü\n--- \nb\r---\r\n---x\n  ---\n---\r\nc\n---";
        let split: Vec<(&str, usize)> = chunks(text, 1)
            .iter()
            .map(|chunk| (chunk.text, chunk.line))
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
            chunks(text, 1)
                .iter()
                .all(|chunk| text[chunk.offset..].starts_with(chunk.text))
        );
        assert_eq!(chunks(text, 100).len(), 1);
        assert_eq!(chunks("a\n...\n%YAML 1.2\n---\nb\n---\nc", 1).len(), 1);
        assert_eq!(chunks("", 0).len(), 1);
    }

    #[test]
    fn results_keep_the_order() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(on_all_cores(&items, |item| *item), items);
    }
}
