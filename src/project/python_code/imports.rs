//! The imports of a file, and what else decides what can be imported.

use std::{collections::HashSet, sync::LazyLock};

use aho_corasick::{AhoCorasick, Input, MatchKind};
use ruff_python_ast::{
    Alias, ExceptHandler, Expr, ExprCall, Pattern, Stmt, StmtImportFrom, StmtTry, WithItem,
    visitor::{self, Visitor},
};
use ruff_text_size::{Ranged, TextSize};

use super::{
    code::{Form, Import, Need, Position, PythonCode, SearchPlace},
    conditions::{Truth, is_attribute, last_name, truth},
    text::LineBegins,
};

/// What a word in a file says about it.
#[derive(Clone, Copy, Default)]
struct Marks {
    /// Its expressions have to be looked at.
    reads_expressions: bool,
    /// It can bind names that do not stand in it.
    binds: bool,
    /// It can put modules into itself.
    hides: bool,
}

/// Words in a file that say something about it. No word begins with another one.
const WORDS: [(&str, Marks); 16] = [
    ("import_module", EXPRESSIONS),
    ("__import__", EXPRESSIONS),
    ("sys.path", EXPRESSIONS),
    ("path.insert", EXPRESSIONS),
    ("addsitedir", EXPRESSIONS),
    ("addPyFile", EXPRESSIONS),
    ("addArtifact", EXPRESSIONS),
    (":=", EXPRESSIONS),
    ("globals(", BINDING),
    ("locals(", BINDING),
    ("vars(", BINDING),
    ("setattr(", BINDING),
    ("sys.modules", BOTH),
    ("exec(", BOTH),
    ("__path__", HIDING),
    ("extend_path", HIDING),
];

const EXPRESSIONS: Marks = Marks {
    reads_expressions: true,
    binds: false,
    hides: false,
};
const BINDING: Marks = Marks {
    reads_expressions: false,
    binds: true,
    hides: false,
};
const HIDING: Marks = Marks {
    reads_expressions: false,
    binds: false,
    hides: true,
};
const BOTH: Marks = Marks {
    reads_expressions: false,
    binds: true,
    hides: true,
};

/// Finds all words in one go: a text is mostly longer than everything else that is asked about it.
static FINDER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasick::builder();
    builder.match_kind(MatchKind::LeftmostFirst);
    builder.build(WORDS.map(|(word, _)| word)).ok()
});

impl Marks {
    fn of(text: &str) -> Self {
        let mut all = Self::default();
        let mut add = |of: Self| {
            all.reads_expressions |= of.reads_expressions;
            all.binds |= of.binds;
            all.hides |= of.hides;
        };
        let Some(finder) = &*FINDER else {
            let there = WORDS.iter().filter(|(word, _)| text.contains(word));
            there.for_each(|(_, marks)| add(*marks));
            return all;
        };
        let mut from = 0;
        while let Some(found) = finder.find(Input::new(text).range(from..)) {
            add(WORDS[found.pattern()].1);
            // A word may begin in another one.
            from = found.start() + 1;
        }
        all
    }
}

/// The errors by which a program notices that a module is not there.
const ERRORS: [&str; 4] = [
    "ImportError",
    "ModuleNotFoundError",
    "Exception",
    "BaseException",
];

pub(super) fn of(text: &str, lines: &LineBegins, body: &[Stmt], python: (u8, u8)) -> PythonCode {
    let marks = Marks::of(text);
    let mut reader = CodeReader {
        text,
        lines,
        python,
        reads_expressions: marks.reads_expressions,
        imports: Vec::new(),
        names: Vec::new(),
        has_all_names: !marks.binds,
        search: Vec::new(),
        imported: HashSet::new(),
        given: Vec::new(),
    };
    reader.block(body, Surroundings::default());
    let CodeReader {
        imports,
        mut names,
        has_all_names,
        mut search,
        imported,
        given,
        ..
    } = reader;
    let given = given
        .into_iter()
        .filter(|(module, _)| imported.contains(module));
    let mut given: Vec<String> = given.map(|(_, name)| name).collect();
    given.sort_unstable();
    given.dedup();
    names.sort_unstable();
    names.dedup();
    search.sort_unstable();
    search.dedup();
    PythonCode {
        error: None,
        imports,
        names: has_all_names.then_some(names),
        given,
        has_hidden_modules: marks.hides,
        search,
    }
}

/// Where a statement stands.
#[derive(Clone, Copy, Default)]
struct Surroundings {
    need: Need,
    /// Whether it is in a function or a class.
    is_inside: bool,
}

impl Surroundings {
    fn optional(self) -> Self {
        Self {
            need: Need::Optional,
            ..self
        }
    }
}

