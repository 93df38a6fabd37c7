//! A slot has one owner at a time, who sees what the last one did.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{check, words};
use crate::slots::Slots;

#[test]
fn slots_are_owned_by_one_thread_at_a_time() {
    check(3, || {
        // Only two slots are free, so that three threads meet in them.
        let shared = Arc::new((words(1), [UnsafeCell::new(0u64), UnsafeCell::new(0u64)]));
        shared.0[0].store(!3, loom::sync::atomic::Ordering::Relaxed);
        let work = |shared: &(Vec<crate::sync::AtomicU64>, [UnsafeCell<u64>; 2])| {
            let slots = Slots::new(&shared.0);
            let Some(slot) = slots.claim() else { return 0 };
            // loom reports two at once, and any access not ordered after the last owner's.
            // SAFETY: the slot is ours until it is given back, which is what this checks.
            shared.1[slot].with_mut(|count| unsafe { *count += 1 });
            slots.release(slot);
            1
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(&shared))
            })
            .collect();
        let mut claimed = work(&shared);
        claimed += threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<u64>();
        // SAFETY: all threads have ended.
        let counted: u64 = shared
            .1
            .iter()
            .map(|count| count.with(|count| unsafe { *count }))
            .sum();
        assert_eq!(counted, claimed);
        let free = std::iter::from_fn(|| Slots::new(&shared.0).claim()).count();
        assert_eq!(free, 2, "all were given back");
    });
}
