//! Runs work on stages: parents first, siblings at the same time, a failure stops only what stands on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc,
    thread,
};

use crate::{
    error::Error,
    operations::{events::Note, workspace::Session},
    plan::{Plan, order::Order},
};

/// What is done with a stage, given the results of the stages below it.
pub(crate) type Work<'a, T> = dyn Fn(&str, &BTreeMap<String, T>) -> Result<T, Error> + Sync + 'a;

/// Runs `work` on each of `names`; it is handed the results of all that has ended before.
///
/// # Errors
/// Those of the work, all of them.
pub(crate) fn run_on_stages<T: Clone + Send>(
    session: &Session<'_>,
    plan: &Plan,
    names: &BTreeSet<String>,
    work: &Work<'_, T>,
) -> Result<BTreeMap<String, T>, Error> {
    let parents = |name: &String| {
        plan.stages
            .get(name)
            .map(|stage| stage.parents.clone())
            .unwrap_or_default()
    };
    let mut order = Order::new(names.iter().map(|name| (name.clone(), parents(name))));
    let (mut results, mut errors) = (BTreeMap::new(), Vec::new());
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let mut running = 0;
        loop {
            for name in order.take_ready() {
                running += 1;
                let (sender, below) = (sender.clone(), results.clone());
                scope.spawn(move || {
                    let result = work(&name, &below);
                    // The receiver lives until every worker has sent.
                    drop(sender.send((name, result)));
                });
            }
            if running == 0 {
                break;
            }
            let Ok((name, result)) = receiver.recv() else {
                break;
            };
            running -= 1;
            match result {
                Ok(result) => {
                    order.done(&name);
                    results.insert(name, result);
                }
                Err(error) => {
                    order.failed(&name);
                    errors.push(error);
                }
            }
        }
    });
    for name in order.skipped() {
        session.events.note(Note::Skipped { stage: name });
    }
    match errors.len() {
        0 => Ok(results),
        1 => Err(errors.remove(0)),
        _ => Err(Error::Several(errors)),
    }
}