struct CodeReader<'a> {
    text: &'a str,
    lines: &'a LineBegins,
    python: (u8, u8),
    reads_expressions: bool,
    imports: Vec<Import>,
    names: Vec<String>,
    has_all_names: bool,
    search: Vec<SearchPlace>,
    /// The names that its imports bind, anywhere.
    imported: HashSet<String>,
    /// What it assigns to names of others.
    given: Vec<(String, String)>,
}

impl CodeReader<'_> {
    fn position(&self, offset: TextSize) -> Position {
        self.lines.position(self.text, offset.to_usize())
    }

    fn block(&mut self, body: &[Stmt], context: Surroundings) {
        for statement in body {
            self.statement(statement, context);
            if matches!(
                statement,
                Stmt::Raise(_) | Stmt::Return(_) | Stmt::Continue(_) | Stmt::Break(_)
            ) {
                return;
            }
        }
    }

    fn statement(&mut self, statement: &Stmt, context: Surroundings) {
        if self.reads_expressions {
            Finder {
                reader: self,
                context,
            }
            .statement(statement);
        }
        if !context.is_inside {
            self.bind(statement);
        }
        match statement {
            Stmt::Import(import) => self.import(&import.names, context),
            Stmt::ImportFrom(import) => self.import_from(import, context),
            Stmt::FunctionDef(function) => self.block(&function.body, inside(context)),
            Stmt::ClassDef(class) => self.block(&class.body, inside(context)),
            Stmt::For(of) => {
                self.block(&of.body, context);
                self.block(&of.orelse, context);
            }
            Stmt::While(of) => {
                self.block(&of.body, context);
                self.block(&of.orelse, context);
            }
            Stmt::If(of) => {
                let first = (Some(&*of.test), &*of.body);
                let others = of.elif_else_clauses.iter();
                let others = others.map(|clause| (clause.test.as_ref(), &*clause.body));
                self.branches(std::iter::once(first).chain(others), context);
            }
            Stmt::With(with) => {
                let is_suppressing = with.items.iter().any(suppresses);
                let context = if is_suppressing {
                    context.optional()
                } else {
                    context
                };
                self.block(&with.body, context);
            }
            Stmt::Match(of) => {
                for case in &of.cases {
                    self.block(&case.body, context);
                }
            }
            Stmt::Try(of) => self.try_(of, context),
            Stmt::Assign(of) => of.targets.iter().for_each(|target| self.give(target)),
            Stmt::Global(global) => {
                let names = global.names.iter().map(|name| name.as_str().to_owned());
                self.names.extend(names);
            }
            _ => {}
        }
    }

    /// The branches of an `if`, as far as they can run.
    fn branches<'s>(
        &mut self,
        branches: impl Iterator<Item = (Option<&'s Expr>, &'s [Stmt])>,
        context: Surroundings,
    ) {
        let mut context = context;
        for (test, body) in branches {
            match test.map_or(Truth::Yes, |test| truth(test, self.python)) {
                Truth::Yes => {
                    self.block(body, context);
                    return;
                }
                Truth::No => {}
                Truth::Unknown => self.block(body, context),
                Truth::Asks => {
                    context = context.optional();
                    self.block(body, context);
                }
            }
        }
    }

    fn try_(&mut self, of: &StmtTry, context: Surroundings) {
        let is_caught = of.handlers.iter().any(catches_missing);
        let tried = if is_caught {
            context.optional()
        } else {
            context
        };
        let begin = self.imports.len();
        self.block(&of.body, tried);
        let end = self.imports.len();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        for handler in &of.handlers {
            let ExceptHandler::ExceptHandler(handler_of) = handler;
            let is_alternative = catches_missing(handler) && begin < end;
            let context = match context.need {
                Need::Needed if is_alternative => Surroundings {
                    need: Need::Unless(number(begin), number(end)),
                    ..context
                },
                _ => context,
            };
            self.block(&handler_of.body, context);
        }
        self.block(&of.orelse, tried);
        self.block(&of.finalbody, context);
    }

    fn import(&mut self, names: &[Alias], context: Surroundings) {
        for alias in names {
            self.imported.insert(bound_by_import(alias).to_owned());
            self.imports.push(Import {
                at: self.position(alias.name.range().start()),
                module: alias.name.as_str().to_owned(),
                need: context.need,
                ..Import::default()
            });
        }
    }

    fn import_from(&mut self, import: &StmtImportFrom, context: Surroundings) {
        let module = import.module.as_ref();
        let begin = module.map_or_else(|| self.after_from(import), |name| name.range().start());
        if import.names.iter().any(|alias| alias.name.as_str() == "*") && !context.is_inside {
            self.has_all_names = false;
        }
        let bound = import.names.iter().map(bound_by_from);
        self.imported.extend(bound.map(str::to_owned));
        let names = import
            .names
            .iter()
            .filter(|alias| alias.name.as_str() != "*");
        let names = names.map(|alias| {
            let at = self.position(alias.name.range().start());
            (at, alias.name.as_str().to_owned())
        });
        let names = names.collect();
        self.imports.push(Import {
            at: self.position(begin),
            level: import.level,
            module: module.map_or_else(String::new, |name| name.as_str().to_owned()),
            names,
            form: Form::From,
            need: context.need,
        });
    }

    /// Where the dots of `from . import x` begin.
    fn after_from(&self, import: &StmtImportFrom) -> TextSize {
        let begin = import.range().start();
        let text = self.text.get(begin.to_usize()..).unwrap_or_default();
        let dots = text.find('.').and_then(|at| u32::try_from(at).ok());
        begin + TextSize::new(dots.unwrap_or_default())
    }

    /// The names that a statement outside of functions and classes binds.
    fn bind(&mut self, statement: &Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                let name = function.name.as_str();
                if name == "__getattr__" {
                    self.has_all_names = false;
                }
                self.names.push(name.to_owned());
            }
            Stmt::ClassDef(class) => self.names.push(class.name.as_str().to_owned()),
            Stmt::Assign(of) => of.targets.iter().for_each(|target| self.target(target)),
            Stmt::AugAssign(of) => self.target(&of.target),
            Stmt::AnnAssign(of) => self.target(&of.target),
            Stmt::TypeAlias(of) => self.target(&of.name),
            Stmt::For(of) => self.target(&of.target),
            Stmt::With(of) => {
                let targets = of
                    .items
                    .iter()
                    .filter_map(|item| item.optional_vars.as_deref());
                targets.for_each(|target| self.target(target));
            }
            Stmt::Match(of) => of.cases.iter().for_each(|case| self.pattern(&case.pattern)),
            Stmt::Try(of) => {
                for ExceptHandler::ExceptHandler(handler) in &of.handlers {
                    let name = handler.name.as_ref();
                    self.names.extend(name.map(|name| name.as_str().to_owned()));
                }
            }
            Stmt::Import(import) => {
                let bound = import.names.iter().map(bound_by_import);
                self.names.extend(bound.map(str::to_owned));
            }
            Stmt::ImportFrom(import) => {
                let bound = import.names.iter().map(bound_by_from);
                self.names.extend(bound.map(str::to_owned));
            }
            _ => {}
        }
    }

    /// Notes an assignment to a name of something else.
    fn give(&mut self, target: &Expr) {
        if let Expr::Attribute(attribute) = target
            && let Expr::Name(of) = &*attribute.value
            && !matches!(of.id.as_str(), "self" | "cls")
        {
            let name = attribute.attr.as_str().to_owned();
            self.given.push((of.id.as_str().to_owned(), name));
        }
    }

    fn target(&mut self, target: &Expr) {
        match target {
            Expr::Name(name) => self.names.push(name.id.as_str().to_owned()),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|part| self.target(part)),
            Expr::List(list) => list.elts.iter().for_each(|part| self.target(part)),
            Expr::Starred(starred) => self.target(&starred.value),
            _ => {}
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        // What a case binds is not worth being followed: no name is then missed.
        if !matches!(pattern, Pattern::MatchValue(_) | Pattern::MatchSingleton(_)) {
            self.has_all_names = false;
        }
    }
}

