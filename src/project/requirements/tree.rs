//! A TOML file of another tool: read where a value is wanted, with its place, whatever else the file holds.

use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{
    code::Code,
    project::place::{Defect, Place},
};

/// A file's name and text.
#[derive(Clone, Copy)]
pub(super) struct FileText<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl<'a> FileText<'a> {
    pub(super) fn place(&self, offset: usize) -> Place {
        Place::of_offset(self.file, self.text, offset)
    }

    /// The file as a table.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>, Defect> {
        DeTable::parse(self.text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let message = format!("the file is no TOML: {}", error.message().trim());
            Defect::new(Code::E162, self.place(offset), message).hint("mend that line")
        })
    }
}

/// A value in a file.
#[derive(Clone, Copy)]
pub(super) struct TomlValue<'a> {
    pub(super) value: &'a DeValue<'a>,
    pub(super) offset: usize,
}

impl<'a> TomlValue<'a> {
    /// The value of a key of the file's table.
    pub(super) fn of(table: &'a DeTable<'a>, key: &str) -> Option<Self> {
        table.get(key).map(Self::new)
    }

    fn new(value: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            value: value.get_ref(),
            offset: value.span().start,
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        self.value.as_table()?.get(key).map(Self::new)
    }

    /// The value at a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(*self, |node, key| node.get(key))
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The text of a key's value.
    pub(super) fn text_at(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.text()
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    /// The members of a list.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        self.value.as_array().into_iter().flatten().map(Self::new)
    }

    /// The members of a list below a key.
    pub(super) fn items_at(&self, key: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.get(key).into_iter().flat_map(|list| list.items())
    }

    /// The texts of a list below a key.
    pub(super) fn texts_at(&self, key: &str) -> Vec<&'a str> {
        self.items_at(key).filter_map(|item| item.text()).collect()
    }

    /// The keys of a table, each with its offset and its value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, usize, Self)> + use<'a> {
        let table = self.value.as_table().into_iter().flat_map(DeTable::iter);
        table.map(|(key, value)| (key.get_ref().as_ref(), key.span().start, Self::new(value)))
    }

    /// The keys of a table below a key.
    pub(super) fn entries_at(
        &self,
        key: &str,
    ) -> impl Iterator<Item = (&'a str, usize, Self)> + use<'a> {
        self.get(key).into_iter().flat_map(|table| table.entries())
    }
}
