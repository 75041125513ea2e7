//! What a Python file says, in a form that can be kept.

use serde::{Deserialize, Serialize};

/// What one Python file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonCode {
    /// Why Python cannot read it.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SyntaxError>,
    /// What it imports, in its order.
    #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Import>,
    /// The names that it binds outside of functions and classes; `None` if they cannot be known.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// The names that it gives to modules that it imports: `module.name = …`.
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Whether it may put modules into itself that are no files.
    #[serde(rename = "h", default, skip_serializing_if = "is_default")]
    pub has_hidden_modules: bool,
    /// What it adds to the places where Python looks for modules.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<SearchPlace>,
}

/// A place in a file, from 1, in characters.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position(
    /// The line.
    pub u32,
    /// The column.
    pub u32,
);

/// Why a version of Python cannot read a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyntaxError {
    /// Where.
    pub at: Position,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to write.
    pub hint: Option<String>,
}

/// One import: a module, and what is taken from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Where the module is named.
    #[serde(rename = "a")]
    pub at: Position,
    /// The number of dots before the module's name.
    #[serde(rename = "l", default, skip_serializing_if = "is_zero")]
    pub level: u32,
    /// The module's name; empty in `from . import x`.
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub module: String,
    /// What `from` takes from it, modules or other names, without `*`.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<(Position, String)>,
    /// How it is written.
    #[serde(rename = "w", default, skip_serializing_if = "is_default")]
    pub form: Form,
    /// Whether the program goes on without it.
    #[serde(rename = "o", default, skip_serializing_if = "is_default")]
    pub need: Need,
}

/// How an import is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// `import a.b`.
    #[default]
    #[serde(rename = "i")]
    Import,
    /// `from a import b`.
    #[serde(rename = "f")]
    From,
    /// `importlib.import_module("a.b")` or `__import__("a.b")`.
    #[serde(rename = "c")]
    Call,
}

/// Whether a program goes on without a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Need {
    /// It does not.
    #[default]
    #[serde(rename = "n")]
    Needed,
    /// It does: an error is caught, or the import is for a type checker, another system or another Python.
    #[serde(rename = "o")]
    Optional,
    /// It is imported only if one of the imports with these numbers, from the first up to before the second, fails.
    #[serde(rename = "u")]
    Unless(u32, u32),
}

/// Where Python looks for modules too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SearchPlace {
    /// In the folder or archive of this path.
    #[serde(rename = "p")]
    Path(String),
    /// In a folder that the file's own path leads to.
    #[serde(rename = "f")]
    NearFile,
    /// Somewhere that only the running program knows.
    #[serde(rename = "a")]
    Anywhere,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
