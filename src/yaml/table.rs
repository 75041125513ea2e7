//! The table of places as the documentation has it.

use std::fmt::{self, Display};

use super::{
    keys::KUSTOMIZE_KEYS,
    places::{Form, ObjectKind, POD, TABLE, path},
};

/// The table of kinds and of their places, in Markdown, as `docs/manifests.md` holds it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlacesTable;

impl Display for PlacesTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| API group | kind | places | what they hold |")?;
        writeln!(formatter, "|---|---|---|---|")?;
        for kind in TABLE {
            let group = match kind.group {
                "" => "core",
                group => group,
            };
            writeln!(
                formatter,
                "| {group} | `{}` | {} | {} |",
                kind.name,
                places(kind).join("<br>"),
                holds(kind)
            )?;
        }
        writeln!(formatter)?;
        writeln!(
            formatter,
            "A pod's places: {}.",
            list(POD.iter().map(|tail| path(tail)))
        )
    }
}

fn places(kind: &ObjectKind) -> Vec<String> {
    let mut places = Vec::new();
    for (prefix, tails) in kind.groups() {
        if tails == POD {
            places.push(format!("`{}`: a pod's", path(&prefix)));
        } else {
            let ways = tails.iter().map(|tail| {
                let way: Vec<_> = prefix.iter().chain(*tail).copied().collect();
                format!("`{}`", path(&way))
            });
            places.extend(ways);
        }
    }
    places
}

fn holds(kind: &ObjectKind) -> String {
    let mut holds = match kind.form {
        Form::Reference | Form::Either => "a whole reference".to_owned(),
        Form::Kustomize => {
            let parts = list(KUSTOMIZE_KEYS.into_iter().map(str::to_owned));
            format!("{parts}: `newTag` or `digest`, never both")
        }
    };
    if let Some(path) = kind.containers_below {
        let others = format!("; so does the `image` of any other container below `{path}`");
        holds.push_str(&others);
    }
    if kind.refuses_properties {
        holds.push_str("; the operator refuses those in `sparkConf` since 2.5.2 (W106)");
    }
    if let Some(steps) = kind.spark_version {
        let compared = format!("; `{}` is compared with the image's (W107)", path(steps));
        holds.push_str(&compared);
    }
    holds
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| format!("`{item}`")).collect();
    items.join(", ")
}
