//! `.dockerignore`, rule by rule as Docker reads it, which differs from how git reads the same text.

use std::path::Path;

use crate::{
    code::Code,
    project::{
        dockerfile::{CharacterClass, glob},
        place::{Defect, Place},
        tree::folders_above,
    },
};

/// The rules of a `.dockerignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerIgnore {
    rules: Vec<DockerIgnoreRule>,
}

/// One line of a `.dockerignore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerIgnoreRule {
    /// 1 is the first.
    pub line: usize,
    /// The pattern as Docker cleans it, without `!`.
    pub pattern: String,
    /// Whether it is written with `!`: the files that it matches are inputs again.
    pub includes: bool,
    matcher: Matcher,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Matcher {
    Exactly,
    /// `x**` and `x/**` without other special characters.
    Prefix(String),
    /// `**x` and `**/x` without other special characters.
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// `*`: anything without `/`.
    Any,
    /// `**` at the end: anything.
    Rest,
    /// `**/`: nothing, or anything that ends with `/`.
    Folders,
    One,
    Exactly(char),
    Class(CharacterClass),
}

impl DockerIgnore {
    /// Parses the text; `file` is the name for messages.
    ///
    /// # Errors
    /// The first rule that Docker would refuse.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Defect> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, written) in text.split('\n').enumerate() {
            let trimmed = written.trim();
            if written.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            let wrong =
                |message: String| Defect::new(Code::E058, Place::of_line(file, index + 1), message);
            let (pattern, includes) = trimmed
                .strip_prefix('!')
                .map_or((trimmed, false), |rest| (rest.trim(), true));
            if pattern.is_empty() {
                return Err(wrong("`!` without a pattern".to_owned()));
            }
            let pattern = clean(pattern);
            let pattern = match pattern.strip_prefix('/') {
                Some(relative) if !relative.is_empty() => relative.to_owned(),
                _ => pattern,
            };
            if glob(&pattern, ".").is_none() || (includes && pattern == "/") {
                return Err(wrong(format!(
                    "`{trimmed}` is no pattern that Docker accepts"
                )));
            }
            let matcher = Matcher::of(&pattern);
            if let (Matcher::Tokens(_), Some(part)) = (&matcher, accident(&pattern)) {
                let message = format!(
                    "Docker takes `{part}` in `{pattern}` for a part of a regular expression"
                );
                let hint = "no name needs it: write `?` for one character, `*` for any, or `\\^` and `\\|` for these two";
                return Err(wrong(message).hint(hint));
            }
            rules.push(DockerIgnoreRule {
                line: index + 1,
                pattern,
                includes,
                matcher,
            });
        }
        Ok(Self { rules })
    }

    /// Whether the file or folder at `path` is no input.
    #[must_use]
    pub fn excluded(&self, path: &str) -> bool {
        self.deciding(path).is_some_and(|rule| !rule.includes)
    }

    /// The rule that decides about `path`: the last one that changes the result.
    #[must_use]
    pub fn deciding(&self, path: &str) -> Option<&DockerIgnoreRule> {
        let mut deciding: Option<&DockerIgnoreRule> = None;
        for rule in &self.rules {
            let excluded = deciding.is_some_and(|rule| !rule.includes);
            if rule.includes == excluded && rule.matches_with_parents(path) {
                deciding = Some(rule);
            }
        }
        deciding
    }

    /// Whether nothing below the folder can be an input. Any `!` rule may include files of an excluded folder again.
    #[must_use]
    pub fn excludes_all_below(&self, folder: &str) -> bool {
        self.excluded(folder) && !self.rules.iter().any(|rule| rule.includes)
    }

    /// The rules in their order.
    #[must_use]
    pub fn rules(&self) -> &[DockerIgnoreRule] {
        &self.rules
    }
}

