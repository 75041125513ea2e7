//! The files that an object of a Spark operator names in its own image: `local:///opt/job/main.py`.

use std::collections::HashSet;

use super::{
    document::{NodeBody, NodeId},
    local_paths::{MOUNTS, files_of, is_local},
    located::LocalFiles,
    places::{ObjectKind, Step},
    view::{Trail, View},
};
use Step::{Each, Key};

/// The files that an object names, and the folders of its volumes.
pub(super) fn local_files(view: &View<'_, '_>, node: NodeId, kind: &ObjectKind) -> LocalFiles {
    let mut found = LocalFiles::default();
    let Some((spec, files)) = files_of(kind.group, kind.name) else {
        return found;
    };
    let mut specs = Vec::new();
    follow(view, node, spec, &mut specs);
    for spec in specs {
        let mut named = Vec::new();
        for steps in files {
            follow(view, spec, steps, &mut named);
        }
        for node in named {
            let Some(text) = view.string(node) else {
                continue;
            };
            let place = view.place(view.document.node(node).spot);
            let parts = text.split(',').map(str::trim);
            let local = parts.filter(|part| is_local(part));
            let local = local.map(|part| (place.clone(), part.to_owned()));
            found.files.extend(local);
        }
        let mut mounted = Vec::new();
        for steps in MOUNTS {
            follow(view, spec, steps, &mut mounted);
        }
        let folders = mounted.into_iter().filter_map(|node| view.string(node));
        found.mounts.extend(folders.map(str::to_owned));
    }
    if found.files.is_empty() {
        return LocalFiles::default();
    }
    found
}

/// Adds the nodes at the end of a path.
fn follow(view: &View<'_, '_>, node: NodeId, steps: &[Step<'_>], found: &mut Vec<NodeId>) {
    let (node, _) = view.follow(node, Trail::default());
    match (steps, &view.document.node(node).body) {
        ([], _) => found.push(node),
        ([Key(key), rest @ ..], NodeBody::Mapping(_)) => {
            if let Ok(Some((value, _))) = view.lookup(node, key, &Trail::default()) {
                follow(view, value, rest, found);
            }
        }
        ([Each, rest @ ..], NodeBody::Sequence(items)) => {
            let mut seen = HashSet::new();
            for (_, item) in items {
                // The same alias is the same list: a million of them would only cost time.
                if let NodeBody::Alias(anchor) = view.document.node(*item).body
                    && !seen.insert(anchor)
                {
                    continue;
                }
                follow(view, *item, rest, found);
            }
        }
        _ => {}
    }
}
