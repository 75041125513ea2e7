//! The tag of an image in text that is no mapping: the arguments of a command, a list of them, and lines like
//! `IMAGE=…` and `TAG=…`.

use std::ops::Range;

use super::{
    comment::comment_start,
    siblings::{Chosen, Doubt, Sibling, SiblingValue, choose},
};

/// How far around an image its tag is looked for.
const REACH: usize = 4096;

/// The values that may be the tag or the digest of the image without a tag that stands at `image`, each with its bytes:
/// `--tag=1` beside `--image=IMAGE`. `is_own_tag` knows the tags of that image by their form.
#[must_use]
pub fn versions_beside<'t>(
    text: &'t str,
    image: &Range<usize>,
    is_own_tag: &dyn Fn(&str) -> bool,
) -> Vec<(Range<usize>, &'t str)> {
    let lines = Lines { text };
    let command = lines.command(image);
    let regions = [Some(command), lines.flow_list(image), lines.siblings(image)];
    for region in regions.into_iter().flatten() {
        let found = in_region(text, region, image, is_own_tag);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn in_region<'t>(
    text: &'t str,
    region: Range<usize>,
    image: &Range<usize>,
    is_own_tag: &dyn Fn(&str) -> bool,
) -> Vec<(Range<usize>, &'t str)> {
    let assignments = assignments(text, region);
    let is_image =
        |(_, value): &(&str, Range<usize>)| value.start <= image.start && image.start < value.end;
    let Some(index) = assignments.iter().position(is_image) else {
        return Vec::new();
    };
    let siblings: Vec<Sibling<'_>> = assignments
        .iter()
        .map(|(key, value)| Sibling {
            key,
            value: SiblingValue::Text(&text[value.clone()]),
        })
        .collect();
    let (Chosen { tag, digest, .. }, doubt) = choose(&siblings, index, is_own_tag);
    let tags = match doubt {
        Some(Doubt::Tags(tags)) => tags,
        _ => tag.into_iter().collect(),
    };
    let found = tags.into_iter().chain(digest).map(|index| {
        let span = assignments[index].1.clone();
        (span.clone(), &text[span])
    });
    found.filter(|(_, value)| !value.is_empty()).collect()
}

/// The keys of a piece of text with the bytes of their values: `--key=value`, `--key value`, `key: value`, `KEY=value`.
fn assignments(text: &str, region: Range<usize>) -> Vec<(&str, Range<usize>)> {
    let mut assignments = Vec::new();
    // A key whose value is the next word.
    let mut key: Option<&str> = None;
    let mut last: Option<&str> = None;
    for word in words(text, region) {
        let shown = &text[word.clone()];
        if matches!(shown, "=" | ":") {
            key = last.take();
            continue;
        }
        let is_quoted = text[word.end..].starts_with(['"', '\'', '\\']);
        let before_quotes = shown.strip_suffix('=').filter(|_| is_quoted);
        if let Some(name) = shown.strip_suffix(':').or(before_quotes) {
            (key, last) = (Some(name), None);
            continue;
        }
        if let Some((name, value)) = shown.rsplit_once('=').filter(|(name, _)| !name.is_empty()) {
            assignments.push((name, word.end - value.len()..word.end));
            (key, last) = (None, None);
            continue;
        }
        let is_flag = shown.len() > 1 && shown.starts_with('-');
        let behind = text[word.end..].trim_start_matches(['"', '\'', '\\']);
        if behind.trim_start_matches(' ').starts_with([':', '=']) {
            (key, last) = (None, Some(shown));
            continue;
        }
        if let Some(key) = key.take().filter(|_| !is_flag) {
            assignments.push((key, word));
            last = None;
        } else {
            key = Some(shown).filter(|_| is_flag);
            last = Some(shown);
        }
    }
    assignments
}

/// The words of a piece of text, without its comments.
fn words(text: &str, region: Range<usize>) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut offset = region.start;
    for line in text[region].split_inclusive(['\n', '\r']) {
        let end = comment_start(line).unwrap_or(line.len());
        let bytes = &line.as_bytes()[..end];
        let mut begun = None;
        let mut at = 0;
        while at <= bytes.len() {
            let byte = bytes.get(at).copied().unwrap_or(b' ');
            let is_end = byte.is_ascii_whitespace() || b",;\"'[]{}()\\".contains(&byte);
            match begun {
                None if !is_end => begun = Some(at),
                Some(first) if is_end => {
                    words.push(offset + first..offset + at);
                    begun = None;
                }
                _ => {}
            }
            // The letter behind a backslash is a part of the escape.
            let is_escape =
                byte == b'\\' && bytes.get(at + 1).is_some_and(|next| b"ntr".contains(next));
            at += 1 + usize::from(is_escape);
        }
        offset += line.len();
    }
    words.retain(|word| text[word.clone()] != *"-");
    words
}

