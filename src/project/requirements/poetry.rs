//! Poetry's notation of dependencies, as far as it differs from the common one: `name = "^1.2"`.

use super::{
    Requirement, direct, from_source::location_in, marker::Marker, parse::package, pieces::Wrong,
    tree::TomlValue, versions::PepVersion,
};
use crate::{code::Code, project::wheel::normalise};

/// The lines that `name = value` stands for: one, or one for each condition.
pub(super) fn dependencies(name: &str, value: TomlValue<'_>) -> Result<Vec<Requirement>, Wrong> {
    let several: Vec<TomlValue<'_>> = value.items().collect();
    let each = if several.is_empty() {
        vec![value]
    } else {
        several
    };
    each.into_iter()
        .map(|value| dependency(name, value))
        .collect()
}

/// Whether only an extra asks for `name = value`.
pub(super) fn is_optional(value: &TomlValue<'_>) -> bool {
    value
        .get("optional")
        .is_some_and(|optional| optional.is_true())
}

fn dependency(name: &str, value: TomlValue<'_>) -> Result<Requirement, Wrong> {
    let Some(version) = value.text().or_else(|| value.text_at("version")) else {
        return elsewhere(name, &value);
    };
    let wrong = || {
        let message = format!("`{name} = \"{version}\"` is no condition on a version");
        Wrong::new(Code::E047, 0, message).hint("write `\"^1.2\"` or `\">=1.2,<2\"`")
    };
    let alternatives = constraint(version).ok_or_else(wrong)?;
    let specifiers = joined(alternatives).ok_or_else(|| {
        let message = format!("`{name} = \"{version}\"`: a choice of ranges has no counterpart in the notation of pip and uv");
        Wrong::new(Code::E047, 0, message).hint("write one range, with `!=` for what lies between: `\">=1,<3,!=2.1\"`")
    })?;
    let extras = value.texts_at("extras");
    let extras = match extras.as_slice() {
        [] => String::new(),
        some => format!("[{}]", some.join(",")),
    };
    let line = format!("{name}{extras}{}", specifiers.join(","));
    Ok(Requirement {
        marker: condition(&value)?,
        ..package(&line, 0)?
    })
}

/// A dependency that has no version: a wheel by its place, or something else, which is refused.
fn elsewhere(name: &str, value: &TomlValue<'_>) -> Result<Requirement, Wrong> {
    if let Some(place) = location_in(value) {
        let extras = value.texts_at("extras").join(",");
        let line = format!("{name}[{extras}] @ {place}");
        let found = direct::parse(&line, 0).map_err(|wrong| Wrong { offset: 0, ..wrong })?;
        return Ok(Requirement {
            marker: condition(value)?,
            ..found
        });
    }
    let kind = ["git", "path", "file", "url"]
        .into_iter()
        .find_map(|key| Some((key, value.text_at(key)?)));
    match kind {
        Some((key, place)) => Err(super::pieces::unpinnable(
            &format!("{name} = {{ {key} = \"{}\" }}", super::masked(place)),
            0,
        )),
        None => Err(
            Wrong::new(Code::E047, 0, format!("`{name}` has no version"))
                .hint(format!("write `{name} = \"^1.2\"`")),
        ),
    }
}

/// The marker of a dependency: `markers`, `python` and `platform`.
fn condition(value: &TomlValue<'_>) -> Result<Option<String>, Wrong> {
    let mut marker = match value.text_at("markers") {
        Some(text) => Marker::parse(text, &|_, _, _| None)?,
        None => Marker::Always,
    };
    if let Some(python) = value.text_at("python") {
        let wrong = || Wrong::new(Code::E047, 0, format!("`{python}` is no range of Pythons"));
        marker = marker.and(of_python(python).ok_or_else(wrong)?);
    }
    if let Some(platform) = value.text_at("platform") {
        marker = marker.and(Marker::Is(format!("sys_platform == \"{platform}\"")));
    }
    let never = || Wrong::new(Code::E047, 0, "the marker never holds");
    marker.of_line().ok_or_else(never)
}

/// A range of Python versions as a marker.
pub(super) fn of_python(text: &str) -> Option<Marker> {
    let mut any = Marker::Never;
    for alternative in constraint(text)? {
        let mut all = Marker::Always;
        for specifier in alternative {
            let version = specifier.trim_start_matches(['=', '<', '>', '!', '~']);
            let operator = specifier.strip_suffix(version)?;
            let is_minor = version.trim_end_matches(".*").split('.').count() <= 2;
            let is_exact = version.ends_with(".*") && operator == "==";
            let (variable, version) = match (is_minor, is_exact) {
                (true, true) if version.split('.').count() == 3 => {
                    ("python_version", version.trim_end_matches(".*"))
                }
                (true, false) if matches!(operator, ">=" | "<") => ("python_version", version),
                _ => ("python_full_version", version),
            };
            all = all.and(Marker::Is(format!("{variable} {operator} \"{version}\"")));
        }
        any = any.or(all);
    }
    Some(any)
}

/// The ranges of which a version may be in one, each as conditions such as `>=1.2`.
pub(super) fn constraint(text: &str) -> Option<Vec<Vec<String>>> {
    let alternatives = text
        .split('|')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let ranges: Option<Vec<Vec<String>>> = alternatives.map(range).collect();
    ranges.filter(|ranges| !ranges.is_empty())
}