/// The name that `import a.b` or `import a as b` binds.
fn bound_by_import(alias: &Alias) -> &str {
    let name = bound_by_from(alias);
    name.split('.').next().unwrap_or(name)
}

/// The name that `from x import a` or `from x import a as b` binds.
fn bound_by_from(alias: &Alias) -> &str {
    alias.asname.as_ref().unwrap_or(&alias.name).as_str()
}

fn inside(context: Surroundings) -> Surroundings {
    Surroundings {
        is_inside: true,
        ..context
    }
}

/// Whether a handler catches the error of an import.
fn catches_missing(handler: &ExceptHandler) -> bool {
    let ExceptHandler::ExceptHandler(handler) = handler;
    handler.type_.as_deref().is_none_or(is_of_missing)
}

fn is_of_missing(error: &Expr) -> bool {
    match error {
        Expr::Tuple(tuple) => tuple.elts.iter().any(is_of_missing),
        // Of a name that is bound elsewhere nobody knows which errors it stands for.
        Expr::Name(name) => ERRORS.contains(&name.id.as_str()) || !name.id.ends_with("Error"),
        Expr::Attribute(attribute) => ERRORS.contains(&attribute.attr.as_str()),
        _ => true,
    }
}

/// Whether a `with` goes on after a failed import.
fn suppresses(item: &WithItem) -> bool {
    let Expr::Call(call) = &item.context_expr else {
        return false;
    };
    match last_name(&call.func) {
        Some("suppress") => call.arguments.args.iter().any(is_of_missing),
        Some("raises") => true,
        _ => false,
    }
}

