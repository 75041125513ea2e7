//! `scripts/test --fast` leaves out exactly the tests that need a Docker daemon or a registry.
//!
//! A test needs one if it, or a function that it calls in its module, uses the helpers of `support` for them or a
//! program that connects to one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use syn::visit::{self, Visit};
use walkdir::WalkDir;

/// The files of `support` about daemons and registries.
const SUPPORT: [&str; 3] = ["chain.rs", "daemon.rs", "registry.rs"];

/// Programs that connect to a daemon or a registry, or are one.
const PROGRAMS: [&str; 3] = ["docker", "docker-registry", "skopeo"];

/// The function by which a unit test connects to this machine's daemon.
const UNIT: &str = "of_process";

/// The items of some files by name: the words that they use, and the tests among them.
#[derive(Default)]
struct Items {
    words: BTreeMap<String, BTreeSet<String>>,
    /// The words of each test, by the test's path.
    tests: BTreeMap<String, BTreeSet<String>>,
}

impl Items {
    /// Takes the items of a file; its tests are named with the path of its module.
    fn read(&mut self, file: &Path, module: &str) {
        let text = fs_err::read_to_string(file).unwrap();
        self.take(&syn::parse_file(&text).unwrap().items, module);
    }

    fn take(&mut self, items: &[syn::Item], module: &str) {
        for item in items {
            let mut words = Words::default();
            words.visit_item(item);
            let name = match item {
                syn::Item::Mod(inner) => {
                    let path = format!("{module}::{}", inner.ident);
                    let items = inner.content.as_ref().map(|(_, items)| items.as_slice());
                    self.take(items.unwrap_or_default(), &path);
                    continue;
                }
                syn::Item::Fn(function) => {
                    let name = function.sig.ident.to_string();
                    let is_test = |attribute: &syn::Attribute| attribute.path().is_ident("test");
                    if function.attrs.iter().any(is_test) {
                        let old = self.tests.insert(format!("{module}::{name}"), words.0);
                        assert!(old.is_none(), "{module}::{name}");
                        continue;
                    }
                    name
                }
                syn::Item::Impl(block) => match &*block.self_ty {
                    syn::Type::Path(path) => path.path.segments.last().unwrap().ident.to_string(),
                    _ => continue,
                },
                syn::Item::Struct(item) => item.ident.to_string(),
                syn::Item::Const(item) => item.ident.to_string(),
                syn::Item::Static(item) => item.ident.to_string(),
                _ => continue,
            };
            self.words.entry(name).or_default().extend(words.0);
        }
    }

    /// The tests that use one of these words, directly or through other items.
    fn reaching(&self, words: &BTreeSet<String>) -> BTreeSet<&str> {
        let mut reached = words.clone();
        loop {
            let more = self
                .words
                .iter()
                .filter(|(name, words)| !reached.contains(*name) && !words.is_disjoint(&reached));
            let more: Vec<String> = more.map(|(name, _)| name.clone()).collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        let tests = self.tests.iter();
        let found = tests.filter(|(_, words)| !words.is_disjoint(&reached));
        found.map(|(name, _)| name.as_str()).collect()
    }
}

/// The identifiers in an item, and the programs that it names.
#[derive(Default)]
struct Words(BTreeSet<String>);

impl Visit<'_> for Words {
    fn visit_ident(&mut self, ident: &syn::Ident) {
        self.0.insert(ident.to_string());
    }

