//! `sparkpack eject`: writes the recipe of an image out into the project, to be changed there.

use crate::{
    cli::EjectArguments,
    error::Error,
    operations::{
        ejection::{self, Ejected},
        workspace::Session,
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &EjectArguments) -> Result<(), Error> {
    let name = &arguments.image;
    let ejected = ejection::eject(session, name, arguments.to.as_deref())?;
    for file in &ejected.files {
        ui.say(format!("wrote {}", file.display()));
    }
    ui.say(match &ejected.table {
        Some(place) => format!("add these lines to the table of `{name}`, {place}:"),
        None => "add these lines to sparkpack.toml:".to_owned(),
    });
    if ejected.table.is_none() {
        ui.data(format!("[images.{name}]"))?;
    }
    for (key, value) in &ejected.settings {
        ui.data(format!("{key} = {}", toml::Value::from(value.as_str())))?;
    }
    ui.say(consequences(name, &ejected));
    Ok(())
}

fn consequences(name: &str, ejected: &Ejected) -> String {
    let above = match &ejected.above[..] {
        [] => String::new(),
        above => format!(", and those of all that stands on it: {}", above.join(", ")),
    };
    let tags = if ejected.moves {
        format!("the tag of `{name}` moves with that{above}")
    } else {
        format!("the tag of `{name}` moves with the first change of it{above}")
    };
    let lock = if ejected.needs_lock {
        "; run `sparkpack lock`, which locks the wheels beside the requirements"
    } else {
        ""
    };
    format!("from then on the Dockerfile is yours: {tags}{lock}")
}
