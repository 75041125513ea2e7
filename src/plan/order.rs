//! The order of work: parents first, each stage once. A failure stops only the stages that depend on the failed one.

use std::collections::{BTreeMap, BTreeSet};

/// The state of work on stages that depend on each other.
///
/// The cost of a step grows with the parents and children of its stages, not with the number of waiting stages.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// For each waiting stage, the number of its unfinished parents.
    waiting: BTreeMap<String, usize>,
    /// For each unfinished stage, the stages that depend on it.
    children: BTreeMap<String, Vec<String>>,
    ready: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

impl Order {
    /// Takes each stage with its parents; parents that are not among the stages count as finished.
    #[must_use]
    pub fn new(stages: impl IntoIterator<Item = (String, BTreeSet<String>)>) -> Self {
        let stages: BTreeMap<String, BTreeSet<String>> = stages.into_iter().collect();
        let mut order = Self::default();
        for (name, parents) in &stages {
            let inside = parents.iter().filter(|parent| stages.contains_key(*parent));
            let mut count = 0;
            for parent in inside {
                count += 1;
                let children = order.children.entry(parent.clone()).or_default();
                children.push(name.clone());
            }
            if count == 0 {
                order.ready.insert(name.clone());
            } else {
                order.waiting.insert(name.clone(), count);
            }
        }
        order
    }

