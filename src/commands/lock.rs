//! `sparkpack lock`: looks up what the locks lack or what may move, says what that retags, and writes them together.

use crate::{
    cli::LockArguments,
    error::{Error, UsageError},
    operations::{
        resolution::{self, Before, Impact, LockFiles, Resolver, Upgrade},
        workspace::{self, LockPolicy, Services, Session},
    },
    plan::Inputs,
    project::{
        inputs::InputError,
        lock::{Lock, Revision},
    },
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &LockArguments) -> Result<(), Error> {
    let services = Services::new(session, LockPolicy::Update);
    let (old, old_inputs, is_known) = read(session, arguments)?;
    let Upgrade {
        mut files,
        packages,
    } = resolution::upgrade(arguments.upgrade.as_deref(), session, &old_inputs, &old)?;
    refresh(session, arguments, &mut files.lock)?;
    let moved_recipes = files.lock.recipes != old.lock.recipes;
    let reread = moved_recipes.then(|| resolution::read_inputs(session, &files.lock));
    let reread = reread.transpose()?;
    let inputs = reread.as_ref().unwrap_or(&old_inputs);
    resolution::warn_of_inputs(session, inputs);

    let resolver = Resolver {
        session,
        services: &services,
        inputs,
        before: &old.lock,
        upgraded: &packages,
    };
    let mut resolved = resolver.resolve(files)?;
    resolved.files.drop_unused(&session.project, inputs);
    let new = &resolved.files;
    if *new == old {
        ui.say(nothing(arguments));
        return Ok(());
    }
    let plan = resolved.plan(session, &services, inputs)?;
    let before = if is_known {
        Before::of(
            session,
            &services,
            &old_inputs,
            &old,
            &resolved.local_sources,
        )
    } else {
        Before::default()
    };
    let moves = resolution::lock_changes(&old, new);
    let impact = Impact::between(&before, &plan, moves);
    print(ui, &impact)?;
    if arguments.dry_run {
        ui.say("nothing was written: this was a dry run");
        return Ok(());
    }
    new.write(session, &old)
}

/// The locks as they are, with the inputs, and whether this sparkpack knows all recipes that the locks name.
///
/// An upgrade leads out of a lock with a recipe that this sparkpack does not carry.
fn read(
    session: &Session<'_>,
    arguments: &LockArguments,
) -> Result<(LockFiles, Inputs, bool), Error> {
    let lock = workspace::read_lock(&session.project.root)?;
    let (inputs, is_known) = match resolution::read_inputs(session, &lock) {
        Err(InputError::UnknownRecipe(_)) if arguments.upgrade.is_some() => {
            (resolution::read_inputs(session, &Lock::default())?, false)
        }
        read => (read?, true),
    };
    Ok((LockFiles::read(session, lock, &inputs)?, inputs, is_known))
}

/// Writes the revision that `--refresh` asks for.
fn refresh(session: &Session<'_>, arguments: &LockArguments, lock: &mut Lock) -> Result<(), Error> {
    let (Some(image), Some(reason)) = (&arguments.refresh, &arguments.reason) else {
        return Ok(());
    };
    session.targets(std::slice::from_ref(image))?;
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(UsageError::NoReason.into());
    }
    let last = lock.revisions.get(image).map_or(0, |last| last.number);
    let revision = Revision {
        number: last.saturating_add(1),
        reason: reason.to_owned(),
    };
    lock.revisions.insert(image.clone(), revision);
    Ok(())
}

fn nothing(arguments: &LockArguments) -> &'static str {
    if arguments.upgrade.is_some() {
        "nothing to do: nothing has moved"
    } else {
        "nothing to do: the locks are complete"
    }
}

/// Prints it as data: it is what a person puts into the commit's message.
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