/// The part of a pattern that Docker fails to escape when it turns the pattern into a regular expression, so that it
/// means something nobody intended.
fn accident(pattern: &str) -> Option<&str> {
    let mut characters = pattern.char_indices().peekable();
    let (mut in_class, mut low) = (false, None);
    while let Some((start, character)) = characters.next() {
        let through = |end: usize| pattern.get(start..end);
        match character {
            '\\' => {
                let (at, next) = characters.next()?;
                if next.is_ascii_alphanumeric() {
                    return through(at + 1);
                }
                low = Some(next);
            }
            '[' if !in_class => {
                in_class = true;
                low = None;
                let _ = characters.next_if(|(_, next)| *next == '^');
            }
            ']' if in_class => in_class = false,
            '*' | '?' | '[' if in_class => return through(start + 1),
            '^' | '|' if !in_class => return through(start + 1),
            '-' if in_class => {
                let (at, high) = characters.next()?;
                if low.is_some_and(|low| high < low) || high == '\\' {
                    return through(at + high.len_utf8());
                }
            }
            other => low = Some(other),
        }
    }
    None
}

impl DockerIgnoreRule {
    fn matches_with_parents(&self, path: &str) -> bool {
        folders_above(path)
            .chain([path])
            .any(|path| self.matches(path))
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exactly => path == self.pattern,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            Matcher::Tokens(tokens) => tokens_match(tokens, path),
        }
    }
}

impl Matcher {
    fn of(pattern: &str) -> Self {
        let special = |text: &str| text.contains(['*', '?', '[', ']', '\\']);
        if !special(pattern) {
            return Self::Exactly;
        }
        if let Some(suffix) = pattern.strip_prefix("**").filter(|suffix| !special(suffix)) {
            return Self::Suffix(suffix.to_owned());
        }
        if let Some(prefix) = pattern.strip_suffix("**").filter(|prefix| !special(prefix)) {
            return Self::Prefix(prefix.to_owned());
        }
        Self::Tokens(tokens(pattern))
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' if characters.next_if_eq(&'*').is_some() => {
                let _ = characters.next_if_eq(&'/');
                if characters.peek().is_some() {
                    Token::Folders
                } else {
                    Token::Rest
                }
            }
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Exactly(characters.next().unwrap_or('\\')),
            '[' => CharacterClass::parse(&mut characters).map_or(Token::Exactly('['), Token::Class),
            other => Token::Exactly(other),
        });
    }
    tokens
}

/// Fills a table row by row from the last token, so that no pattern takes more than tokens × characters steps.
fn tokens_match(tokens: &[Token], path: &str) -> bool {
    let path: Vec<char> = path.chars().collect();
    let length = path.len();
    // `after[at]`: the tokens handled so far match the text from character `at` on.
    let mut after = vec![false; length + 1];
    after[length] = true;
    for token in tokens.iter().rev() {
        let mut row = vec![false; length + 1];
        let mut behind_slash = false;
        for at in (0..=length).rev() {
            let here = path.get(at).copied();
            let next = |row: &[bool]| here.is_some() && row[at + 1];
            behind_slash |= here == Some('/') && after[at + 1];
            row[at] = match token {
                Token::Any => after[at] || (here != Some('/') && next(&row)),
                Token::Rest => after[at] || next(&row),
                Token::Folders => after[at] || behind_slash,
                Token::One => here != Some('/') && next(&after),
                Token::Exactly(wanted) => here == Some(*wanted) && next(&after),
                Token::Class(class) => here.is_some_and(|here| class.holds(here)) && next(&after),
            };
        }
        after = row;
    }
    after[0]
}

