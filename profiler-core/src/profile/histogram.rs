//! How many episodes were how long, in buckets that are at most 12.5 % wide.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Sub-buckets per power of two.
const SUB_BITS: u32 = 3;
const SUBS: usize = 1 << SUB_BITS;

/// Buckets by octave, of which there are few in any set of episodes. Counting takes constant time, and memory goes with
/// the octaves that are there; a single bucket takes none of the heap, because many sets are of a single episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Histogram {
    /// All in one bucket, or none at all: bucket 0.
    One { bucket: u16, episodes: u32 },
    /// First a bit for each octave that is there, then the buckets of each of these.
    Octaves(Box<[u64]>),
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::One {
            bucket: 0,
            episodes: 0,
        }
    }
}

impl Histogram {
    /// So many episodes more are of that length.
    #[inline]
    pub(super) fn add(&mut self, duration_ns: u64, episodes: u64) {
        self.count(bucket_of(duration_ns), episodes);
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        for (bucket, episodes) in other.buckets() {
            self.count(bucket, episodes);
        }
    }

    /// (largest length of the bucket in ns, episodes), ascending.
    pub(super) fn ends(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets()
            .map(|(bucket, episodes)| (bucket_end(bucket), episodes))
    }

    /// (middle of the bucket in ns, episodes), ascending.
    pub(super) fn middles(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets()
            .map(|(bucket, episodes)| (bucket_middle(bucket), episodes))
    }

    #[inline]
    fn count(&mut self, bucket: u16, episodes: u64) {
        let (octave, sub) = parts(bucket);
        if let Histogram::Octaves(words) = self
            && words[0] >> octave & 1 != 0
        {
            words[place(words[0], octave) + sub] += episodes;
        } else {
            self.count_anew(bucket, episodes);
        }
    }

    /// In a bucket that may have no place yet.
    #[inline(never)]
    fn count_anew(&mut self, bucket: u16, more: u64) {
        if more == 0 {
            return;
        }
        match self {
            Histogram::One {
                bucket: only,
                episodes,
            } => {
                let sum = u64::from(*episodes).saturating_add(more);
                if (*episodes == 0 || *only == bucket)
                    && let Ok(sum) = u32::try_from(sum)
                {
                    (*only, *episodes) = (bucket, sum);
                    return;
                }
                let (before, episodes) = (*only, u64::from(*episodes));
                *self = Histogram::Octaves(Box::new([0]));
                self.count(before, episodes);
                self.count(bucket, more);
            }
            Histogram::Octaves(words) => {
                let (octave, _) = parts(bucket);
                let at = 1 + octaves_before(words[0], octave) as usize * SUBS;
                let (before, after) = words.split_at(at);
                let mut wider = [before, &[0; SUBS], after].concat().into_boxed_slice();
                wider[0] |= 1 << octave;
                *words = wider;
                self.count(bucket, more);
            }
        }
    }

    /// (bucket, episodes), ascending; see [`bucket_of`].
    fn buckets(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let (one, words) = match self {
            Histogram::One { bucket, episodes } => (Some((*bucket, u64::from(*episodes))), &[][..]),
            Histogram::Octaves(words) => (None, &words[..]),
        };
        let (present, counts) = words.split_first().unwrap_or((&0, &[]));
        let octaves = (0..u64::BITS as u16).filter(move |octave| present >> octave & 1 != 0);
        let of_octave = |(octave, counts)| std::iter::zip(octave << SUB_BITS.., counts);
        let several = octaves.zip(counts.as_chunks::<SUBS>().0).flat_map(of_octave);
        let several = several.map(|(bucket, &episodes)| (bucket, episodes));
        one.into_iter().chain(several).filter(|bucket| bucket.1 != 0)
    }
}

/// As a list of (bucket, episodes).
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.buckets().collect::<Vec<_>>().serialize(serializer)
    }
}

/// Buckets that exist, ascending, with no more than 64 bits of episodes in them.
impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Histogram, D::Error> {
        let buckets = Vec::<(u16, u64)>::deserialize(deserializer)?;
        let last = bucket_of(u64::MAX);
        let mut episodes = buckets.iter().map(|entry| entry.1);
        let is_sound = buckets.is_sorted_by(|a, b| a.0 < b.0)
            && buckets.last().is_none_or(|entry| entry.0 <= last)
            && episodes.try_fold(0u64, u64::checked_add).is_some();
        if !is_sound {
            return Err(de::Error::custom("a histogram is unsound"));
        }
        let mut histogram = Histogram::default();
        for (bucket, episodes) in buckets {
            histogram.count(bucket, episodes);
        }
        Ok(histogram)
    }
}

