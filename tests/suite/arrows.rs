//! The architecture: which layer, room and file uses which, how many types share a name, who prints, how long a verb
//! is, and that no behaviour depends on codes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use syn::visit::{self, Visit};
use walkdir::WalkDir;

/// Each layer uses only those before it.
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

/// The rooms of `operations/` by their floors: each uses only rooms on lower floors.
const ROOMS: [(&str, usize); 14] = [
    ("events", 0),
    ("scaffold", 0),
    ("adoption", 1),
    ("workspace", 1),
    ("resolution", 2),
    ("diagnosis", 3),
    ("dist", 3),
    ("ejection", 3),
    ("provenance", 3),
    ("manifests", 3),
    ("build", 4),
    ("compare", 4),
    ("publish", 5),
    ("running", 5),
];

/// Names that were once used for up to seven types.
const WORST: [&str; 12] = [
    "Document", "Image", "Found", "Entry", "Wanted", "Change", "Line", "Source", "Context", "Kind",
    "Question", "Row",
];

/// A source file, with the paths that it uses and the types that it defines outside of its tests.
#[derive(Default)]
struct File {
    /// Its path below `src`.
    path: String,
    /// Its module path, as `operations::build::stage`.
    module: Vec<String>,
    /// The paths that it uses, from the crate's root.
    uses: BTreeSet<Vec<String>>,
    /// Its re-exports: the name here, and the path from the crate's root.
    exports: BTreeMap<String, Vec<String>>,
    types: Vec<String>,
    lines: usize,
}

struct Visitor<'a> {
    file: &'a mut File,
    /// The inner modules that the visitor is in.
    inner: Vec<String>,
}

impl Visitor<'_> {
    /// A path from the crate's root; `None` for a path of another crate or a local name.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut module = [self.file.module.clone(), self.inner.clone()].concat();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    module.pop();
                    rest = &rest[1..];
                }
                return Some([module, rest.to_vec()].concat());
            }
            _ => return None,
        }
        Some([module, rest[1..].to_vec()].concat())
    }

    fn leaves(prefix: &[String], tree: &syn::UseTree, found: &mut Vec<(Vec<String>, String)>) {
        let with = |name: String| [prefix.to_vec(), vec![name]].concat();
        match tree {
            syn::UseTree::Path(path) => {
                Self::leaves(&with(path.ident.to_string()), &path.tree, found);
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                found.push((prefix.to_vec(), prefix.last().cloned().unwrap_or_default()));
            }
            syn::UseTree::Name(name) => {
                found.push((with(name.ident.to_string()), name.ident.to_string()));
            }
            syn::UseTree::Rename(rename) => {
                found.push((with(rename.ident.to_string()), rename.rename.to_string()));
            }
            syn::UseTree::Glob(_) => found.push((prefix.to_vec(), String::new())),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    Self::leaves(prefix, tree, found);
                }
            }
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = |meta: &syn::MetaList| meta.tokens.to_string().contains("test");
        attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(is_test)
    })
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => return self.visit_others(item),
        };
        if !is_test(attributes) {
            self.visit_others(item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.inner.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.inner.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        Self::leaves(&[], &item.tree, &mut leaves);
        for (path, name) in leaves {
            let own = [self.file.module.clone(), path.clone()].concat();
            match (self.absolute(&path), &item.vis) {
                (found, syn::Visibility::Inherited) => {
                    // A child of the file's own module can be named without `self`.
                    self.file.uses.insert(found.unwrap_or(own));
                }
                (found, _) => {
                    self.file.exports.insert(name, found.unwrap_or(own));
                }
            }
        }
    }

    /// `pub(super)` names the parent, but does not use it.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        let segments: Vec<String> = segments.map(|segment| segment.ident.to_string()).collect();
        self.file.uses.extend(self.absolute(&segments));
        visit::visit_path(self, path);
    }
}

impl Visitor<'_> {
    fn visit_others(&mut self, item: &syn::Item) {
        let name = match item {
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Enum(item) => Some(&item.ident),
            syn::Item::Trait(item) => Some(&item.ident),
            syn::Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        self.file.types.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }
}

