//! Begins system calls anew that the recorder's question has interrupted.
//!
//! After a handler the system itself goes on with most calls (`SA_RESTART`), but these end with `EINTR` all the same
//! (signal(7)). They are told by the C library's function that makes them. The thread was found running just before
//! it was asked, so such a call has only just begun: done anew, with its arguments as they are in the registers, it
//! takes no longer than by those few microseconds.

use std::ffi::CStr;
use std::ops::Range;
use std::sync::OnceLock;

use crate::elf;
use crate::imports::next_definition;
use crate::sampling::Callers;

/// Length of the instruction that makes a system call.
pub(crate) const SYSCALL_LEN: i64 = 2;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
const PAGE: u64 = 4096;

/// The functions, with the calls that their versions make; the last one is what they make now.
const FUNCTIONS: [(&CStr, &[i64]); 26] = [
    (c"accept", &[libc::SYS_accept]),
    (c"accept4", &[libc::SYS_accept4]),
    (c"clock_nanosleep", &[libc::SYS_clock_nanosleep]),
    (c"connect", &[libc::SYS_connect]),
    (c"epoll_pwait", &[libc::SYS_epoll_pwait]),
    (c"epoll_wait", &[libc::SYS_epoll_wait]),
    (c"msgrcv", &[libc::SYS_msgrcv]),
    (c"msgsnd", &[libc::SYS_msgsnd]),
    (c"nanosleep", &[libc::SYS_nanosleep]),
    (c"pause", &[libc::SYS_pause]),
    (c"poll", &[libc::SYS_poll]),
    (c"ppoll", &[libc::SYS_ppoll]),
    (c"pselect", &[libc::SYS_pselect6]),
    (c"read", &[libc::SYS_read]),
    (c"recv", &[libc::SYS_recvfrom]),
    (c"recvfrom", &[libc::SYS_recvfrom]),
    (c"recvmmsg", &[libc::SYS_recvmmsg]),
    (c"recvmsg", &[libc::SYS_recvmsg]),
    (c"select", &[libc::SYS_select, libc::SYS_pselect6]),
    (c"semop", &[libc::SYS_semop, libc::SYS_semtimedop]),
    (c"semtimedop", &[libc::SYS_semtimedop]),
    (c"send", &[libc::SYS_sendto]),
    (c"sendmsg", &[libc::SYS_sendmsg]),
    (c"sendto", &[libc::SYS_sendto]),
    (c"sigtimedwait", &[libc::SYS_rt_sigtimedwait]),
    (c"write", &[libc::SYS_write]),
];

/// Where the functions lie.
static RANGES: OnceLock<Vec<(Range<u64>, &[i64])>> = OnceLock::new();

/// Looks the functions up. Once, before the program runs.
pub(crate) fn prepare() {
    let ranges = FUNCTIONS
        .iter()
        .filter_map(|&(name, calls)| Some((range_of(name)?, calls)));
    let _ = RANGES.set(ranges.collect());
}

/// The code of the C library's function of this name.
fn range_of(name: &CStr) -> Option<Range<u64>> {
    let start = next_definition(name) as u64;
    Some(start..start + elf::size_of_symbol(start)?)
}

/// The number of the call that has just ended with `EINTR` at `ip`, if it is one that must be begun anew. `blocked` are
/// the signals that the program holds back.
pub(crate) fn interrupted_call(ip: u64, callers: &Callers, blocked: &libc::sigset_t) -> Option<i64> {
    // On one page with the instruction before it, which is then mapped, too.
    if ip % PAGE < SYSCALL.len() as u64 {
        return None;
    }
    // SAFETY: code that the thread has just run.
    let code = unsafe { ((ip - SYSCALL.len() as u64) as *const [u8; 2]).read_unaligned() };
    if code != SYSCALL || is_another_signal_due(blocked) {
        return None;
    }
    let ranges = RANGES.get()?;
    callers.iter().enumerate().find_map(|(depth, caller)| {
        let address = caller.checked_sub(1)?;
        let (range, calls) = ranges.iter().find(|known| known.0.contains(&address))?;
        if depth == 0 {
            // Made in the function itself, which then says which one.
            number_before(range.start, ip).filter(|number| calls.contains(number))
        } else {
            calls.last().copied()
        }
    })
}

/// The constant that the code before `ip` has put into the register for the call's number.
fn number_before(start: u64, ip: u64) -> Option<i64> {
    const MOV_EAX: u8 = 0xb8;
    const LEN: u64 = 5;
    const FARTHEST: u64 = 64;
    let last = ip.checked_sub(SYSCALL.len() as u64 + LEN)?;
    (start.max(ip.saturating_sub(FARTHEST))..=last)
        .rev()
        .find_map(|at| {
            // SAFETY: code of the function that the thread has just run, between its start and `ip`.
            let code = unsafe { (at as *const [u8; LEN as usize]).read_unaligned() };
            let [MOV_EAX, number @ ..] = code else { return None };
            Some(i64::from(u32::from_le_bytes(number)))
        })
}

/// Whether a signal of the program's own ends the call, as it would have done alone.
fn is_another_signal_due(blocked: &libc::sigset_t) -> bool {
    // SAFETY: zeros are a valid set; the calls read and write sets.
    unsafe {
        let mut pending = std::mem::zeroed::<libc::sigset_t>();
        libc::sigpending(&mut pending) != 0
            || (1..=libc::SIGRTMAX()).any(|signal| {
                libc::sigismember(&pending, signal) == 1 && libc::sigismember(blocked, signal) == 0
            })
    }
}