/// Where the buckets of an octave are that is there.
#[inline]
fn place(present: u64, octave: u32) -> usize {
    let first = present.trailing_zeros();
    let from_first = present >> first;
    // Mostly all octaves between the first and the last are there.
    let before = if from_first & (from_first + 1) == 0 {
        octave - first
    } else {
        octaves_before(present, octave)
    };
    1 + before as usize * SUBS
}

fn octaves_before(present: u64, octave: u32) -> u32 {
    (present & ((1 << octave) - 1)).count_ones()
}

/// A bucket's octave, and which of its buckets it is.
#[inline]
fn parts(bucket: u16) -> (u32, usize) {
    (u32::from(bucket) >> SUB_BITS, usize::from(bucket) % SUBS)
}

/// Log-linear: values below 8 have a bucket each, then eight buckets per power of two.
#[inline]
fn bucket_of(value: u64) -> u16 {
    let exponent = (value | 1).ilog2();
    if exponent < SUB_BITS {
        return value as u16;
    }
    let shift = exponent - SUB_BITS;
    (((shift + 1) << SUB_BITS) as u64 + ((value >> shift) & 7)) as u16
}

/// The largest value of the bucket.
fn bucket_end(bucket: u16) -> u64 {
    let (octave, sub) = parts(bucket);
    match octave {
        0 => sub as u64,
        _ => ((8 + sub as u64) << (octave - 1)) + ((1u64 << (octave - 1)) - 1),
    }
}

fn bucket_middle(bucket: u16) -> u64 {
    let (octave, sub) = parts(bucket);
    match octave {
        0 => sub as u64,
        _ => {
            let shift = octave - 1;
            ((8 + sub as u64) << shift) + (1u64 << shift) / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    fn buckets() -> impl Strategy<Value = Vec<(u16, u64)>> {
        let bucket = 0..=bucket_of(u64::MAX);
        let episodes = prop_oneof![0..3u64, Just(u64::from(u32::MAX))];
        let one = prop_oneof![bucket.clone(), 100..120u16];
        prop_oneof![
            prop::collection::vec((one, episodes.clone()), 0..40),
            (bucket, prop::collection::vec(episodes, 0..4))
                .prop_map(|(bucket, counts)| counts.into_iter().map(|n| (bucket, n)).collect()),
        ]
    }

    proptest! {
        #[test]
        fn what_was_counted_is_there(counts in buckets()) {
            let mut histogram = Histogram::default();
            let mut naive = BTreeMap::new();
            for (bucket, episodes) in counts.iter().copied().filter(|count| count.1 != 0) {
                histogram.count(bucket, episodes);
                *naive.entry(bucket).or_insert(0) += episodes;
            }
            let naive: Vec<(u16, u64)> = naive.into_iter().collect();
            prop_assert_eq!(histogram.buckets().collect::<Vec<_>>(), naive.clone());

            let bytes = postcard::to_stdvec(&histogram).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&naive).unwrap());
            let read: Histogram = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&read, &histogram);

            // Equal sets are equal however they came about.
            let mut backwards = Histogram::default();
            counts.iter().rev().for_each(|&(bucket, episodes)| backwards.count(bucket, episodes));
            prop_assert_eq!(&backwards, &histogram);
            let (mut merged, mut rest) = (Histogram::default(), Histogram::default());
            for (at, &(bucket, episodes)) in counts.iter().enumerate() {
                [&mut merged, &mut rest][at % 2].count(bucket, episodes);
            }
            merged.merge(&rest);
            prop_assert_eq!(merged, histogram);
        }

        #[test]
        fn bucket_middle_is_within_an_eighth(value in any::<u64>()) {
            let middle = bucket_middle(bucket_of(value));
            let error = middle.abs_diff(value);
            prop_assert!(error as f64 <= value as f64 / 8.0, "{value} -> {middle}");
            prop_assert!(bucket_end(bucket_of(value)) >= value);
        }
    }

    #[test]
    fn what_cannot_be_is_not_read() {
        let read = |buckets: &[(u16, u64)]| {
            postcard::from_bytes::<Histogram>(&postcard::to_stdvec(buckets).unwrap()).is_ok()
        };
        let last = bucket_of(u64::MAX);
        assert!(read(&[(3, 1), (4, u64::MAX - 2), (last, 1)]));
        assert!(!read(&[(3, 1), (3, 1)]));
        assert!(!read(&[(4, 1), (3, 1)]));
        assert!(!read(&[(last + 1, 1)]));
        assert!(!read(&[(3, 1), (4, u64::MAX)]));
    }

    /// Big recordings have hundreds of thousands of them.
    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Histogram>(), 16);
    }
}
