//! What is known of the variables that an instruction sees. A base image from elsewhere has variables of its own, and
//! builders do not agree on what wins where an `ARG` and an `ENV` have the same name.

use std::{cell::Cell, collections::BTreeMap};

use super::words::{self, Unexpanded, Variable};

/// What is known of a variable.
#[derive(Clone, PartialEq, Eq)]
enum Certainty {
    /// Its value.
    Value(Expanded),
    /// It is declared and has no value, unless the base image gives it one.
    Nothing,
    /// Anything.
    Unknown,
}

/// A text after expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether every builder expands it so. Otherwise `BuildKit` does.
    pub(super) is_certain: bool,
}

/// The variables that an instruction sees.
#[derive(Clone, Default)]
pub(super) struct Scope {
    arguments: BTreeMap<String, Certainty>,
    environment: BTreeMap<String, Certainty>,
    /// Whether the base image may have any variable.
    has_base: bool,
}

impl Scope {
    /// That of a stage on an image.
    pub(super) fn on_image() -> Self {
        Self {
            has_base: true,
            ..Self::default()
        }
    }

    /// That of a stage on `scratch`, where builders set the search path.
    pub(super) fn on_scratch() -> Self {
        let mut scope = Self::default();
        scope.forget("PATH");
        scope
    }

    /// That of a stage on this one. Not every builder passes arguments on.
    pub(super) fn of_child(&self) -> Self {
        let mut scope = self.clone();
        for known in scope.arguments.values_mut() {
            if let Certainty::Value(value) = known {
                value.is_certain = false;
            }
        }
        scope
    }

    /// Defines an argument of the builder itself, whose value is known only if it is given.
    pub(super) fn predefine(&mut self, name: &str, given: Option<&String>) {
        let known = given.map_or(Certainty::Unknown, |value| {
            Certainty::Value(Expanded {
                text: value.clone(),
                is_certain: true,
            })
        });
        self.arguments.insert(name.to_owned(), known);
    }

    /// Reads an `ARG` before the first `FROM`, with the value that is given and the default.
    pub(super) fn declare_global(
        &mut self,
        name: &str,
        (given, default): (Option<&String>, Option<&str>),
        escape: char,
    ) {
        let known = self.assigned(given, default, escape);
        match (known, self.arguments.get(name)) {
            (Certainty::Nothing, Some(_)) => {}
            (known, before) => {
                // A builder may prefer its own value to a default.
                let is_certain = before.is_none() || given.is_some();
                self.arguments
                    .insert(name.to_owned(), known.at_most(is_certain));
            }
        }
    }

    /// Reads an `ARG` of a stage, with the value that is given and the default; `outer` are the arguments before the
    /// first `FROM`.
    pub(super) fn declare(
        &mut self,
        name: &str,
        (given, default): (Option<&String>, Option<&str>),
        outer: &Self,
        escape: char,
    ) {
        let outside = outer.arguments.get(name);
        let known = match (self.assigned(given, default, escape), outside) {
            (Certainty::Nothing, Some(outside)) => outside.clone(),
            (Certainty::Value(value), Some(Certainty::Unknown)) if given.is_none() => {
                Certainty::Value(value).at_most(false)
            }
            (known, _) => known,
        };
        let known = match (known, self.arguments.get(name)) {
            (Certainty::Nothing, Some(Certainty::Value(_) | Certainty::Unknown)) => {
                Certainty::Unknown
            }
            (known, _) => known.at_most(!self.has_base),
        };
        let is_same = match (&known, self.environment.get(name)) {
            (Certainty::Value(own), Some(Certainty::Value(other))) => own.text == other.text,
            (Certainty::Nothing, _) | (_, None) => true,
            _ => false,
        };
        if !is_same {
            self.forget(name);
        }
        self.arguments.insert(name.to_owned(), known);
    }

    /// Reads an `ENV`. All its assignments see the variables as they were before it.
    pub(super) fn set(&mut self, assignments: Vec<(String, Option<String>)>, escape: char) {
        let before = self.clone();
        for (name, value) in assignments {
            let value = value.and_then(|text| before.expand(&text, escape).ok());
            let known = value.map_or(Certainty::Unknown, Certainty::Value);
            self.environment.insert(name, known);
        }
    }

    /// From here on the variable may have any value.
    pub(super) fn forget(&mut self, name: &str) {
        self.environment.insert(name.to_owned(), Certainty::Unknown);
    }

    /// Expands the variables of a text.
    pub(super) fn expand(&self, text: &str, escape: char) -> Result<Expanded, Unexpanded> {
        let is_certain = Cell::new(true);
        let text = words::expand(text, escape, &|name| self.lookup(name, &is_certain))?;
        Ok(Expanded {
            text,
            is_certain: is_certain.get(),
        })
    }

    fn lookup(&self, name: &str, is_certain: &Cell<bool>) -> Variable {
        let known = self.environment.get(name);
        match known.or_else(|| self.arguments.get(name)) {
            Some(Certainty::Value(value)) => {
                is_certain.set(is_certain.get() && value.is_certain);
                Variable::Value(value.text.clone())
            }
            Some(Certainty::Unknown) => Variable::Unknown,
            Some(Certainty::Nothing) | None if self.has_base => Variable::Unknown,
            Some(Certainty::Nothing) => Variable::NoValue,
            None => Variable::Undeclared,
        }
    }

    /// The value that is given, or else the default, in which builders expand what nobody declares to nothing.
    fn assigned(&self, given: Option<&String>, default: Option<&str>, escape: char) -> Certainty {
        if let Some(given) = given {
            return Certainty::Value(Expanded {
                text: given.clone(),
                is_certain: true,
            });
        }
        let Some(default) = default else {
            return Certainty::Nothing;
        };
        let is_certain = Cell::new(true);
        let lookup = |name: &str| match self.lookup(name, &is_certain) {
            Variable::Undeclared => Variable::Value(String::new()),
            known => known,
        };
        match words::expand(default, escape, &lookup) {
            Ok(text) => Certainty::Value(Expanded {
                text,
                is_certain: is_certain.get(),
            }),
            Err(_) => Certainty::Unknown,
        }
    }
}

impl Certainty {
    /// The same, and certain only if it may be.
    fn at_most(self, may_be_certain: bool) -> Self {
        match self {
            Self::Value(value) => Self::Value(Expanded {
                is_certain: value.is_certain && may_be_certain,
                ..value
            }),
            other => other,
        }
    }
}
