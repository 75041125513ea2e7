//! What an `ADD`, a `COPY` or a bind mount can take from the build context.

use std::{iter::Peekable, str::Chars, sync::Arc};

use crate::project::tree::{Content, Entry, folders_above};

/// A source of an `ADD`, a `COPY` or a bind mount that lies in the build context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextSource {
    /// As it is written.
    pub text: String,
    /// The instruction's line.
    pub line: usize,
    /// What it can match.
    pub pattern: Pattern,
    /// What all sources of the `COPY` or the `ADD` can match; a heredoc and what is fetched always match. A wildcard may
    /// match nothing if one of them matches.
    pub together: Arc<[Pattern]>,
}

/// What a source can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The whole context, also where the source cannot be decided here.
    Everything,
    /// One path and everything below it.
    Path(String),
    /// What the glob matches, and everything below that.
    Glob(String),
}

impl Pattern {
    /// The pattern of a source after expansion; `parents` is `COPY --parents`, which knows `**`.
    pub(super) fn of(source: &str, parents: bool) -> Self {
        let path = clean(source);
        match path {
            path if path.is_empty() => Self::Everything,
            path if parents && path.contains("**") => Self::Everything,
            path if is_special(&path) => match glob(&path, "") {
                Some(_) => Self::Glob(path),
                None => Self::Everything,
            },
            path => Self::Path(path),
        }
    }

    /// Whether the pattern matches the file at `path`, or a folder that the file lies in.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut ancestors = folders_above(path).chain([path]);
        match self {
            Self::Everything => true,
            Self::Path(wanted) => ancestors.any(|ancestor| ancestor == wanted),
            Self::Glob(pattern) => {
                let depth = pattern.matches('/').count();
                ancestors.any(|ancestor| {
                    ancestor.matches('/').count() >= depth && glob(pattern, ancestor) == Some(true)
                })
            }
        }
    }

    /// The path at which or below which every match lies; empty for the context itself. Symbolic links that the pattern
    /// goes through lie there too, or on the way to it.
    pub(super) fn root(&self) -> &str {
        match self {
            Self::Everything => "",
            Self::Path(path) => path,
            Self::Glob(pattern) => {
                let plain = pattern.split(['*', '?', '[', '\\']).next();
                let folders = plain.and_then(|plain| plain.rsplit_once('/'));
                folders.map_or("", |(folders, _)| folders)
            }
        }
    }

    /// Whether the pattern matches `link` or goes through it, so that the link's target is needed too.
    pub(super) fn follows(&self, link: &str) -> bool {
        match self {
            Self::Everything => false,
            Self::Path(wanted) => wanted == link || below(wanted, link).is_some(),
            // A builder follows links only in the plain part of a pattern, before its first special character.
            Self::Glob(pattern) => {
                let is_plain = !is_special(link) && below(pattern, link).is_some();
                is_plain || glob(pattern, link) == Some(true)
            }
        }
    }
}

