//! Runs work on stages: parents first, siblings at the same time. A failure stops only the stage's descendants.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::mpsc,
    thread,
};

use crate::{
    error::Error,
    operations::{
        events::{Events, Note},
        workspace::AT_ONCE,
    },
    plan::{Plan, Stage, order::Order},
};

/// The work on a stage, given the results of its parents.
pub(crate) type Work<'a, T> = dyn Fn(&Stage, &BTreeMap<String, T>) -> Result<T, Error> + Sync + 'a;

/// [`run_on_as_many`], where one failure is the failure of all.
///
/// # Errors
/// All errors of `work`.
pub(crate) fn run_on_stages<T: Clone + Send>(
    events: &dyn Events,
    plan: &Plan,
    names: &BTreeSet<String>,
    work: &Work<'_, T>,
) -> Result<BTreeMap<String, T>, Error> {
    let (results, failed) = run_on_as_many(events, plan, names, work);
    failed.map_or(Ok(results), Err)
}

/// Runs `work` on each of `names`, with the results of the stage's parents. Returns the results, and all errors as one.
///
/// At most [`AT_ONCE`] stages run at the same time: a project may have a thousand jobs on one parent, too many at once for a
/// daemon or a registry.
pub(crate) fn run_on_as_many<T: Clone + Send>(
    events: &dyn Events,
    plan: &Plan,
    names: &BTreeSet<String>,
    work: &Work<'_, T>,
) -> (BTreeMap<String, T>, Option<Error>) {
    let parents = |name: &String| {
        plan.stages
            .get(name)
            .map(|stage| stage.parents.clone())
            .unwrap_or_default()
    };
    let below = |name: &String, results: &BTreeMap<String, T>| -> BTreeMap<String, T> {
        let parents = parents(name).into_iter();
        parents
            .filter_map(|parent| Some((parent.clone(), results.get(&parent)?.clone())))
            .collect()
    };
    let mut order = Order::new(names.iter().map(|name| (name.clone(), parents(name))));
    let (mut results, mut errors) = (BTreeMap::new(), Vec::new());
    let mut waiting = VecDeque::new();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let mut running = 0;
        loop {
            waiting.extend(order.take_ready());
            while running < AT_ONCE
                && let Some(name) = waiting.pop_front()
            {
                running += 1;
                let (sender, below) = (sender.clone(), below(&name, &results));
                let stage = &plan.stages[&name];
                // Sending cannot fail: the receiver lives until every worker has sent.
                let work = move || drop(sender.send((name, work(stage, &below))));
                if running == 1 && waiting.is_empty() {
                    // Nothing else can be done meanwhile, and a thread takes longer than a stage that is there.
                    work();
                } else {
                    scope.spawn(work);
                }
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
        events.note(Note::Skipped { stage: name });
    }
    let failed = (!errors.is_empty()).then(|| Error::of_all(errors));
    (results, failed)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{operations::events::Progress, plan::examples, project::place::Defect};

    /// Records the names of the stages that are reported as skipped.
    #[derive(Default)]
    struct Skipped(Mutex<Vec<String>>);

    impl Events for Skipped {
        fn note(&self, note: Note<'_>) {
            let Note::Skipped { stage } = note else {
                panic!("only skipped stages are told");
            };
            self.0.lock().unwrap().push(stage.to_owned());
        }

        fn warn(&self, warning: &Defect) {
            panic!("{warning}");
        }

        fn begin(&self, name: &str) -> Box<dyn Progress + '_> {
            panic!("{name} has no work of its own to tell");
        }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A diamond: `job` on `left` and `right`, both on `base`.
    fn plan() -> Plan {
        let stage = |name: &str, parents: &[&str]| {
            let mut stage = examples::stage(name, None, &[]);
            stage.parents = names(parents);
            stage
        };
        examples::plan([
            stage("base", &[]),
            stage("left", &["base"]),
            stage("right", &["base"]),
            stage("job", &["left", "right"]),
        ])
    }

    /// Runs all stages; those in `failing` fail. Returns the results, or the errors and the skipped stages.
    fn run(failing: &[&str]) -> Result<BTreeMap<String, String>, (Error, Vec<String>)> {
        let skipped = Skipped::default();
        let all = names(&["base", "left", "right", "job"]);
        let result = run_on_stages(&skipped, &plan(), &all, &|stage, below| {
            let name = &*stage.name;
            if failing.contains(&name) {
                return Err(std::io::Error::other(name).into());
            }
            let below: Vec<&str> = below.values().map(String::as_str).collect();
            Ok(format!("{name}({})", below.join(" ")))
        });
        result.map_err(|error| (error, skipped.0.into_inner().unwrap()))
    }

    #[test]
    fn each_stage_is_handed_what_became_of_its_parents() {
        let results = run(&[]).unwrap();
        assert_eq!(results["base"], "base()");
        assert_eq!(results["job"], "job(left(base()) right(base()))");
    }

    #[test]
    fn a_failure_stops_only_what_stands_on_it() {
        let (error, skipped) = run(&["left"]).unwrap_err();
        assert_eq!(error.to_string(), "left");
        assert_eq!(skipped, ["job"]);
        let (error, skipped) = run(&["base"]).unwrap_err();
        assert_eq!(error.to_string(), "base");
        assert_eq!(skipped, ["job", "left", "right"]);
    }

    #[test]
    fn of_many_siblings_only_some_run_at_once() {
        let siblings: Vec<String> = (0..3 * AT_ONCE)
            .map(|number| format!("s{number}"))
            .collect();
        let plan = examples::plan(siblings.iter().map(|name| examples::stage(name, None, &[])));
        let all = siblings.iter().cloned().collect();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // The barrier lets no stage end before `AT_ONCE` stages have begun.
        let full = Barrier::new(AT_ONCE);
        let results = run_on_stages(&Skipped::default(), &plan, &all, &|_, _| {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            full.wait();
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
        assert_eq!(results.unwrap().len(), siblings.len());
        assert_eq!(most.into_inner(), AT_ONCE);
    }

    #[test]
    fn all_failures_are_told() {
        let (error, skipped) = run(&["left", "right"]).unwrap_err();
        let mut told: Vec<String> = error.each().iter().map(ToString::to_string).collect();
        told.sort();
        assert_eq!(told, ["left", "right"]);
        assert_eq!(skipped, ["job"]);
    }
}