    fn visit_lit_str(&mut self, text: &syn::LitStr) {
        if PROGRAMS.contains(&text.value().as_str()) {
            self.0.insert(program(&text.value()));
        }
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        visit::visit_macro(self, call);
        // Every second piece is a string, whose content names nothing.
        let text = call.tokens.to_string().replace("\\\"", "");
        let code = text.split('"').step_by(2);
        let words = code
            .flat_map(|code| code.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
        self.0.extend(words.map(str::to_owned));
    }
}

/// The word for a program, which no identifier can have.
fn program(name: &str) -> String {
    format!("program {name}")
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The functions and types in the support files about daemons and registries.
fn of_support() -> BTreeSet<String> {
    let folder = package().join("tests/suite/support");
    let mut words: BTreeSet<String> = PROGRAMS.iter().map(|name| program(name)).collect();
    for name in SUPPORT {
        let text = fs_err::read_to_string(folder.join(name)).unwrap();
        for item in syn::parse_file(&text).unwrap().items {
            match item {
                syn::Item::Fn(item) => words.insert(item.sig.ident.to_string()),
                syn::Item::Struct(item) => words.insert(item.ident.to_string()),
                _ => continue,
            };
        }
    }
    words
}

fn sources(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = WalkDir::new(folder).sort_by_file_name().into_iter();
    let files = files.map(|entry| entry.unwrap().into_path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
}

/// All tests of the suite, and those that need a daemon or a registry.
fn of_suite() -> (BTreeSet<String>, BTreeSet<String>) {
    let folder = package().join("tests/suite");
    let (mut all, mut needing) = (BTreeSet::new(), BTreeSet::new());
    let words = of_support();
    for file in sources(&folder) {
        let module = file.strip_prefix(&folder).unwrap().with_extension("");
        let module = module.to_str().unwrap().replace('/', "::");
        // This module itself names the programs.
        if module.starts_with("support") || module == "left_out" {
            continue;
        }
        let mut items = Items::default();
        items.read(&file, &module);
        needing.extend(items.reaching(&words).into_iter().map(str::to_owned));
        all.extend(items.tests.into_keys());
    }
    (all, needing)
}

/// The same for the unit tests of `adapters`.
fn of_adapters() -> (BTreeSet<String>, BTreeSet<String>) {
    let adapters = package().join("src/adapters");
    let words = [UNIT.to_owned(), program("docker-registry")].into();
    let (mut all, mut needing) = (BTreeSet::new(), BTreeSet::new());
    for (adapter, module) in [
        ("docker", "adapters::docker::tests"),
        ("registry", "adapters::registry::client::tests"),
    ] {
        let folder = adapters.join(adapter);
        let mut items = Items::default();
        for file in sources(&folder.join("tests")) {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let module = match name {
                "mod" => module.to_owned(),
                name => format!("{module}::{name}"),
            };
            items.read(&file, &module);
        }
        if folder.join("tests.rs").exists() {
            items.read(&folder.join("tests.rs"), module);
        }
        needing.extend(items.reaching(&words).into_iter().map(str::to_owned));
        all.extend(items.tests.into_keys());
    }
    (all, needing)
}

/// The prefixes of names that the head of the suite lists.
fn left_out() -> Vec<String> {
    let main = fs_err::read_to_string(package().join("tests/suite/main.rs")).unwrap();
    let lines = main.lines();
    let lists = lines.filter_map(|line| line.strip_prefix("//! fast leaves out "));
    let names = lists.flat_map(|list| list.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

#[test]
fn what_needs_a_daemon_or_a_registry_is_listed_and_nothing_else() {
    let list = left_out();
    let (mut all, mut needing) = of_suite();
    let (more, needing_more) = of_adapters();
    all.extend(more);
    needing.extend(needing_more);
    assert!(needing.len() > 80, "{needing:?}");
    let is_listed = |test: &&String| list.iter().any(|name| test.starts_with(name.as_str()));
    let unlisted: Vec<_> = needing.iter().filter(|test| !is_listed(test)).collect();
    let needless: Vec<_> = all.difference(&needing).filter(is_listed).collect();
    let names_nothing = |name: &&String| !all.iter().any(|test| test.starts_with(name.as_str()));
    let nothing: Vec<_> = list.iter().filter(names_nothing).collect();
    assert!(
        unlisted.is_empty() && needless.is_empty() && nothing.is_empty(),
        "to be listed in tests/suite/main.rs: {unlisted:#?}\nneed neither: {needless:#?}\nno test's name: {nothing:#?}"
    );
}

/// A daemon that is reached only by a helper of a helper, or in a macro, is found; one that is only mentioned is not.
#[test]
fn a_need_is_seen_through_what_is_called() {
    let text = "struct Case { root: Root }
        impl Case { fn new() -> Self { todo() } }
        fn case() -> Case { Case::new() }
        #[test] fn by_helper() { case(); }
        #[test] fn in_a_macro() { assert!(docker(&[]).is_empty(), \"{}\", 1); }
        #[test] fn by_program() { run(\"skopeo\"); }
        #[test] fn only_said() { assert!(says(\"docker \\\" Root\") && read(\"docker/Dockerfile\")); }";
    let mut items = Items::default();
    items.take(&syn::parse_file(text).unwrap().items, "m");
    let found = items.reaching(&of_support());
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["m::by_helper", "m::by_program", "m::in_a_macro"]
    );
}