/// The path in the context: without leading or trailing `/`, without `.`; empty for the context itself.
fn clean(source: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a source leads out of the build context.
pub(super) fn leaves_context(source: &str) -> bool {
    let mut depth = 0_usize;
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

fn is_special(path: &str) -> bool {
    path.contains(['*', '?', '[', '\\'])
}

fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// A source that goes through more links than this is taken for an endless loop, and the whole context is used.
const LINKS_LIMIT: usize = 256;

/// Lists the entries of a context: those at the given paths, below them or on the way to them, that the test accepts.
/// The empty path is the context itself.
pub type List<'a, E> = dyn FnMut(&[&str], &dyn Fn(&str) -> bool) -> Result<Vec<Entry>, E> + 'a;

/// The entries that `sources` can match, and the targets of the symbolic links that they go through.
pub(super) fn select<E>(
    sources: &[ContextSource],
    list: &mut List<'_, E>,
) -> Result<Vec<Entry>, E> {
    let patterns = sources.iter().map(|source| source.pattern.clone());
    let mut patterns: Vec<Pattern> = patterns.collect();
    while patterns.len() <= LINKS_LIMIT + sources.len() {
        let roots: Vec<&str> = patterns.iter().map(Pattern::root).collect();
        let matches = |path: &str| patterns.iter().any(|pattern| pattern.matches(path));
        let follows = |path: &str| patterns.iter().any(|pattern| pattern.follows(path));
        let mut entries = list(&roots, &|path| matches(path) || follows(path))?;
        let mut targets = Vec::new();
        entries.retain(|entry| {
            let Content::Symlink { target } = &entry.content else {
                return matches(&entry.path);
            };
            let following = patterns
                .iter()
                .filter(|pattern| pattern.follows(&entry.path));
            targets.extend(following.map(|pattern| followed(pattern, &entry.path, target)));
            true
        });
        let known = patterns.len();
        for target in targets {
            if !patterns.contains(&target) {
                patterns.push(target);
            }
        }
        if patterns.len() == known {
            return Ok(entries);
        }
    }
    list(&[""], &|_| true)
}

/// The pattern with the link at `link` replaced by its target.
fn followed(pattern: &Pattern, link: &str, target: &str) -> Pattern {
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    let target = match target.strip_prefix('/') {
        Some(absolute) => clean(absolute),
        None => clean(&format!("{folder}/{target}")),
    };
    let depth = link.matches('/').count() + 1;
    let rest = |path: &str| path.split('/').skip(depth).collect::<Vec<_>>().join("/");
    match pattern {
        Pattern::Everything => Pattern::Everything,
        Pattern::Path(path) => Pattern::of(&format!("{target}/{}", rest(path)), false),
        Pattern::Glob(path) if !is_special(&target) => {
            Pattern::of(&format!("{target}/{}", rest(path)), false)
        }
        // The target's own special characters would have to be escaped, so its whole folder is taken instead.
        Pattern::Glob(_) => Pattern::of(&target, false),
    }
}

/// Go's `filepath.Match`, which Docker uses: `*` and `?` do not match `/`. `None` means a malformed pattern.
pub(in crate::project) fn glob(pattern: &str, text: &str) -> Option<bool> {
    let tokens = tokens(pattern)?;
    let text: Vec<char> = text.chars().collect();
    let (mut token, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let matched = match tokens.get(token) {
            Some(Token::Any) => {
                retry = Some((token, at));
                token += 1;
                continue;
            }
            Some(single) => text
                .get(at)
                .is_some_and(|&character| single.takes(character)),
            None if at == text.len() => return Some(true),
            None => false,
        };
        if matched {
            (token, at) = (token + 1, at + 1);
            continue;
        }
        match retry {
            Some((star, start)) if text.get(start).is_some_and(|&character| character != '/') => {
                retry = Some((star, start + 1));
                (token, at) = (star + 1, start + 1);
            }
            _ => return Some(false),
        }
    }
}

enum Token {
    Any,
    One,
    Exactly(char),
    Class(CharacterClass),
}

impl Token {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Any | Self::One => character != '/',
            Self::Exactly(wanted) => *wanted == character,
            Self::Class(class) => character != '/' && class.holds(character),
        }
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' => {
                while characters.next_if_eq(&'*').is_some() {}
                Token::Any
            }
            '?' => Token::One,
            '\\' => Token::Exactly(characters.next()?),
            '[' => Token::Class(CharacterClass::parse(&mut characters)?),
            other => Token::Exactly(other),
        });
    }
    Some(tokens)
}

