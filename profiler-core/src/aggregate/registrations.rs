//! Where a suspended task has left its wakers.

/// Beyond this number the older half is forgotten: a single poll may give out any number of wakers.
const MAX_REGISTRATIONS: usize = 1024;

/// A place where the task has left a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) tag: u16,
    pub(super) stack: u32,
}

/// The registrations of one poll. Nearly always one, which needs no memory of its own.
#[derive(Clone, Debug, Default)]
pub(super) enum Registrations {
    #[default]
    None,
    One(Registration),
    /// Boxed, so that the many tasks with one registration stay small.
    #[expect(clippy::box_collection)]
    Many(Box<Vec<Registration>>),
}

/// To which registration a wake-up belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One stack; 0 if there is no registration at all.
    Stack(u32),
    /// Any of several: their stacks, ascending, with how many registrations each has.
    Several(Vec<(u32, u64)>),
}

impl Registrations {
    pub(super) fn push(&mut self, registration: Registration) {
        match self {
            Registrations::None => *self = Registrations::One(registration),
            Registrations::One(first) => *self = Registrations::Many(Box::new(vec![*first, registration])),
            Registrations::Many(all) => {
                if all.len() == MAX_REGISTRATIONS {
                    all.drain(..MAX_REGISTRATIONS / 2);
                }
                all.push(registration);
            }
        }
    }

    /// Takes away one with this tag.
    pub(super) fn remove(&mut self, tag: u16) {
        match self {
            Registrations::One(one) if one.tag == tag => *self = Registrations::None,
            Registrations::Many(all) => {
                if let Some(at) = all.iter().position(|r| r.tag == tag) {
                    all.remove(at);
                }
            }
            _ => {}
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Registrations::None;
    }

    pub(super) fn as_slice(&self) -> &[Registration] {
        match self {
            Registrations::None => &[],
            Registrations::One(one) => std::slice::from_ref(one),
            Registrations::Many(all) => all,
        }
    }

    /// Where a waker was left first; 0 if nowhere.
    pub(super) fn first_stack(&self) -> u32 {
        self.as_slice()
            .first()
            .map_or(0, |registration| registration.stack)
    }

    /// The stack of the registration with this very tag; None if there is none, or if the tag was given out
    /// twice and the two have different stacks.
    pub(super) fn tagged(&self, tag: u16) -> Option<u32> {
        let mut stacks = self.as_slice().iter().filter(|r| r.tag == tag).map(|r| r.stack);
        let first = stacks.next()?;
        stacks.all(|stack| stack == first).then_some(first)
    }

    /// The registration that a wake-up with this tag (0: none) came from: among those with this tag, or if it has
    /// none or none has it, among all.
    pub(super) fn place_of(&self, tag: u16) -> Place {
        let all = self.as_slice();
        let is_tagged = tag != 0 && all.iter().any(|r| r.tag == tag);
        let mut stacks = all.iter().filter(|r| !is_tagged || r.tag == tag).map(|r| r.stack);
        let first = stacks.next().unwrap_or(0);
        if stacks.all(|stack| stack == first) {
            return Place::Stack(first);
        }
        let mut counted = std::collections::BTreeMap::new();
        for registration in all.iter().filter(|r| !is_tagged || r.tag == tag) {
            *counted.entry(registration.stack).or_insert(0) += 1;
        }
        Place::Several(counted.into_iter().collect())
    }
}

/// Splits the time from `start_ns` to `end_ns` over stacks by their registrations: each with its part's end.
pub(super) fn split(several: &[(u32, u64)], start_ns: u64, end_ns: u64) -> impl Iterator<Item = (u32, u64)> {
    let whole_ns = u128::from(end_ns.saturating_sub(start_ns));
    let all: u128 = several.iter().map(|&(_, count)| u128::from(count)).sum();
    several.iter().scan(0, move |before, &(stack, count)| {
        *before += u128::from(count);
        Some((stack, start_ns + (whole_ns * *before / all) as u64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registrations(all: &[(u16, u32)]) -> Registrations {
        let mut registrations = Registrations::default();
        for &(tag, stack) in all {
            registrations.push(Registration { tag, stack });
        }
        registrations
    }

    #[test]
    fn a_tag_names_its_registration() {
        let three = registrations(&[(1, 10), (2, 20), (3, 30)]);
        assert_eq!(three.place_of(2), Place::Stack(20));
        assert_eq!(three.tagged(3), Some(30));
        assert_eq!(three.tagged(9), None);
        assert_eq!(registrations(&[]).place_of(1), Place::Stack(0));
        assert_eq!(
            registrations(&[(1, 10)]).place_of(9),
            Place::Stack(10),
            "it waited nowhere else"
        );
    }

    #[test]
    fn a_tag_given_out_twice_names_nobody() {
        let wrapped = registrations(&[(1, 10), (2, 20), (1, 30), (3, 30)]);
        assert_eq!(wrapped.tagged(1), None);
        assert_eq!(wrapped.place_of(1), Place::Several(vec![(10, 1), (30, 1)]));
        assert_eq!(
            wrapped.place_of(0),
            Place::Several(vec![(10, 1), (20, 1), (30, 2)])
        );
        assert_eq!(registrations(&[(1, 10), (1, 10)]).place_of(1), Place::Stack(10));
    }

    #[test]
    fn a_poll_without_end_takes_bounded_memory() {
        let endless: Vec<(u16, u32)> = (0..100_000).map(|at| (at as u16 % 127 + 1, at)).collect();
        let kept = registrations(&endless);
        assert!(kept.as_slice().len() <= MAX_REGISTRATIONS);
        assert_eq!(kept.as_slice().last().unwrap().stack, 99_999);
    }
}
