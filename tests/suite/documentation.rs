//! The documentation agrees with the code.

use std::{collections::BTreeMap, path::Path};

use clap::CommandFactory as _;
use sparkpack::yaml::PlacesTable;

const BEGIN: &str = "<!-- table: generated from the code; a test compares them -->\n";
const END: &str = "<!-- table -->\n";

/// `UPDATE_DOCS=1` writes the table.
#[test]
fn the_table_of_places_is_the_codes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifests.md");
    let text = fs_err::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let wanted = PlacesTable.to_string();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs_err::write(&file, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(table, wanted, "run it with UPDATE_DOCS=1");
}

/// `UPDATE_DOCS=1` writes the page.
#[test]
fn the_page_of_codes_is_the_codes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let wanted = sparkpack::code::documentation();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs_err::write(&file, wanted).unwrap();
        return;
    }
    let page = fs_err::read_to_string(&file).unwrap();
    assert!(page == wanted, "run it with UPDATE_DOCS=1");
}

/// A promise without its test is none.
#[test]
fn every_promise_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests/suite", "tests/more"] {
        for file in walkdir::WalkDir::new(root.join(folder)) {
            let file = file.unwrap();
            if file.path().extension().is_some_and(|end| end == "rs") {
                code += &fs_err::read_to_string(file.path()).unwrap();
            }
        }
    }
    let page = fs_err::read_to_string(root.join("docs/promises.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| **"));
    let mut count = 0;
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        for test in tests.split(", ") {
            let name = test.trim_matches('`');
            assert!(code.contains(&format!("fn {name}() {{")), "{name}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn the_help_of_push_says_as_the_readme_when_a_daemon_is_needed() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs_err::read_to_string(readme).unwrap();
    let row = readme
        .lines()
        .find(|line| line.starts_with("| `sparkpack push "));
    let (_, said) = row.unwrap().split_once("needs a daemon only ").unwrap();
    let mut command = sparkpack::cli::Cli::command();
    let push = command.find_subcommand_mut("push").unwrap();
    let help = push.render_long_help().to_string();
    let help: Vec<&str> = help.split_whitespace().collect();
    let said = said.trim_end_matches([' ', '|']);
    assert!(
        help.join(" ")
            .contains(&format!("needs a daemon only {said}."))
    );
}

/// A code that is never used must not be documented.
#[test]
fn every_code_is_given_somewhere() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts: Vec<String> = walkdir::WalkDir::new(&source)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name() != "code.rs" && entry.file_type().is_file())
        .map(|entry| fs_err::read_to_string(entry.path()).unwrap())
        .collect();
    let is_given = |code: &sparkpack::code::Code| {
        let written = format!("Code::{code}");
        texts.iter().any(|text| text.contains(&written))
    };
    let unused: Vec<_> = sparkpack::code::Code::ALL
        .iter()
        .filter(|code| !is_given(code))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// A kind in the table without a fixture would be a claim without a test.
#[test]
fn every_kind_of_the_table_has_a_fixture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/in");
    let texts: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(|entry| fs_err::read_to_string(entry.unwrap().path()).ok())
        .collect();
    let table = PlacesTable.to_string();
    let rows = table.lines().skip(2).take_while(|line| !line.is_empty());
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let group = if cells[1] == "core" { "" } else { cells[1] };
        let kind = cells[2].trim_matches('`');
        let has = |text: &String| {
            let is_kind = text.contains(&format!("kind: {kind}\n"))
                || text.contains(&format!("kind: {kind},"));
            let is_group = text.contains(&format!("{group}/"))
                || text.contains(&format!("apiVersion: {group}\n"));
            is_kind && (group.is_empty() || is_group)
        };
        assert!(texts.iter().any(has), "no fixture has a {kind} of {group}");
        count += 1;
    }
    assert!(count > 20, "{table}");
}

/// The head of the suite describes each module.
#[test]
fn every_module_is_in_the_table_of_contents() {
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/main.rs");
    let main = fs_err::read_to_string(main).unwrap();
    let modules = main.lines().filter_map(|line| line.strip_prefix("mod "));
    let modules: Vec<&str> = modules.map(|name| name.trim_end_matches(';')).collect();
    assert!(modules.len() > 20, "{modules:?}");
    for module in modules.iter().filter(|name| **name != "support") {
        assert!(main.contains(&format!("//! - `{module}`: ")), "{module}");
    }
}

/// Whoever copies a line that names a version gets the one of this checkout: a requirement, the tag of a hook or of an
/// installation, the file of a release.
#[test]
fn the_version_is_the_same_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = BTreeMap::new();
    let places = ["README.md", "docs", "templates", "example-project"];
    let files = places
        .iter()
        .flat_map(|place| walkdir::WalkDir::new(root.join(place)));
    for file in files.map(Result::unwrap) {
        let Ok(text) = fs_err::read_to_string(file.path()) else {
            continue;
        };
        let file = file.path().strip_prefix(root).unwrap().to_str().unwrap();
        let is_template = file.starts_with("templates/");
        let wanted = if is_template { "@version@" } else { version };
        for (line, text) in text.lines().enumerate() {
            for start in ["sparkpack==", "rev: v", "--tag v", "sparkpack-"] {
                let found = text.split(start).skip(1);
                let is_version = |rest: &&str| {
                    rest.starts_with(|first: char| first == '@' || first.is_ascii_digit())
                };
                for found in found.filter(is_version) {
                    assert!(found.starts_with(wanted), "{file}:{}: {text}", line + 1);
                    *named.entry(start).or_insert(0) += 1;
                }
            }
        }
    }
    let wanted = [
        ("--tag v", 1),
        ("rev: v", 1),
        ("sparkpack-", 2),
        ("sparkpack==", 13),
    ];
    assert_eq!(named, BTreeMap::from(wanted));
    let configuration = fs_err::read_to_string(root.join("pyproject.toml")).unwrap();
    assert!(configuration.contains("dynamic = [\"version\","));
}
