//! What a text says, in one number: the proof that a splice changed nothing else.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    mem::discriminant,
};

use granit_parser::Event;

/// A sum over all events of a text, each with its number: two texts with the same sum read the same.
///
/// A sum, so that one event can be taken for another without reading the text again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    sum: u64,
    events: usize,
}

impl Reading {
    /// Adds the next event and gives its number.
    pub(super) fn add(&mut self, event: &Event<'_>) -> usize {
        let number = self.events;
        let mut hasher = DefaultHasher::new();
        (number, discriminant(event)).hash(&mut hasher);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                (value, style, anchor, tag).hash(&mut hasher);
            }
            Event::SequenceStart(style, anchor, tag) | Event::MappingStart(style, anchor, tag) => {
                (style, anchor, tag).hash(&mut hasher);
            }
            Event::Anchor(anchor, name) => (anchor, name).hash(&mut hasher),
            Event::Alias(anchor) => anchor.hash(&mut hasher),
            Event::DocumentStart(explicit, _) => explicit.hash(&mut hasher),
            _ => {}
        }
        self.sum = self.sum.wrapping_add(hasher.finish());
        self.events += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::{super::document::events, *};

    fn reading(text: &str) -> Reading {
        let mut reading = Reading::default();
        for event in events(text) {
            reading.add(&event.unwrap().0);
        }
        reading
    }

    #[test]
    fn layout_and_comments_say_nothing_and_all_else_does() {
        let text = "a: &x !t b\nc: [*x, &y z]\n";
        assert_eq!(
            reading(text),
            reading("a:  &x   !t b # c\n\nc: [ *x , &y z ]")
        );
        for other in [
            "a: &x !t c\nc: [*x, &y z]\n",
            "a: &x !t 'b'\nc: [*x, &y z]\n",
            "a: &x !u b\nc: [*x, &y z]\n",
            "a: &x b\nc: [*x, &y z]\n",
            "a: &z !t b\nc: [*z, &y z]\n",
            "a: &x !t b\nc: [&y z, *x]\n",
            "a: &x !t b\nc: [*x, &y z, w]\n",
            "a: &x !t b\nc: {*x : &y z}\n",
            "---\na: &x !t b\nc: [*x, &y z]\n",
            "c: [*x, &y z]\na: &x !t b\n".trim_start_matches("c: [*x, &y z]\n"),
        ] {
            assert_ne!(reading(text), reading(other), "{other}");
        }
    }
}
