//! Wake-ups by tasks whose ends callbacks tell.

use super::{aggregate, event};
use crate::aggregate::RawWaker;
use crate::event::{Kind, LINGERS, Outcome};

/// By which table's task the one wait was ended; None if by none.
fn ended_by(lingers: u16, passed: &[(u64, u64)]) -> Option<u16> {
    let ended = Outcome::Ready as u16 | lingers;
    let mut events = vec![
        (0, 0, event(Kind::PollStart, 0x100, 1, 1)),
        (0, 1, event(Kind::Await, 0x100, 1, 7)),
        (0, 2, event(Kind::PollEnd, 0x100, Outcome::Pending as u16, 0)),
        (0, 3, event(Kind::PollStart, 0x200, 2, 2)),
        (0, 5, event(Kind::PollEnd, 0x200, ended, 0)),
        // A thread's work, which goes on while its end is told.
        (1, 6, event(Kind::PollStart, 0x300, 3, 3)),
        (0, 7, event(Kind::PollStart, 0x400, 4, 4)),
    ];
    let told = passed
        .iter()
        .map(|&(woken, by)| (0, 8, event(Kind::Passed, woken, 0, by)));
    events.extend(told);
    events.push((0, 9, event(Kind::Wake, 0x100, 1, 8)));
    let (profile, _) = aggregate(events, 100);
    let row = profile
        .rows
        .iter()
        .find(|row| row.stack.number == 7 && row.waker.0 != 0);
    match profile.wakers[row.expect("it was woken").waker.0 as usize] {
        RawWaker::Seen {
            group: Some(group), ..
        } => profile.groups[group.group as usize].table,
        _ => None,
    }
}

#[test]
fn the_one_whose_end_is_passed_on_is_the_waker() {
    assert_eq!(ended_by(LINGERS, &[]), Some(4), "whoever is polled");
    assert_eq!(ended_by(LINGERS, &[(0x100, 0x200)]), Some(2));
    assert_eq!(ended_by(0, &[(0x100, 0x200)]), None, "its end was not to be told");
    assert_eq!(
        ended_by(0, &[(0x100, 0x300)]),
        Some(3),
        "one that has not told its own end"
    );
    assert_eq!(ended_by(0, &[(0x100, 0)]), None, "by nobody");
    assert_eq!(
        ended_by(LINGERS, &[(0x500, 0x200)]),
        Some(4),
        "that was for another"
    );
}
