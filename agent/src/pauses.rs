//! Which tasks a thread has last seen suspended, and when: what was polled again at once is likely to be suspended as
//! shortly again.

const PLACES: usize = 64;

/// Zeros are none.
#[repr(C)]
pub(crate) struct Pauses([Pause; PLACES]);

#[derive(Clone, Copy)]
#[repr(C)]
struct Pause {
    id: u64,
    since_ticks: u64,
}

impl Pauses {
    /// The task of this number, which no other ever has, is suspended now.
    #[inline]
    pub(crate) fn begin(&mut self, id: u64, now_ticks: u64) {
        self.0[place_of(id)] = Pause {
            id,
            since_ticks: now_ticks,
        };
    }

    /// How long it was suspended, if nothing has taken its place since.
    #[inline]
    pub(crate) fn length(&self, id: u64, now_ticks: u64) -> Option<u64> {
        let pause = self.0[place_of(id)];
        (pause.id == id).then(|| now_ticks.saturating_sub(pause.since_ticks))
    }
}

#[inline]
fn place_of(id: u64) -> usize {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_known_until_another_takes_its_place() {
        // SAFETY: zeros are none.
        let mut pauses: Pauses = unsafe { std::mem::zeroed() };
        assert_eq!(pauses.length(7, 5), None);
        pauses.begin(7, 100);
        assert_eq!(pauses.length(7, 130), Some(30));
        assert_eq!(pauses.length(7, 90), Some(0));
        let other = (8..).find(|&other| place_of(other) == place_of(7));
        pauses.begin(other.unwrap(), 200);
        assert_eq!(pauses.length(7, 210), None);
    }
}
