//! Turns: where several threads want the same thing, the first one gets it, and the others wait and find it there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Turns by name. Each name has a value, in which one thread tells the next what there is.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    by_name: Mutex<BTreeMap<String, Arc<Mutex<T>>>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            by_name: Mutex::default(),
        }
    }
}

impl<T: Default> Turns<T> {
    /// Does `work` while no other thread works under this name.
    pub(crate) fn take<R>(&self, name: &str, work: impl FnOnce(&mut T) -> R) -> R {
        let turn = {
            let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_name.entry(name.to_owned()).or_default())
        };
        let mut value = turn.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_waits_finds_what_the_first_one_got() {
        let (turns, made) = (Turns::<Option<usize>>::default(), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    turns.take("a", |value| {
                        value.get_or_insert_with(|| {
                            std::thread::yield_now();
                            *made.lock().unwrap() += 1;
                            7
                        });
                    });
                });
            }
        });
        assert_eq!(made.into_inner().unwrap(), 1);
        assert_eq!(turns.take("a", |value| *value), Some(7));
    }

    #[test]
    fn other_names_do_not_wait() {
        let turns = Turns::<()>::default();
        let (sender, receiver) = mpsc::channel();
        turns.take("a", |()| {
            std::thread::scope(|scope| {
                scope.spawn(|| turns.take("b", |()| sender.send(()).unwrap()));
                receiver.recv().unwrap();
            });
        });
    }
}
