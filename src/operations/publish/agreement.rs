//! How several pushes that made one image each agree on one of them, before the tag is set for the first time.
//!
//! A registry has no compare-and-swap, so nobody can take a tag only if it is free. But everybody can add tags and list them,
//! which is enough: what is agreed on here is never taken back, however slow a push is between two requests and wherever it
//! is cut off. Nobody waits for anybody.
//!
//! An image is proposed by its staging tag. In each round, a push lists the proposals, marks whether its own is alone, and
//! lists the marks:
//!
//! - If its own is alone, and all marks say so, it is agreed on. Whoever proposes later sees its mark.
//! - Otherwise the push goes on to the next round with the image whose mark says that it is alone or, if there is none, with
//!   the first of the proposals. Of two pushes that see each other, both take the same one, and are alone in the next round.
//!
//! (It is the adopt-commit protocol of Gafni, in rounds.)

use std::collections::BTreeSet;

use crate::adapters::docker::STAGING_DIGITS;

/// What stands behind an image's tag in the tags that belong to it, after `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    id: String,
    round: u32,
    kind: MarkKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MarkKind {
    Proposed,
    Alone,
    NotAlone,
}

impl Mark {
    /// The staging tag of an image.
    pub(super) fn staged(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            round: 1,
            kind: MarkKind::Proposed,
        }
    }

    pub(super) fn suffix(&self) -> String {
        let Self { id, round, kind } = self;
        match (kind, round) {
            (MarkKind::Proposed, 1) => id.clone(),
            (MarkKind::Proposed, _) => format!("{id}-r{round}"),
            (MarkKind::Alone, _) => format!("{id}-r{round}-alone"),
            (MarkKind::NotAlone, _) => format!("{id}-r{round}-not-alone"),
        }
    }

    /// `None` if a suffix is that of no mark.
    pub(super) fn parse(suffix: &str) -> Option<Self> {
        let (id, rest) = suffix.split_at_checked(STAGING_DIGITS)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !id.bytes().all(is_digit) {
            return None;
        }
        if rest.is_empty() {
            return Some(Self::staged(id));
        }
        let rest = rest.strip_prefix("-r")?;
        let (round, kind) = match rest.split_once('-') {
            None => (rest, MarkKind::Proposed),
            Some((round, "alone")) => (round, MarkKind::Alone),
            Some((round, "not-alone")) => (round, MarkKind::NotAlone),
            Some(_) => return None,
        };
        let mark = Self {
            id: id.to_owned(),
            round: round.parse().ok()?,
            kind,
        };
        // One mark has one form, so that nobody else's tag is taken for one.
        (mark.suffix() == suffix).then_some(mark)
    }
}

/// What a push has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To give its image this mark, and to list all marks again.
    Put(Mark),
    /// To take the image that has the first of these marks and is there, if there is one, instead of its own; see
    /// [`Agreement::adopt`].
    Take(Vec<Mark>),
    /// Its image is agreed on.
    Agreed,
}

/// The part of one push.
#[derive(Clone, Debug)]
pub(super) struct Agreement {
    /// The image that it is for now, by its digest.
    id: String,
    round: u32,
    /// Its proposal of this round.
    proposal: Mark,
    /// Whether it has told in this round whether its proposal is alone.
    has_told: bool,
}