fn range(text: &str) -> Option<Vec<String>> {
    let mut conditions = Vec::new();
    let operators = ['=', '<', '>', '!', '~', '^'];
    // An operator may be apart from its version, and conditions may be apart by white space alone.
    let mut pending = String::new();
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let word = format!("{pending}{word}");
        pending.clear();
        if word.ends_with(operators) {
            pending = word;
            continue;
        }
        conditions.extend(comparison(&word)?);
    }
    pending.is_empty().then_some(conditions)
}

fn comparison(word: &str) -> Option<Vec<String>> {
    let version = word.trim_start_matches(['=', '<', '>', '!', '~', '^']);
    let operator = word.strip_suffix(version)?;
    if version == "*" {
        return Some(Vec::new());
    }
    let is_prefix = version.ends_with(".*");
    PepVersion::parse(version.trim_end_matches(".*"))?;
    Some(match operator {
        "^" | "~" => {
            let (_, numbers) = PepVersion::parse_prefix(version.trim_end_matches(".*"))?;
            let kept = match operator {
                "^" => numbers
                    .iter()
                    .position(|number| *number > 0)
                    .unwrap_or(numbers.len() - 1),
                _ => 1.min(numbers.len() - 1),
            };
            let lowest = version.trim_end_matches(".*");
            vec![format!(">={lowest}"), format!("<{}", above(&numbers, kept))]
        }
        "" | "=" => vec![format!("=={version}")],
        "==" | "!=" => vec![format!("{operator}{version}")],
        "===" | "~=" | "<=" | ">=" | "<" | ">" if !is_prefix => {
            vec![format!("{operator}{version}")]
        }
        _ => return None,
    })
}

/// The first version whose number at a position is larger.
fn above(numbers: &[u64], position: usize) -> String {
    let mut next: Vec<String> = numbers[..position].iter().map(u64::to_string).collect();
    next.push((numbers[position] + 1).to_string());
    while next.len() < numbers.len().min(2) {
        next.push("0".to_owned());
    }
    next.join(".")
}

/// One range for several that touch each other; `None` if there is a gap, or if that cannot be seen.
fn joined(mut ranges: Vec<Vec<String>>) -> Option<Vec<String>> {
    if ranges.len() == 1 {
        return ranges.pop();
    }
    if ranges.iter().any(Vec::is_empty) {
        return Some(Vec::new());
    }
    let mut bounds = Vec::new();
    for range in &ranges {
        let [low, high] = range.as_slice() else {
            return None;
        };
        let (low, high) = (low.strip_prefix(">=")?, high.strip_prefix('<')?);
        let parsed = (PepVersion::parse(low)?, PepVersion::parse(high)?);
        bounds.push((parsed, low.to_owned(), high.to_owned()));
    }
    bounds.sort();
    let touches = |pair: &[((PepVersion, PepVersion), String, String)]| pair[1].0.0 <= pair[0].0.1;
    let highest = bounds
        .iter()
        .max_by(|left, right| left.0.1.cmp(&right.0.1))?;
    let whole = vec![format!(">={}", bounds[0].1), format!("<{}", highest.2)];
    bounds.windows(2).all(touches).then_some(whole)
}

/// Normalised names of a list of dependencies in the common notation, such as `awscrt (>=0.19)`.
pub(super) fn names(texts: &[&str]) -> Vec<String> {
    let of_name = |next: char| next.is_ascii_alphanumeric() || "._-".contains(next);
    let name = |text: &&str| {
        let end = text.find(|next| !of_name(next)).unwrap_or(text.len());
        normalise(&text[..end])
    };
    texts.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_translated() {
        for (text, wanted) in [
            ("^1.2.3", ">=1.2.3,<2.0"),
            ("^1.2", ">=1.2,<2.0"),
            ("^1", ">=1,<2"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0.0", ">=0.0,<0.1"),
            ("^0", ">=0,<1"),
            ("^1.0b2", ">=1.0b2,<2.0"),
            ("~1.2.3", ">=1.2.3,<1.3"),
            ("~1.2", ">=1.2,<1.3"),
            ("~1", ">=1,<2"),
            ("~=1.2.0", "~=1.2.0"),
            ("*", ""),
            ("1.*", "==1.*"),
            ("1.2.3", "==1.2.3"),
            ("= 1.2.3", "==1.2.3"),
            (">=1, <2", ">=1,<2"),
            (">= 1.0 <2.0", ">=1.0,<2.0"),
            (">=1,!=1.5", ">=1,!=1.5"),
            ("^1 || ^2", ">=1,<3"),
            (">=1,<2 || >=2,<3.5", ">=1,<3.5"),
        ] {
            let specifiers = constraint(text).and_then(joined);
            assert_eq!(specifiers.unwrap().join(","), wanted, "{text}");
        }
        for text in ["^1 || ^3", "1.0 || 2.0"] {
            assert_eq!(constraint(text).and_then(joined), None, "{text}");
        }
        for text in ["", "latest", "^", "^x", ">=1.*"] {
            assert_eq!(constraint(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_of_pythons_become_markers() {
        for (text, wanted) in [
            (
                "^3.9",
                "python_version < \"4.0\" and python_version >= \"3.9\"",
            ),
            ("<3.11", "python_version < \"3.11\""),
            ("3.11.*", "python_version == \"3.11\""),
            (">=3.9.2", "python_full_version >= \"3.9.2\""),
            (
                "<3.9 || >=3.12",
                "python_version < \"3.9\" or python_version >= \"3.12\"",
            ),
        ] {
            assert_eq!(of_python(text).unwrap().to_string(), wanted, "{text}");
        }
    }
}