    /// Takes the stages whose work can begin now, sorted by name.
    pub fn take_ready(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ready).into_iter().collect()
    }

    /// Reports that the work on a stage has succeeded.
    pub fn done(&mut self, name: &str) {
        for child in self.children.remove(name).unwrap_or_default() {
            let Some(count) = self.waiting.get_mut(&child) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&child);
                self.ready.insert(child);
            }
        }
    }

    /// Reports that the work on a stage has failed: the stages that depend on it are skipped.
    pub fn failed(&mut self, name: &str) {
        let mut lost = vec![name.to_owned()];
        while let Some(parent) = lost.pop() {
            for child in self.children.remove(&parent).unwrap_or_default() {
                if self.waiting.remove(&child).is_some() {
                    self.skipped.insert(child.clone());
                    lost.push(child);
                }
            }
        }
    }

    /// The stages that were skipped because one of their ancestors failed.
    #[must_use]
    pub fn skipped(&self) -> &BTreeSet<String> {
        &self.skipped
    }

    /// The names of all stages, parents first; those that become ready together are sorted by name.
    ///
    /// # Errors
    /// The stages that are in a cycle or depend on one.
    pub fn parents_first(mut self) -> Result<Vec<String>, BTreeSet<String>> {
        let mut sorted = Vec::new();
        loop {
            let ready = self.take_ready();
            if ready.is_empty() {
                break;
            }
            for name in &ready {
                self.done(name);
            }
            sorted.extend(ready);
        }
        if self.waiting.is_empty() {
            Ok(sorted)
        } else {
            Err(self.waiting.into_keys().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A random graph without cycles: stage n depends only on stages below n.
    fn any_graph() -> impl Strategy<Value = (Vec<BTreeSet<usize>>, BTreeSet<usize>)> {
        let parents =
            proptest::collection::vec(proptest::collection::btree_set(0..100_usize, 0..4), 1..12);
        (parents, proptest::collection::btree_set(0..12_usize, 0..3)).prop_map(
            |(graph, failing)| {
                let below = |(index, parents): (usize, BTreeSet<usize>)| {
                    if index == 0 {
                        BTreeSet::new()
                    } else {
                        parents.into_iter().map(|parent| parent % index).collect()
                    }
                };
                (graph.into_iter().enumerate().map(below).collect(), failing)
            },
        )
    }

    fn name(index: usize) -> String {
        format!("s{index}")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn parents_first_each_once_and_failures_stop_only_dependants((graph, failing) in any_graph()) {
            let stages = graph.iter().enumerate().map(|(index, parents)| (name(index), parents.iter().map(|&parent| name(parent)).collect()));
            let mut order = Order::new(stages);
            let (mut finished, mut begun) = (BTreeSet::new(), BTreeSet::new());
            loop {
                let ready = order.take_ready();
                if ready.is_empty() { break }
                for stage in ready {
                    let index: usize = stage[1..].parse().unwrap();
                    prop_assert!(begun.insert(index), "each stage once");
                    prop_assert!(graph[index].is_subset(&finished), "parents first");
                    if failing.contains(&index) { order.failed(&stage) } else { finished.insert(index); order.done(&stage) }
                }
            }
            // The model: a stage is lost if a parent failed or is lost.
            let mut lost = BTreeSet::new();
            for (index, parents) in graph.iter().enumerate() {
                if parents.iter().any(|parent| lost.contains(parent) || failing.contains(parent)) { lost.insert(index); }
            }
            prop_assert_eq!(order.skipped(), &lost.iter().map(|&index| name(index)).collect::<BTreeSet<_>>());
            prop_assert_eq!(begun.len() + lost.len(), graph.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Any graph: cycles, stages that depend on themselves, and parents outside the set, which count as finished.
        #[test]
        fn what_cannot_be_ordered_is_exactly_what_leads_to_a_circle(
            graph in proptest::collection::vec(proptest::collection::btree_set(0..9_usize, 0..3), 1..8),
        ) {
            let stages = graph.iter().enumerate().map(|(index, parents)| (name(index), parents.iter().map(|&parent| name(parent)).collect()));
            let order = Order::new(stages);
            // The model: a stage is lost if it can be reached from itself, or depends on one that is lost.
            let reaches = |from: usize| {
                let (mut reached, mut queue) = (BTreeSet::new(), vec![from]);
                while let Some(next) = queue.pop() {
                    let parents = graph.get(next).into_iter().flatten();
                    queue.extend(parents.filter(|&&parent| reached.insert(parent)));
                }
                reached
            };
            let is_lost = |index: &usize| {
                let reached = reaches(*index);
                reached.contains(index) || reached.iter().any(|&below| reaches(below).contains(&below))
            };
            let lost: BTreeSet<String> = (0..graph.len()).filter(is_lost).map(name).collect();
            prop_assert_eq!(order.parents_first().err(), (!lost.is_empty()).then_some(lost));
        }
    }

    #[test]
    fn a_diamond_is_built_once_and_falls_as_one() {
        let stages = [
            ("job", vec!["left", "right"]),
            ("left", vec!["base", "elsewhere"]),
            ("right", vec!["base"]),
            ("base", vec![]),
        ];
        let fresh = || {
            Order::new(stages.iter().map(|(name, parents)| {
                (
                    (*name).to_owned(),
                    parents.iter().map(|&parent| parent.to_owned()).collect(),
                )
            }))
        };
        let mut order = fresh();
        assert_eq!(order.take_ready(), ["base"]);
        assert!(
            order.take_ready().is_empty(),
            "nothing is ready while it is worked on"
        );
        order.done("base");
        assert_eq!(order.take_ready(), ["left", "right"]);
        order.done("left");
        assert!(order.take_ready().is_empty(), "the job waits for both");
        order.done("right");
        assert_eq!(order.take_ready(), ["job"]);
        assert!(order.skipped().is_empty());
        let mut order = fresh();
        order.take_ready();
        order.done("base");
        order.take_ready();
        order.failed("left");
        order.done("right");
        assert!(order.take_ready().is_empty());
        assert_eq!(
            order.skipped().iter().collect::<Vec<_>>(),
            ["job"],
            "once, and not its sound parent"
        );
    }

    #[test]
    fn circles_are_found() {
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<String>>()
        };
        let order = Order::new([
            ("a".to_owned(), set(&["b"])),
            ("b".to_owned(), set(&["a"])),
            ("c".to_owned(), set(&[])),
        ]);
        assert_eq!(order.parents_first(), Err(set(&["a", "b"])));
        assert_eq!(
            Order::new([("a".to_owned(), set(&["outside"]))]).parents_first(),
            Ok(vec!["a".to_owned()])
        );
    }
}