impl Agreement {
    /// For an image with this digest, which has its staging tag.
    pub(super) fn new(staged: Mark, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            round: 1,
            proposal: staged,
            has_told: false,
        }
    }

    /// What follows from all marks that there are.
    pub(super) fn next(&mut self, all: &BTreeSet<Mark>) -> Next {
        let round = self.round;
        let of_round = |kind: MarkKind| {
            let marks = all.iter();
            marks.filter(move |mark| mark.round == round && mark.kind == kind)
        };
        if !self.has_told {
            let mut others = of_round(MarkKind::Proposed).filter(|mark| **mark != self.proposal);
            let kind = match others.next() {
                None => MarkKind::Alone,
                Some(_) => MarkKind::NotAlone,
            };
            let mark = self.mark(kind);
            self.has_told = true;
            return Next::Put(mark);
        }
        let (own, others): (Vec<Mark>, Vec<Mark>) = of_round(MarkKind::Alone)
            .cloned()
            .partition(|mark| mark.id == self.id);
        if others.is_empty() && of_round(MarkKind::NotAlone).next().is_none() {
            return Next::Agreed;
        }
        match (&*others, &*own) {
            ([], []) => Next::Take(of_round(MarkKind::Proposed).cloned().collect()),
            ([], _) => Next::Take(own),
            (_, _) => Next::Take(others),
        }
    }

    /// Goes on to the next round with an image, and returns its proposal, which is to be put.
    pub(super) fn adopt(&mut self, id: &str) -> Mark {
        id.clone_into(&mut self.id);
        self.round += 1;
        self.proposal = self.mark(MarkKind::Proposed);
        self.has_told = false;
        self.proposal.clone()
    }

    fn mark(&self, kind: MarkKind) -> Mark {
        Mark {
            id: self.id.clone(),
            round: self.round,
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A push, one request after the other.
    #[derive(Clone)]
    struct Push {
        agreement: Agreement,
        /// What it will put by its next request; otherwise it will list.
        put: Option<Mark>,
        agreed: Option<String>,
    }

    impl Push {
        fn new(id: char) -> Self {
            let id = id.to_string().repeat(STAGING_DIGITS);
            let staged = Mark::staged(&id);
            Self {
                agreement: Agreement::new(staged.clone(), &id),
                put: Some(staged),
                agreed: None,
            }
        }

        fn request(&mut self, marks: &mut BTreeSet<Mark>) {
            if let Some(mark) = self.put.take() {
                marks.insert(mark);
                return;
            }
            match self.agreement.next(marks) {
                Next::Put(mark) => self.put = Some(mark),
                Next::Take(from) => {
                    let id = from[0].id.clone();
                    self.put = Some(self.agreement.adopt(&id));
                }
                Next::Agreed => self.agreed = Some(self.agreement.id.clone()),
            }
        }
    }

    /// Fails if two pushes agree on two images.
    fn check(pushes: &[Push]) {
        let agreed: BTreeSet<&String> = pushes
            .iter()
            .filter_map(|push| push.agreed.as_ref())
            .collect();
        assert!(agreed.len() <= 1, "{agreed:?}");
    }

    /// Tries every order of the requests of these pushes, of at most so many; returns the number of orders.
    fn every_order(pushes: &[Push], marks: &BTreeSet<Mark>, requests: usize) -> usize {
        check(pushes);
        let mut orders = 0;
        for (number, push) in pushes.iter().enumerate() {
            if push.agreed.is_none() && requests > 0 {
                let (mut pushes, mut marks) = (pushes.to_vec(), marks.clone());
                pushes[number].request(&mut marks);
                orders += every_order(&pushes, &marks, requests - 1);
            }
        }
        orders.max(1)
    }

    #[test]
    fn two_pushes_agree_in_every_order_of_their_requests() {
        // A push that is not disturbed makes five; two that see each other, nine each.
        let orders = every_order(&[Push::new('b'), Push::new('a')], &BTreeSet::new(), 18);
        assert!(orders > 1_000, "{orders}");
    }

    #[test]
    fn many_pushes_agree_however_slow_they_are_and_wherever_one_ends() {
        let mut state: u64 = 15;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut agreed_in_all = 0;
        for _ in 0..20_000 {
            let mut pushes: Vec<Push> = ('a'..='e').map(Push::new).collect();
            pushes.truncate(2 + random(4));
            let (mut marks, mut killed) = (BTreeSet::new(), BTreeSet::new());
            for _ in 0..400 {
                let number = random(pushes.len());
                // Slow ones are passed over most of the time, and some never go on.
                if killed.contains(&number) || number > 0 && random(3) < number.min(2) {
                    continue;
                }
                if random(100) == 0 && killed.len() + 1 < pushes.len() {
                    killed.insert(number);
                }
                if pushes[number].agreed.is_none() {
                    pushes[number].request(&mut marks);
                }
            }
            check(&pushes);
            let living = pushes.iter().enumerate();
            let living = living.filter(|(number, _)| !killed.contains(number));
            agreed_in_all += usize::from(living.clone().all(|(_, push)| push.agreed.is_some()));
        }
        assert!(
            agreed_in_all > 19_000,
            "only {agreed_in_all} came to an end"
        );
    }

    #[test]
    fn a_push_that_is_alone_needs_two_lists_and_one_mark() {
        let (mut push, mut marks) = (Push::new('a'), BTreeSet::new());
        let mut requests = 0;
        while push.agreed.is_none() {
            push.request(&mut marks);
            requests += 1;
        }
        // Its staging tag, a list, a mark, a list.
        assert_eq!(requests, 4);
        let marks: Vec<String> = marks.iter().map(Mark::suffix).collect();
        assert_eq!(marks, ["aaaaaaaaaaaa", "aaaaaaaaaaaa-r1-alone"]);
    }

    #[test]
    fn who_comes_later_takes_what_was_agreed_on() {
        let mut marks = BTreeSet::new();
        let (mut first, mut later) = (Push::new('f'), Push::new('0'));
        for push in [&mut first, &mut later] {
            while push.agreed.is_none() {
                push.request(&mut marks);
            }
        }
        assert_eq!(first.agreed, Some("f".repeat(STAGING_DIGITS)));
        assert_eq!(later.agreed, first.agreed);
    }

    #[test]
    fn every_mark_is_read_as_it_is_written_and_nothing_else_is_a_mark() {
        let id = "0123456789ab";
        for suffix in ["", "-r2", "-r10", "-r1-alone", "-r3-not-alone"] {
            let suffix = format!("{id}{suffix}");
            assert_eq!(Mark::parse(&suffix).unwrap().suffix(), suffix);
        }
        for suffix in [
            "",
            "0123456789a",
            "0123456789abc",
            "0123456789AB",
            "0123456789ab-r1",
            "0123456789ab-r02",
            "0123456789ab-r2-",
            "0123456789ab-r2-lonely",
            "0123456789ab-x2",
            "ääääääääääää",
        ] {
            assert_eq!(Mark::parse(suffix), None, "{suffix}");
        }
    }
}