/// Finds calls in the expressions of one statement.
struct Finder<'r, 'a> {
    reader: &'r mut CodeReader<'a>,
    context: Surroundings,
}

impl Finder<'_, '_> {
    fn statement(&mut self, statement: &Stmt) {
        visitor::walk_stmt(self, statement);
        let assigned = match statement {
            Stmt::Assign(of) => of.targets.iter().any(is_sys_path),
            Stmt::AugAssign(of) => is_sys_path(&of.target),
            _ => false,
        };
        if assigned {
            let place = self.unknown_place();
            self.reader.search.push(place);
        }
    }

    fn call(&mut self, call: &ExprCall) {
        let name = last_name(&call.func);
        match name {
            Some("import_module") => self.dynamic(call),
            Some("__import__") if matches!(*call.func, Expr::Name(_)) => self.dynamic(call),
            Some("addPyFile" | "addArtifact" | "addArtifacts") => {
                self.reader.search.push(SearchPlace::Anywhere);
            }
            Some("addsitedir") => self.search(call),
            Some("insert" | "append" | "extend") => {
                if let Expr::Attribute(method) = &*call.func
                    && is_sys_path(&method.value)
                {
                    self.search(call);
                }
            }
            _ => {}
        }
    }

    fn dynamic(&mut self, call: &ExprCall) {
        let arguments = &call.arguments;
        let Some(Expr::StringLiteral(literal)) = arguments.args.first() else {
            return;
        };
        let text = literal.value.to_str();
        let module = text.trim_start_matches('.');
        let level = text.len() - module.len();
        let is_import_module = last_name(&call.func) == Some("import_module");
        let package = match (&*arguments.args, &*arguments.keywords) {
            ([_], []) => None,
            ([_, package], []) if is_import_module => Some(package),
            ([_], [keyword]) if is_import_module => Some(&keyword.value),
            // `__import__` with more says what is taken from the module, or from which package.
            ([_, ..], []) if arguments.args.len() < 5 && level == 0 => None,
            _ => return,
        };
        let is_own = package.is_some_and(|package| last_name(package) == Some("__package__"));
        let is_name = |part: &str| {
            !part.is_empty() && part.chars().all(|one| one.is_alphanumeric() || one == '_')
        };
        if (level > 0 && !is_own) || !module.split('.').all(is_name) {
            return;
        }
        self.reader.imports.push(Import {
            at: self.reader.position(literal.range().start()),
            level: u32::try_from(level).unwrap_or(u32::MAX),
            module: module.to_owned(),
            names: Vec::new(),
            form: Form::Call,
            need: self.context.need,
        });
    }

    fn search(&mut self, call: &ExprCall) {
        let place = match call.arguments.args.last() {
            Some(Expr::StringLiteral(literal)) => {
                SearchPlace::Path(literal.value.to_str().to_owned())
            }
            _ => self.unknown_place(),
        };
        self.reader.search.push(place);
    }

    fn unknown_place(&self) -> SearchPlace {
        if self.reader.text.contains("__file__") {
            SearchPlace::NearFile
        } else {
            SearchPlace::Anywhere
        }
    }
}

impl<'v> Visitor<'v> for Finder<'_, '_> {
    /// Statements in a statement are visited by whoever knows where they stand.
    fn visit_stmt(&mut self, _: &'v Stmt) {}

    fn visit_expr(&mut self, expression: &'v Expr) {
        match expression {
            Expr::Call(call) => self.call(call),
            Expr::Named(named) => self.reader.target(&named.target),
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}

fn is_sys_path(expression: &Expr) -> bool {
    is_attribute(expression, "sys", "path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_wherever_it_stands() {
        for (one, marks) in WORDS {
            for (other, of_other) in WORDS {
                assert!(one == other || !one.starts_with(other), "{one} {other}");
                // Also where the second one begins in the first one: `import_modulexec(`.
                for shared in 0..one.len().min(other.len()) {
                    if !one.ends_with(&other[..shared]) {
                        continue;
                    }
                    let found = Marks::of(&format!("é{one}{}", &other[shared..]));
                    let says = |of: Marks| [of.reads_expressions, of.binds, of.hides];
                    for (found, wanted) in says(found).into_iter().zip(says(marks)) {
                        assert!(found || !wanted, "{one} {other}");
                    }
                    for (found, wanted) in says(found).into_iter().zip(says(of_other)) {
                        assert!(found || !wanted, "{one} {other}");
                    }
                }
            }
        }
        let none = Marks::of("import os\nimport sys\nos.path.join(x)\n");
        assert!(!none.reads_expressions && !none.binds && !none.hides);
    }
}
