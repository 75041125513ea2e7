//! Walks the graph of a lock: which packages are reached, and under which conditions.

use std::collections::{BTreeMap, BTreeSet};

use super::marker::Marker;

/// Ways to a node: one of them is enough, and all conditions of a way have to hold.
type Ways = BTreeSet<BTreeSet<Marker>>;

/// The nodes that are reached from `roots`, each with the condition under which it is.
pub(super) fn reached<N: Ord + Clone>(
    roots: Vec<(N, Marker)>,
    edges: impl Fn(&N) -> Vec<(N, Marker)>,
) -> BTreeMap<N, Marker> {
    let mut found: BTreeMap<N, Ways> = BTreeMap::new();
    let mut open = Vec::new();
    let start: Ways = [BTreeSet::new()].into();
    for (node, marker) in roots {
        if lead(&mut found, &node, &marker, &start) {
            open.push(node);
        }
    }
    while let Some(node) = open.pop() {
        let ways = found.get(&node).cloned().unwrap_or_default();
        for (next, marker) in edges(&node) {
            if lead(&mut found, &next, &marker, &ways) {
                open.push(next);
            }
        }
    }
    let whole = |ways: Ways| {
        ways.into_iter().fold(Marker::Never, |any, way| {
            any.or(way.into_iter().fold(Marker::Always, Marker::and))
        })
    };
    found
        .into_iter()
        .map(|(node, ways)| (node, whole(ways)))
        .collect()
}

/// Adds the ways on to a node; whether that says anything new.
fn lead<N: Ord + Clone>(
    found: &mut BTreeMap<N, Ways>,
    node: &N,
    marker: &Marker,
    ways: &Ways,
) -> bool {
    if *marker == Marker::Never {
        return false;
    }
    let known = found.entry(node.clone()).or_default();
    let mut is_new = false;
    for way in ways {
        let mut way = way.clone();
        if *marker != Marker::Always {
            way.insert(marker.clone());
        }
        // A way with more conditions than another says nothing new.
        if !known.iter().any(|other| other.is_subset(&way)) {
            known.retain(|other| !way.is_subset(other));
            known.insert(way);
            is_new = true;
        }
    }
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_the_way_are_joined_and_circles_end() {
        let on = |text: &str| Marker::Is(text.to_owned());
        let edges = |node: &&str| match *node {
            "app" => vec![
                ("a", Marker::Always),
                ("b", on("w")),
                ("never", Marker::Never),
            ],
            "a" => vec![("c", on("w"))],
            "b" => vec![("c", on("x")), ("d", on("x"))],
            "c" => vec![("e", Marker::Always)],
            "d" => vec![("b", on("y")), ("e", on("z"))],
            _ => Vec::new(),
        };
        let reached = reached(vec![("app", Marker::Always)], edges);
        let shown: Vec<String> = reached
            .iter()
            .map(|(node, marker)| format!("{node}: {marker}"))
            .collect();
        assert_eq!(
            shown,
            [
                "a: python_version >= \"0\"",
                "app: python_version >= \"0\"",
                "b: w",
                "c: w",
                "d: w and x",
                "e: w",
            ]
        );
    }
}