/// The lines around an image.
struct Lines<'t> {
    text: &'t str,
}

impl Lines<'_> {
    /// The line that a byte lies in, without its end.
    fn line(&self, at: usize) -> Range<usize> {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let bytes = self.text.as_bytes();
        let start = bytes[..at]
            .iter()
            .rposition(is_end)
            .map_or(0, |end| end + 1);
        let length = bytes[at..].iter().position(is_end);
        start..length.map_or(bytes.len(), |length| at + length)
    }

    fn before(&self, line: &Range<usize>) -> Option<Range<usize>> {
        let end = line.start.checked_sub(1)?;
        let is_pair = end > 0 && self.text.as_bytes()[end - 1..=end] == *b"\r\n";
        Some(self.line(end - usize::from(is_pair)))
    }

    fn behind(&self, line: &Range<usize>) -> Option<Range<usize>> {
        let is_pair = self.text[line.end..].starts_with("\r\n");
        let start = line.end + 1 + usize::from(is_pair);
        (start < self.text.len()).then(|| self.line(start))
    }

    /// The lines around one to which it belongs: those before and behind it, as long as `goes_on` says so of a line and
    /// the next one.
    fn around(&self, first: Range<usize>, goes_on: &dyn Fn(&str, &str) -> bool) -> Range<usize> {
        let shown = |line: &Range<usize>| &self.text[line.clone()];
        let mut region = first.clone();
        let mut line = first.clone();
        while let Some(before) = self.before(&line).filter(|before| {
            first.end - before.start < REACH && goes_on(shown(before), shown(&line))
        }) {
            region.start = before.start;
            line = before;
        }
        line = first.clone();
        while let Some(behind) = self.behind(&line).filter(|behind| {
            behind.end - first.start < REACH && goes_on(shown(&line), shown(behind))
        }) {
            region.end = behind.end;
            line = behind;
        }
        region
    }

    /// The line of an image, with those that it goes on in behind a backslash.
    fn command(&self, image: &Range<usize>) -> Range<usize> {
        self.around(self.line(image.start), &|line, _| {
            line.trim_end().ends_with('\\')
        })
    }

    /// The brackets around an image.
    fn flow_list(&self, image: &Range<usize>) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        let bracket = |open: u8, close: u8| {
            let mut depth = 0_usize;
            move |byte: &u8| {
                if *byte == close {
                    depth += 1;
                } else if *byte == open {
                    match depth.checked_sub(1) {
                        Some(rest) => depth = rest,
                        None => return true,
                    }
                }
                false
            }
        };
        let first = image.start.saturating_sub(REACH);
        let before = bytes[first..image.start].iter();
        let start = first + before.clone().rposition(bracket(b'[', b']'))? + 1;
        let last = bytes.len().min(image.end + REACH);
        let behind = bytes[image.end..last].iter();
        let end = image.end + behind.clone().position(bracket(b']', b'['))?;
        Some(start..end)
    }

    /// The lines around that of an image that are like it: items of one word, or each with a name and a value.
    fn siblings(&self, image: &Range<usize>) -> Option<Range<usize>> {
        let line = self.line(image.start);
        let shown = &self.text[line.clone()];
        let indent = indent(shown);
        let is_item = is_item(shown);
        if !is_item && !is_assigned(shown) {
            return None;
        }
        let is_like = |line: &str| {
            self::indent(line) == indent
                && if is_item {
                    self::is_item(line)
                } else {
                    is_assigned(line)
                }
        };
        Some(self.around(line, &|first, second| is_like(first) && is_like(second)))
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a line is an item of a list, of one word: `- --tag=1`.
fn is_item(line: &str) -> bool {
    let item = &line[..comment_start(line).unwrap_or(line.len())];
    let item = item.trim().strip_prefix("- ").unwrap_or_default();
    !item.is_empty() && !item.trim().contains(char::is_whitespace)
}

/// Whether a line gives a name a value.
fn is_assigned(line: &str) -> bool {
    let line = line.trim().trim_start_matches("export ");
    let end = line.find(|part: char| !part.is_ascii_alphanumeric() && !"._-\"'".contains(part));
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix('=').or_else(|| rest.strip_prefix(": "));
    let is_one = |value: &str| !value.trim_start().starts_with(['[', '{', '|', '>']);
    !name.is_empty() && value.is_some_and(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that may be the tag of the first `IMAGE` in a text.
    fn found(text: &str) -> Vec<&str> {
        let start = text.find("h/IMAGE").unwrap();
        let found = versions_beside(text, &(start..start + 7), &|tag| tag == "own");
        for (span, value) in &found {
            assert_eq!(&text[span.clone()], *value);
        }
        found.into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn the_tag_of_an_argument_is_another_argument() {
        for text in [
            "args: [--image=h/IMAGE, --tag=old]",
            "args: [--tag, old, --image, h/IMAGE]",
            "args: [\"--image\", \"h/IMAGE\", \"--image-tag\", \"old\"]",
            "args: [\n  '--image=h/IMAGE',\n  # --tag=new\n  '--tag=old',\n]",
            "args:\n- --image=h/IMAGE\n- --tag=old\nx: y",
            "args:\r\n- --tag=old\r\n- --other\r\n- --image=h/IMAGE\r\n",
            "  - --image\n  - h/IMAGE\n  - --tag\n  - \"old\" # why\n",
            "run --image h/IMAGE --tag old --force",
            "x: \"run\\n --tag old --image h/IMAGE\\nexit\"",
            "run --image=h/IMAGE \\\n  --verbose \\\n  --tag=old\n",
            "helm x --set image.repository=h/IMAGE --set image.tag=old",
            "helm x --set image.repository=h/IMAGE,image.tag=old",
            "helm x --set=image.repository=h/IMAGE,image.tag=old",
            "IMAGE=h/IMAGE\nTAG=old\ndocker run $IMAGE:$TAG",
            "export TAG=old\nexport IMAGE=\"h/IMAGE\"",
            "image = \"h/IMAGE\"\ntag = \"old\"\n",
            "  repository: h/IMAGE\n  tag: old\n",
            "- --job-image=h/IMAGE\n- --job-tag=old\n- --side-tag=1\n",
            "run --image h/IMAGE --digest old",
            "x: \"{\\\"name\\\": \\\"h/IMAGE\\\", \\\"tag\\\": \\\"old\\\"}\"",
        ] {
            assert_eq!(found(text), ["old"], "{text}");
        }
        assert_eq!(found("--image=h/IMAGE --tag=1 --version=2"), ["1", "2"]);
        assert_eq!(found("--image=h/IMAGE --build=own"), ["own"]);
    }

    #[test]
    fn what_belongs_to_something_else_is_no_tag() {
        for text in [
            "args: [--image=h/IMAGE]",
            "args: [--image=h/IMAGE, --spark-version=3.5]",
            "args: [--image=h/IMAGE]\nmore: [--tag=old]",
            "- args: [--image=h/IMAGE]\n- args: [--tag=old]",
            "- --image=h/IMAGE\nother:\n- --tag=old\n",
            "- run --image=h/IMAGE\n- run --tag=old\n",
            "- --image=h/IMAGE\n---\n- --tag=old\n",
            "run --image h/IMAGE\nrun --tag old",
            "run h/IMAGE --tag old",
            "a: h/IMAGE\n  tag: old\n",
            "IMAGE=h/IMAGE\n\nTAG=old\n",
            "- --image=h/IMAGE\n- --side-tag=old\n",
            "run --image h/IMAGE # --tag old",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
