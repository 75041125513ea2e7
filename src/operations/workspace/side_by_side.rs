//! Runs requests to external services concurrently.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How many requests, builds or pushes run at once. Registries limit the connections of one client.
pub(crate) const AT_ONCE: usize = 16;

/// The results of `work` on each of `items`, in their order.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: &(dyn Fn(&T) -> R + Sync),
) -> Vec<R> {
    if let [single] = items {
        return vec![work(single)];
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..items.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some((index, item)) = take(items, &next) {
                    let result = work(item);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take<'a, T>(items: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, items.get(index)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn all_are_asked_at_the_same_time_and_answer_in_order() {
        // The barrier lets nobody pass until all five have reached it.
        let barrier = Barrier::new(5);
        let doubled = side_by_side(&[1, 2, 3, 4, 5], &|number| {
            barrier.wait();
            number * 2
        });
        assert_eq!(doubled, [2, 4, 6, 8, 10]);
    }

    #[test]
    fn more_than_are_asked_at_once_are_all_answered() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(side_by_side(&items, &|item| *item), items);
        assert!(side_by_side(&[] as &[usize], &|item| *item).is_empty());
    }
}