/// Go's `filepath.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(&last)) if last != ".." => drop(parts.pop()),
            ("..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> DockerIgnore {
        DockerIgnore::parse(Path::new(".dockerignore"), text).unwrap()
    }

    #[test]
    fn rules_match_as_dockers_do() {
        for (rules, path, wanted) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "x/a", false),
            ("a", "ab", false),
            ("/a", "a", true),
            ("/a/", "a/b", true),
            ("./a", "a", true),
            ("a//b/../c", "a/c", true),
            (" a \t", "a", true),
            ("*.py", "a.py", true),
            ("*.py", "x/a.py", false),
            ("*/*.py", "x/a.py", true),
            ("**/*.py", "a.py", true),
            ("**/*.py", "x/y/a.py", true),
            ("**/*.py", "x/y/a.pyc", false),
            ("**/x", "x", true),
            ("**/x", "a/x/b", true),
            ("**/x", "ax", false),
            ("**x", "a/bx", true),
            ("a/**", "a/b", true),
            ("a/**", "a", false),
            ("a/**", "ab", false),
            ("a**", "ab/c", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("**", "anything/at/all", true),
            ("**/x/**", "a/x/b", true),
            ("**/x/**", "x", false),
            ("*/**", "a/b", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
        ] {
            assert_eq!(parse(rules).excluded(path), wanted, "{rules:?} {path}");
        }
    }

    #[test]
    fn characters_order_and_exceptions_count_as_for_docker() {
        for (rules, path, wanted) in [
            ("[a-c].txt", "b.txt", true),
            ("[^a-c].txt", "b.txt", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a.c", "abc", false),
            ("a+(b)", "a+(b)", true),
            ("*.a+", "x.a+", true),
            (".", "a", false),
            ("/", "a", false),
            ("../a", "a", false),
            ("#a", "#a", false),
            (" #a", "#a", true),
            ("", "a", false),
            ("\u{feff}a", "a", true),
            ("b\r\na\r\n", "a", true),
            ("*\n!a", "a", false),
            ("*\n!a", "b", true),
            ("*\n! a", "a", false),
            ("*\n!/a", "a/deep", false),
            ("!a\n*", "a", true),
            ("dir\n!dir/keep", "dir/keep", false),
            ("dir\n!dir/keep", "dir/keep/below", false),
            ("dir\n!dir/keep", "dir/other", true),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            ("*.md\n!README*.md\nREADME-secret.md", "README-1.md", false),
            (
                "*.md\nREADME-secret.md\n!README*.md",
                "README-secret.md",
                false,
            ),
            ("**/*.class\n!**/Keep.class", "a/Keep.class", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(parse(rules).excluded(path), wanted, "{rules:?} {path}");
        }
    }

    #[test]
    fn the_rule_that_decides_is_named() {
        let ignore = parse("# comment\n*\n\n!.env\n!src\nsrc/tmp\n");
        let line = |path: &str| ignore.deciding(path).map(|rule| (rule.line, rule.includes));
        assert_eq!(line("Dockerfile"), Some((2, false)));
        assert_eq!(line(".env"), Some((4, true)));
        assert_eq!(line("src/tmp/x"), Some((6, false)));
        assert_eq!(parse("a").deciding("b"), None);
        assert!(!ignore.excludes_all_below("docs") && parse("docs").excludes_all_below("docs"));
    }

    #[test]
    fn what_docker_refuses_is_told() {
        for (text, wanted) in [
            ("a\n!\n", ".dockerignore:2:1: `!` without a pattern"),
            (
                "a[\n",
                ".dockerignore:1:1: `a[` is no pattern that Docker accepts",
            ),
            (
                "!/\n",
                ".dockerignore:1:1: `!/` is no pattern that Docker accepts",
            ),
            (
                "*|a\n",
                ".dockerignore:1:1: Docker takes `|` in `*|a` for a part of a regular expression",
            ),
            (
                "\\d*\n",
                ".dockerignore:1:1: Docker takes `\\d` in `\\d*` for a part of a regular expression",
            ),
            (
                "[b-a]\n",
                ".dockerignore:1:1: Docker takes `-a` in `[b-a]` for a part of a regular expression",
            ),
            (
                "x[*]y\n",
                ".dockerignore:1:1: Docker takes `*` in `x[*]y` for a part of a regular expression",
            ),
            (
                "a\\\n",
                ".dockerignore:1:1: `a\\` is no pattern that Docker accepts",
            ),
        ] {
            let defect = DockerIgnore::parse(Path::new(".dockerignore"), text).unwrap_err();
            assert_eq!(defect.to_string(), wanted);
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let ignore = parse(&"*a".repeat(500));
        assert!(!ignore.excluded(&"a".repeat(400)));
    }
}
