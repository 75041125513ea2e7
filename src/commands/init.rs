//! `sparkpack init`: writes a configuration for the project that is there, or says what it would write.

use std::path::Path;

use crate::{
    cli::InitArguments,
    error::Error,
    operations::adoption::{self, Adopted, Fact, Remark},
    project::FILE_NAME,
    ui::{Paint, Reader, Style, Ui, unified},
};

/// How many facts are printed of each kind; the file has all.
const SHOWN: usize = 8;

pub(super) fn run(
    directory: Option<&Path>,
    ui: &Ui,
    arguments: &InitArguments,
) -> Result<(), Error> {
    if arguments.diff {
        return diff(directory, ui);
    }
    let adopted = adoption::adopt(directory)?;
    if arguments.dry_run {
        ui.data(adopted.text.trim_end())?;
        report(ui, &adopted);
        ui.say(format!(
            "\nnothing is written: without --dry-run this is {FILE_NAME}"
        ));
        return Ok(());
    }
    adoption::write(&adopted)?;
    report(ui, &adopted);
    ui.say(format!(
        "\n{FILE_NAME} is written, and nothing else is changed. Next:\n  \
         sparkpack lock      looks up what the checkout cannot know: digests, wheels, checksums\n  \
         sparkpack plan      what would be built, and what would change in the manifests\n  \
         sparkpack build     builds it, and writes the tags into the manifests\n  \
         sparkpack run       runs a job in its image on this machine"
    ));
    Ok(())
}

/// What was found, assumed, not told, and what to watch.
fn report(ui: &Ui, adopted: &Adopted) {
    heading(ui, "found");
    let is_full = ui.verbosity() > 0;
    let mut keys: Vec<&str> = Vec::new();
    for fact in &adopted.facts {
        if !keys.contains(&fact.key.as_str()) {
            keys.push(&fact.key);
        }
    }
    for key in keys {
        let of_key = adopted.facts.iter().filter(|fact| fact.key == key);
        let all: Vec<&Fact> = of_key.collect();
        let shown = if is_full {
            all.len()
        } else {
            SHOWN.min(all.len())
        };
        for fact in &all[..shown] {
            ui.say(format!(
                "  {key}: {}  ({}:{})",
                fact.value, fact.at.0, fact.at.1
            ));
        }
        if shown < all.len() {
            ui.say(format!(
                "  {key}: and {} more (-v shows all)",
                all.len() - shown
            ));
        }
    }
    remarks(ui, "assumed", &adopted.assumed);
    remarks(ui, "cannot tell", &adopted.untold);
    remarks(ui, "watch out", &adopted.traps);
}

fn remarks(ui: &Ui, title: &str, remarks: &[Remark]) {
    if remarks.is_empty() {
        return;
    }
    heading(ui, title);
    for remark in remarks {
        let place = remark.place.as_ref();
        let place = place.map(|place| format!("{}:{}: ", place.file.display(), place.line));
        ui.say(format!("  {}{}", place.unwrap_or_default(), remark.text));
        if let Some(cure) = remark.cure.as_ref().filter(|cure| !cure.is_empty()) {
            ui.say(format!("    -> {cure}"));
        }
    }
}

fn heading(ui: &Ui, title: &str) {
    ui.say(title);
}

/// What has changed since the configuration was written.
fn diff(directory: Option<&Path>, ui: &Ui) -> Result<(), Error> {
    let since = adoption::since_then(directory)?;
    let paint: Paint = ui.data_paint();
    for (mark, style, facts) in [
        ("-", Style::Bad, &since.gone),
        ("+", Style::Good, &since.new),
    ] {
        for fact in facts {
            ui.data(paint.paint(style, &format!("{mark} {fact}")))?;
        }
    }
    if since.gone.is_empty() && since.new.is_empty() {
        ui.say("what the configuration follows from is as it was");
        return Ok(());
    }
    for line in unified(
        FILE_NAME,
        &since.old,
        &since.text,
        paint,
        Reader::of_stdout(),
    ) {
        ui.data(line)?;
    }
    Err(Error::Outdated)
}
