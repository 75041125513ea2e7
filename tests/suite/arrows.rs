//! The layers: a module uses only modules to its left.

use walkdir::WalkDir;

const LAYERS: [&str; 11] = [
    "code",
    "image",
    "project",
    "package",
    "plan",
    "yaml",
    "adapters",
    "error",
    "operations",
    "ui",
    "commands",
];

#[test]
fn arrows_between_modules_point_left() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    let mut wrong = Vec::new();
    for entry in WalkDir::new(&source)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "rs"))
    {
        let relative = entry.path().strip_prefix(&source).unwrap();
        let first = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let Some(own) = LAYERS.iter().position(|layer| *layer == first) else {
            continue;
        };
        let text = fs_err::read_to_string(entry.path()).unwrap();
        for used in uses(&text) {
            checked += 1;
            if LAYERS
                .iter()
                .position(|layer| *layer == used)
                .is_some_and(|layer| layer > own)
            {
                wrong.push(format!("{} uses {used}", relative.display()));
            }
        }
    }
    assert!(
        checked > 50,
        "only {checked} uses found: the test no longer reads the code"
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The first path segments behind `crate::`, those in a nested `use crate::{…}` among them.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut word = String::new();
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 1 && (character.is_alphanumeric() || character == '_') {
                    word.push(character);
                } else if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.push(
                rest.chars()
                    .take_while(|character| character.is_alphanumeric() || *character == '_')
                    .collect(),
            );
        }
    }
    found
}

#[test]
fn uses_are_read_from_code() {
    let code =
        "use crate::{\n    image::{Digest, x},\n    project::Y,\n};\nlet z = crate::plan::make();";
    let found = uses(code);
    for wanted in ["image", "project", "plan"] {
        assert!(found.contains(&wanted.to_owned()), "{found:?}");
    }
}
