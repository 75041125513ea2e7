//! `sparkpack lock`: looks up missing and upgraded lock entries, lists the images that get new tags, and writes the
//! lock files.

use crate::{
    cli::LockArguments,
    error::Error,
    operations::{
        build,
        resolution::{self, Impact, LockRequest},
        workspace::{LockPolicy, Services, Session},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &LockArguments) -> Result<(), Error> {
    let services = Services::new(session, LockPolicy::Update).building_wheels(&build::InContainers);
    let refresh = arguments.refresh.as_deref();
    let request = LockRequest {
        upgrade: arguments.upgrade.as_deref(),
        refresh: refresh.zip(arguments.reason.as_deref()),
    };
    let Some(locks) = resolution::relock(session, &services, request)? else {
        ui.say(nothing(arguments));
        return Ok(());
    };
    print(ui, &locks.impact)?;
    if arguments.dry_run {
        ui.say("nothing was written: this was a dry run");
        return Ok(());
    }
    locks.write(session)
}

fn nothing(arguments: &LockArguments) -> &'static str {
    if arguments.upgrade.is_some() {
        "nothing to do: nothing has moved"
    } else {
        "nothing to do: the locks are complete"
    }
}

/// Prints the impact to standard output, so that it can be piped into a commit message.
fn print(ui: &Ui, impact: &Impact) -> Result<(), Error> {
    ui.data("locks:")?;
    for line in &impact.moves {
        ui.data(format!("  {line}"))?;
    }
    ui.data("images:")?;
    for image in &impact.retagged {
        let old = image.old.as_deref().unwrap_or("not locked before");
        ui.data(format!("  {}: {old} -> {}", image.name, image.new))?;
        for reason in &image.reasons {
            ui.data(format!("    {reason}"))?;
        }
    }
    match (impact.retagged.len(), impact.staying) {
        (_, 0) => {}
        (0, _) => ui.data("  all stay as they are")?,
        (_, 1) => ui.data("  1 stays as it is")?,
        (_, staying) => ui.data(format!("  {staying} stay as they are"))?,
    }
    Ok(())
}
