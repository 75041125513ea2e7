//! The package indexes that a `pyproject.toml` names, for uv and for Poetry, and which package comes from which.

use super::{
    PackageIndex, PackageOrigins,
    from_source::location_in,
    masked,
    origins::is_public,
    pieces::{Wrong, refuse_credentials, unpinnable},
    tree::{FileText, TomlValue},
};
use crate::{
    code::Code,
    project::{place::nearest, wheel::normalise},
};

/// The indexes that a file's tables of tools name, and what is wrong with them, each at an offset.
pub(super) fn of_tools(
    tools: Option<TomlValue<'_>>,
    text: &FileText<'_>,
) -> (PackageOrigins, Vec<(Wrong, usize)>) {
    let mut found = (PackageOrigins::default(), Vec::new());
    let uv = tools.and_then(|tools| tools.get("uv")).into_iter();
    for table in uv.flat_map(|uv| uv.items_at("index")) {
        let is = |key: &str| table.get(key).is_some_and(|value| value.is_true());
        add(&mut found, table, (is("default"), is("explicit")), text);
    }
    let poetry = tools.and_then(|tools| tools.get("poetry")).into_iter();
    for table in poetry.flat_map(|poetry| poetry.items_at("source")) {
        let priority = table.text_at("priority").unwrap_or("primary");
        let is_main = ["primary", "default"].contains(&priority) && found.0.main.is_none();
        add(&mut found, table, (is_main, priority == "explicit"), text);
    }
    found
}

fn add(
    (origins, wrong): &mut (PackageOrigins, Vec<(Wrong, usize)>),
    table: TomlValue<'_>,
    (is_main, is_explicit): (bool, bool),
    text: &FileText<'_>,
) {
    // Poetry names the public index without a URL.
    let Some(node) = table.get("url") else {
        return;
    };
    let url = node.text().unwrap_or_default();
    if let Err(found) = refuse_credentials(url, 0) {
        wrong.push((found, node.offset + 1));
    }
    let number = origins.others.len() + 1;
    let name = table.text_at("name");
    let index = PackageIndex {
        name: name.map_or_else(|| format!("index-{number}"), str::to_owned),
        url: url.to_owned(),
        is_explicit,
        place: text.place(node.offset),
    };
    if is_main && !is_public(url) {
        origins.main = Some(index);
    } else if !is_main {
        origins.others.push(index);
    }
}

/// Where uv's `sources` say that a package comes from.
pub(super) enum UvSource {
    Usual,
    /// The name of an index.
    Index(String),
    /// The path or URL of a file, or a repository.
    Place(String),
}

/// Where a package comes from, by uv's `sources`; `Err` if that cannot be locked.
pub(super) fn of_uv(
    sources: Option<TomlValue<'_>>,
    package: &str,
    origins: &PackageOrigins,
) -> Result<UvSource, (Wrong, usize)> {
    let mut sources = sources.into_iter().flat_map(|table| table.entries());
    let Some((_, offset, value)) = sources.find(|(name, ..)| normalise(name) == package) else {
        return Ok(UvSource::Usual);
    };
    if let Some(place) = location_in(&value) {
        return Ok(UvSource::Place(place));
    }
    let several: Vec<TomlValue<'_>> = value.items().collect();
    let each = if several.is_empty() {
        vec![value]
    } else {
        several
    };
    let mut names = Vec::new();
    for source in &each {
        match source.text_at("index") {
            Some(name) => names.push(known(name, origins).map_err(|wrong| (wrong, offset))?),
            None => return Err((elsewhere(package, source), offset)),
        }
    }
    names.dedup();
    if names.len() > 1 {
        let wrong = Wrong::new(
            Code::E170,
            0,
            format!("`{package}` comes from several indexes"),
        );
        return Err((wrong.hint("name one index for it"), offset));
    }
    Ok(names.pop().map_or(UvSource::Usual, UvSource::Index))
}

/// The name of an index, if there is one of that name.
pub(super) fn known(name: &str, origins: &PackageOrigins) -> Result<String, Wrong> {
    if let Some(index) = origins.named(name) {
        return Ok(index.name.clone());
    }
    let message = format!("there is no index `{name}`");
    let wrong = Wrong::new(Code::E170, 0, message);
    let names = origins.others.iter().chain(&origins.main);
    Err(
        match nearest(name, names.map(|index| index.name.as_str())) {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None => wrong.hint("name the index, with its URL, in the same file"),
        },
    )
}

fn elsewhere(package: &str, source: &TomlValue<'_>) -> Wrong {
    let kind = ["git", "path", "url"]
        .into_iter()
        .find_map(|key| Some((key, source.text_at(key)?)));
    let shown = match kind {
        Some((key, place)) => format!("{package} = {{ {key} = \"{}\" }}", masked(place)),
        None => format!("{package} = {{ workspace = true }}"),
    };
    unpinnable(&shown, 0)
}