/// A character class of a glob: `[a-z]` or `[^a-z]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::project) struct CharacterClass {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl CharacterClass {
    /// Reads what follows the `[`; `None` means a malformed class.
    pub(in crate::project) fn parse(characters: &mut Peekable<Chars<'_>>) -> Option<Self> {
        let negated = characters.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        while ranges.is_empty() || characters.next_if_eq(&']').is_none() {
            let low = Self::literal(characters)?;
            let high = match characters.next_if_eq(&'-') {
                Some(_) => Self::literal(characters)?,
                None => low,
            };
            ranges.push((low, high));
        }
        Some(Self { negated, ranges })
    }

    fn literal(characters: &mut Peekable<Chars<'_>>) -> Option<char> {
        match characters.next()? {
            '\\' => characters.next(),
            '-' | ']' => None,
            other => Some(other),
        }
    }

    /// Whether the class contains a character.
    pub(in crate::project) fn holds(&self, character: char) -> bool {
        self.negated
            != self
                .ranges
                .iter()
                .any(|(low, high)| (*low..=*high).contains(&character))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn globs_match_as_go_does() {
        for (pattern, text, wanted) in [
            ("*", "a", Some(true)),
            ("*", "a/b", Some(false)),
            ("a*b*c", "aXbbYc", Some(true)),
            ("a*/b", "a1/b", Some(true)),
            ("a*/b", "a1/x/b", Some(false)),
            ("?.py", "a.py", Some(true)),
            ("?.py", "é.py", Some(true)),
            ("?", "/", Some(false)),
            ("[a-c]x", "bx", Some(true)),
            ("[^a-c]x", "bx", Some(false)),
            ("[!a]x", "!x", Some(true)),
            ("\\*", "*", Some(true)),
            ("\\*", "a", Some(false)),
            ("[", "a", None),
            ("[]a]", "a", None),
            ("a\\", "a", None),
            ("**", "a", Some(true)),
            ("**/x", "a/b/x", Some(false)),
            ("", "", Some(true)),
        ] {
            assert_eq!(glob(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_take_folders_with_all_below() {
        for (source, path, wanted) in [
            (".", "a/b", true),
            ("./", "a/b", true),
            ("/", "a", true),
            ("src", "src/a/b.py", true),
            ("src/", "src/a.py", true),
            ("/src", "src/a.py", true),
            ("./src/./x/..", "src/a.py", true),
            ("src", "src2/a.py", false),
            ("src", "srcs", false),
            ("src/a.py", "src/a.py", true),
            ("src/a.py", "src/a.pyc", false),
            ("*.txt", "a.txt", true),
            ("*.txt", "x/a.txt", false),
            ("s*", "src/deep/a.py", true),
            ("*/lib", "a/lib/x", true),
            ("*/lib", "lib/x", false),
            ("[a-", "anything", true),
        ] {
            let pattern = Pattern::of(source, false);
            assert_eq!(pattern.matches(path), wanted, "{source} {path}");
            let root = pattern.root();
            let is_near = root.is_empty() || path == root || below(path, root).is_some();
            assert!(is_near || !wanted, "{source} {path}");
        }
        assert_eq!(Pattern::of("**/*.txt", true), Pattern::Everything);
    }

    #[test]
    fn a_pattern_has_a_root_for_all_that_it_matches() {
        for (source, root) in [
            (".", ""),
            ("src", "src"),
            ("src/a.py", "src/a.py"),
            ("*.txt", ""),
            ("s*/x", ""),
            ("src/*", "src"),
            ("src/lib/a?/[x]", "src/lib"),
            ("src/\\*", "src"),
            ("src/[", ""),
        ] {
            assert_eq!(Pattern::of(source, false).root(), root, "{source}");
        }
    }

    #[test]
    fn a_source_may_lead_out() {
        for (source, wanted) in [
            ("../x", true),
            ("a/../../x", true),
            ("a/../x", false),
            ("/..", true),
            ("..x", false),
        ] {
            assert_eq!(leaves_context(source), wanted, "{source}");
        }
    }

    #[test]
    fn links_are_followed_only_where_docker_follows_them() {
        let link = |path: &str, target: &str| Entry {
            path: path.to_owned(),
            content: Content::Symlink {
                target: target.to_owned(),
            },
        };
        let entries = [
            Entry::in_memory("real/a.py", "a", false),
            Entry::in_memory("real/deep/b.py", "b", false),
            link("link", "real"),
            link("below/link", "../real/a.py"),
            link("loop", "loop"),
            link("grows", "grows/x"),
        ];
        let selected = |source: &str| {
            let source = ContextSource {
                text: source.to_owned(),
                line: 1,
                pattern: Pattern::of(source, false),
                together: Arc::default(),
            };
            let mut list = |_: &[&str], wanted: &dyn Fn(&str) -> bool| {
                let wanted = entries.iter().filter(|entry| wanted(&entry.path));
                Ok::<_, Infallible>(wanted.cloned().collect())
            };
            let selected = select(&[source], &mut list).unwrap();
            selected
                .into_iter()
                .map(|entry| entry.path)
                .collect::<Vec<_>>()
        };
        assert_eq!(selected("link"), ["real/a.py", "real/deep/b.py", "link"]);
        assert_eq!(selected("link/deep"), ["real/deep/b.py", "link"]);
        assert_eq!(selected("below"), ["below/link"]);
        assert_eq!(selected("below/link"), ["real/a.py", "below/link"]);
        assert_eq!(selected("l*k"), ["real/a.py", "real/deep/b.py", "link"]);
        assert_eq!(selected("link/d*"), ["real/deep/b.py", "link"]);
        assert_eq!(selected("*/deep"), ["real/deep/b.py"]);
        assert_eq!(selected("loop"), ["loop"]);
        assert_eq!(selected("grows").len(), entries.len());
    }
}