/// All files of the crate, except for those that consist of tests.
fn files() -> Vec<File> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for entry in WalkDir::new(&source).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(&source).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let is_tests = path.contains("/tests")
            || path.contains("/fakes/")
            || ["testing", "fakes", "examples"]
                .iter()
                .any(|end| path.ends_with(&format!("{end}.rs")));
        let is_rust = entry.path().extension().is_some_and(|end| end == "rs");
        if !is_rust || is_tests {
            continue;
        }
        let text = fs_err::read_to_string(entry.path()).unwrap();
        let mut module: Vec<String> = path
            .trim_end_matches(".rs")
            .split('/')
            .map(str::to_owned)
            .collect();
        if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
            module.pop();
        }
        let mut file = File {
            path,
            module,
            lines: code_lines(&text),
            ..File::default()
        };
        let tree = syn::parse_file(&text).unwrap();
        let mut visitor = Visitor {
            file: &mut file,
            inner: Vec::new(),
        };
        visitor.visit_file(&tree);
        files.push(file);
    }
    assert!(files.len() > 150, "only {} files were found", files.len());
    files
}

/// The number of lines that are neither empty nor comments, without the tests at the end.
fn code_lines(text: &str) -> usize {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

/// The file that a path leads to, through re-exports.
fn target<'f>(files: &'f [File], path: &[String]) -> Option<&'f File> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let within = files
            .iter()
            .filter(|file| !file.module.is_empty() && path.starts_with(&file.module))
            .max_by_key(|file| file.module.len())?;
        let next = path.get(within.module.len());
        match next.and_then(|name| within.exports.get(name)) {
            Some(exported) if *exported != path => {
                let rest = path[within.module.len() + 1..].to_vec();
                path = [exported.clone(), rest].concat();
            }
            _ => return Some(within),
        }
    }
    None
}

/// The files that each file uses.
fn edges(files: &[File]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        let used = file.uses.iter().filter_map(|path| target(files, path));
        let used = used.map(|used| used.path.as_str());
        let used = used.filter(|used| *used != file.path);
        edges.entry(&file.path).or_default().extend(used);
    }
    edges
}

/// All files that a file uses, directly or indirectly.
fn reached<'e>(edges: &BTreeMap<&'e str, BTreeSet<&'e str>>, from: &'e str) -> BTreeSet<&'e str> {
    let (mut reached, mut queue) = (BTreeSet::new(), vec![from]);
    while let Some(next) = queue.pop() {
        let used = edges.get(next).into_iter().flatten();
        queue.extend(used.filter(|used| reached.insert(**used)));
    }
    reached
}

