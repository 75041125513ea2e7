//! Paths from the root of a document, as messages and the configuration write them.

/// The path of a key's value below `path`.
pub(super) fn key_path(path: &str, key: &str) -> String {
    match path {
        _ if key.contains('.') => format!("{path}[\"{key}\"]"),
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// The path of an item below `path`.
pub(super) fn item_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
