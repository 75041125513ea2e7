//! Runs requests to external services concurrently.

use std::{
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::error::Error;

/// How many requests, builds or pushes run at once. Registries limit the connections of one client.
pub(crate) const AT_ONCE: usize = 16;

/// Does two works at once; if both fail, the first one's error is told.
///
/// # Errors
/// Those of the works.
pub(crate) fn both<A, B: Send>(
    first: impl FnOnce() -> Result<A, Error>,
    second: impl FnOnce() -> Result<B, Error> + Send,
) -> Result<(A, B), Error> {
    thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        let second = second.join();
        Ok((first?, second.unwrap_or_else(|panic| resume_unwind(panic))?))
    })
}

/// The results of `work` on each of `items`, in their order.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: &(dyn Fn(&T) -> R + Sync),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let work = || {
        while let Some((index, item)) = take(items, &next) {
            let result = work(item);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((index, result));
        }
    };
    thread::scope(|scope| {
        // This thread works too.
        for _ in 1..items.len().min(AT_ONCE) {
            scope.spawn(work);
        }
        work();
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
    fn both_are_done_and_the_first_error_is_told() {
        let barrier = Barrier::new(2);
        let meet = |number: u8| {
            barrier.wait();
            Ok(number)
        };
        assert_eq!(both(|| meet(1), || meet(2)).unwrap(), (1, 2));
        let fail = |text: &'static str| move || Err::<u8, _>(std::io::Error::other(text).into());
        let told = |result: Result<(u8, u8), Error>| result.unwrap_err().to_string();
        assert_eq!(told(both(fail("one"), fail("two"))), "one");
        assert_eq!(told(both(fail("one"), || Ok(2))), "one");
        assert_eq!(told(both(|| Ok(1), fail("two"))), "two");
    }

    #[test]
    fn more_than_are_asked_at_once_are_all_answered() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(side_by_side(&items, &|item| *item), items);
        assert!(side_by_side(&[] as &[usize], &|item| *item).is_empty());
    }
}