#[test]
fn a_layer_uses_only_layers_before_it() {
    let files = files();
    let position = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for file in &files {
        let Some(own) = file.module.first().and_then(|name| position(name)) else {
            continue;
        };
        for path in &file.uses {
            checked += 1;
            let used = path.first().and_then(|name| position(name));
            let is_cli = path.first().is_some_and(|name| name == "cli");
            if used.is_some_and(|used| used > own) || is_cli && own < LAYERS.len() - 1 {
                wrong.push(format!("{} uses {}", file.path, path.join("::")));
            }
        }
    }
    assert!(checked > 1_000, "only {checked} uses were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_room_of_operations_uses_only_rooms_of_floors_below() {
    let files = files();
    let floor = |path: &[String]| {
        let room = (path.first()? == "operations").then(|| path.get(1))??;
        ROOMS.iter().find(|(name, _)| name == room)
    };
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for file in &files {
        let Some((own, own_floor)) = floor(&file.module) else {
            let is_room = file.module.first().is_some_and(|name| name == "operations");
            assert!(
                !is_room || file.module.len() < 2,
                "{} is in no room",
                file.path
            );
            continue;
        };
        for path in &file.uses {
            let Some((used, used_floor)) = floor(path).filter(|(used, _)| used != own) else {
                continue;
            };
            checked += 1;
            if used_floor >= own_floor {
                wrong.push(format!("{} uses {used}: {}", file.path, path.join("::")));
            }
        }
    }
    assert!(checked > 30, "only {checked} uses were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_imports_itself_through_others() {
    let files = files();
    let edges = edges(&files);
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > 500);
    let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
    for file in edges.keys() {
        let own = reached(&edges, file);
        if own.contains(file) {
            let circle = own
                .iter()
                .filter(|other| reached(&edges, other).contains(file));
            circles.insert(circle.copied().collect());
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_type_name_stands_for_at_most_two_things() {
    let files = files();
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in &files {
        for name in &file.types {
            places.entry(name).or_default().push(&file.path);
        }
    }
    assert!(places.len() > 300, "only {} types were found", places.len());
    let allowed = |name: &str| if WORST.contains(&name) { 1 } else { 2 };
    let wrong: Vec<_> = places
        .iter()
        .filter(|(name, places)| places.len() > allowed(name))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_verb_is_short() {
    let files = files();
    let verbs = files
        .iter()
        .filter(|file| file.path.starts_with("commands/"));
    let verbs: Vec<_> = verbs.map(|file| (file.lines, &file.path)).collect();
    let sum: usize = verbs.iter().map(|(lines, _)| lines).sum();
    assert!(verbs.len() > 10 && sum <= 3_000, "{sum} lines in {verbs:?}");
    let long: Vec<_> = verbs.iter().filter(|(lines, _)| *lines > 250).collect();
    assert!(long.is_empty(), "{long:?}");
}

/// Lints keep `print!` out of everything but `ui`. This test finds code that writes to the standard streams without it.
#[test]
fn only_ui_prints() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files() {
        let text = fs_err::read_to_string(source.join(&file.path)).unwrap();
        let prints = ["io::stdout(", "io::stderr(", "println!(", "eprint!("];
        if !file.path.starts_with("ui/") && prints.iter().any(|print| text.contains(print)) {
            wrong.push(file.path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The places where a decision depends on a particular code.
#[derive(Default)]
struct CodeComparisons(Vec<String>);

/// Whether an expression names a code: as a path, or as a text.
#[derive(Default)]
struct NamesCode(bool);

/// Whether a text has the form of a code such as `E084`.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix(['E', 'W']);
    digits.is_some_and(|rest| rest.len() == 3 && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a macro's tokens name a code.
fn tokens_name_code(tokens: &impl ToString) -> bool {
    let text = tokens.to_string();
    let mut words = text.split(|character: char| !character.is_ascii_alphanumeric());
    words.any(is_code)
}

impl<'ast> Visit<'ast> for NamesCode {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let last = path.segments.last();
        self.0 |= last.is_some_and(|last| is_code(&last.ident.to_string()));
        visit::visit_path(self, path);
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.0 |= is_code(&text.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.0 |= tokens_name_code(&call.tokens);
    }
}

fn names_code(expression: &syn::Expr) -> bool {
    let mut names = NamesCode::default();
    names.visit_expr(expression);
    names.0
}

impl<'ast> Visit<'ast> for CodeComparisons {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs[..],
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        use syn::BinOp::{Eq, Ge, Gt, Le, Lt, Ne};
        let compares = matches!(binary.op, Eq(_) | Ne(_) | Lt(_) | Le(_) | Gt(_) | Ge(_));
        if compares && (names_code(&binary.left) || names_code(&binary.right)) {
            self.0.push("a comparison".to_owned());
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let compares = ["contains", "eq", "ne", "cmp", "starts_with", "ends_with"];
        let name = call.method.to_string();
        let is_about_codes = || names_code(&call.receiver) || call.args.iter().any(names_code);
        if compares.contains(&name.as_str()) && is_about_codes() {
            self.0.push(format!("`{name}`"));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        let mut names = NamesCode::default();
        names.visit_pat(pattern);
        if names.0 {
            self.0.push("a pattern".to_owned());
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.is_ident("matches") && tokens_name_code(&call.tokens) {
            self.0.push("`matches!`".to_owned());
        }
    }
}

/// The places in a text, outside of its tests, where a decision depends on a particular code.
fn code_comparisons(text: &str) -> Vec<String> {
    let mut comparisons = CodeComparisons::default();
    comparisons.visit_file(&syn::parse_file(text).unwrap());
    comparisons.0
}

/// Codes are for people and scripts; a run's behaviour depends on types. Only the table of codes, and hints that are
/// made from it, treat one code differently from another. Comparing two codes for equality is allowed.
#[test]
fn nothing_depends_on_which_code_an_error_has() {
    for wrong in [
        "fn f() -> bool { defect.code != Code::E033 }",
        "fn f() -> bool { error.code() == super::Code::E035 }",
        "fn f() -> bool { error.code().as_str() == \"E035\" }",
        "fn f() -> bool { [Code::E001, Code::W101].contains(&code) }",
        "fn f() -> bool { matches!(code, Code::E022 | Code::E025) }",
        "fn f() { match code { Code::E022 => {} _ => {} } }",
        "fn f() { if let Some(Code::E022) = code {} }",
    ] {
        assert_eq!(code_comparisons(wrong).len(), 1, "{wrong}");
    }
    for right in [
        "fn f() -> Code { match error { Error::A => Code::E022, Error::B => Code::E023 } }",
        "#[cfg(test)] mod tests { fn f() -> bool { error.code() == Code::E035 } }",
        "fn f() -> bool { one.code == other.code }",
    ] {
        assert!(code_comparisons(right).is_empty(), "{right}");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files() {
        if ["code.rs", "error.rs"].contains(&file.path.as_str()) {
            continue;
        }
        let text = fs_err::read_to_string(source.join(&file.path)).unwrap();
        let found = code_comparisons(&text);
        wrong.extend(found.iter().map(|what| format!("{}: {what}", file.path)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
