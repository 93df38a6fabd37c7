//! Many short lists, one behind the other in one piece of memory: of hundreds of thousands of stacks, or paths, each would
//! else be an allocation of its own.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Index;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// A `Vec<Vec<T>>`, and serialised as one, to which lists are only added.
#[derive(Clone, PartialEq, Eq)]
pub struct Lists<T> {
    items: Vec<T>,
    /// Where each list ends in `items`.
    ends: Vec<usize>,
}

impl<T> Lists<T> {
    pub fn push(&mut self, list: impl IntoIterator<Item = T>) {
        self.items.extend(list);
        self.ends.push(self.items.len());
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> {
        (0..self.len()).map(|at| &self[at])
    }

    /// What is in this list and all behind it.
    pub fn items_from(&mut self, at: usize) -> &mut [T] {
        let start = self.start(at);
        &mut self.items[start..]
    }

    #[inline]
    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

impl<T> Index<usize> for Lists<T> {
    type Output = [T];

    #[inline]
    fn index(&self, at: usize) -> &[T] {
        &self.items[self.start(at)..self.ends[at]]
    }
}

impl<T> Default for Lists<T> {
    fn default() -> Lists<T> {
        Lists {
            items: Vec::new(),
            ends: Vec::new(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lists<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

impl<T, L: IntoIterator<Item = T>> Extend<L> for Lists<T> {
    fn extend<I: IntoIterator<Item = L>>(&mut self, lists: I) {
        lists.into_iter().for_each(|list| self.push(list));
    }
}

impl<T, L: IntoIterator<Item = T>> FromIterator<L> for Lists<T> {
    fn from_iter<I: IntoIterator<Item = L>>(lists: I) -> Lists<T> {
        let mut all = Lists::default();
        all.extend(lists);
        all
    }
}

impl<T: Serialize> Serialize for Lists<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lists<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lists<T>, D::Error> {
        deserializer.deserialize_seq(All(PhantomData))
    }
}

struct All<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for All<T> {
    type Value = Lists<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a sequence of sequences")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Lists<T>, A::Error> {
        let mut lists = Lists::default();
        while sequence.next_element_seed(OneMore(&mut lists))?.is_some() {}
        Ok(lists)
    }
}

/// A list that goes behind the others.
struct OneMore<'a, T>(&'a mut Lists<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for OneMore<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneMore<'_, T> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(item) = sequence.next_element()? {
            self.0.items.push(item);
        }
        self.0.push([]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_what_a_vec_of_vecs_is_in_memory_and_as_bytes(
            given in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..5), 0..9),
            one_more in prop::collection::vec(any::<u32>(), 0..5),
        ) {
            let mut lists: Lists<u32> = given.iter().cloned().collect();
            let mut expected = given.clone();
            prop_assert_eq!(postcard::to_stdvec(&lists), postcard::to_stdvec(&expected));
            lists.push(one_more.iter().copied());
            expected.push(one_more);
            prop_assert_eq!(lists.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
            prop_assert_eq!((lists.len(), lists.is_empty()), (expected.len(), false));
            for at in 0..=expected.len() {
                prop_assert_eq!(lists.items_from(at), expected[at..].concat());
            }
            let bytes = postcard::to_stdvec(&expected).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Lists<u32>>(&bytes), Ok(lists.clone()));
            let cut = postcard::from_bytes::<Lists<u32>>(&bytes[..bytes.len() - 1]);
            prop_assert!(cut.is_err(), "{:?} of {:?}", cut, lists);
        }
    }
}
