//! Answers when the recorder asks this process's threads for their stacks.
//!
//! The recorder asks a thread that polls a task and is not blocked: it sends it a signal, at most one at a time. The
//! handler writes the stack of the poll into the thread's ring. Blocked threads are not asked, so no system call is
//! interrupted; one that begins between the recorder's look and the signal is begun anew ([`crate::restart`]).
//!
//! The signal is `SIGURG`, which is ignored by default: should it ever come when the handler is gone, nothing
//! happens. A program that wants the signal for itself gets it, and its threads are asked no more ([`tap`]).

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use asyncprof_core::region::SAMPLING_SIGNAL;

use crate::imports::next_definition;
use crate::recorder::{self, Thread};
use crate::restart;
use crate::unwind::Entry;

type Sigaction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;

/// Makes this process ready to be asked. False if it is not possible, or the program was started with the signal
/// ignored on purpose.
pub(crate) fn enable() -> bool {
    // A forked child that joins has inherited it.
    static ENABLED: OnceLock<bool> = OnceLock::new();
    *ENABLED.get_or_init(handle)
}

fn handle() -> bool {
    let Some(sigaction) = original() else { return false };
    restart::prepare();
    // SAFETY: zeros are a valid `sigaction`; both point to values of that type.
    unsafe {
        let mut former = std::mem::zeroed::<libc::sigaction>();
        if sigaction(SAMPLING_SIGNAL, std::ptr::null(), &mut former) != 0
            || former.sa_sigaction != libc::SIG_DFL
        {
            return false;
        }
        let mut ours = std::mem::zeroed::<libc::sigaction>();
        ours.sa_sigaction = on_signal as *const () as usize;
        // Restarted by the system where it can be; on the alternate stack, because the program's may be small or
        // nearly full; and nothing else comes between.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigfillset(&mut ours.sa_mask);
        sigaction(SAMPLING_SIGNAL, &ours, std::ptr::null_mut()) == 0
    }
}

/// The C library's `sigaction`: ours stands before it.
fn original() -> Option<Sigaction> {
    static ORIGINAL: AtomicUsize = AtomicUsize::new(0);
    let mut original = ORIGINAL.load(Ordering::Relaxed);
    if original == 0 {
        original = next_definition(c"sigaction");
        ORIGINAL.store(original, Ordering::Relaxed);
    }
    // SAFETY: null, or the address of a function of this name and so of this type.
    unsafe { std::mem::transmute::<usize, Option<Sigaction>>(original) }
}

/// Registers where a signal has interrupted the thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    pub(crate) ip: u64,
    pub(crate) entry: Entry,
    /// It was in a system call, which ends with `EINTR`.
    pub(crate) has_interrupted_call: bool,
}

unsafe extern "C" fn on_signal(_signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes a valid description and context, which it reads again when we return.
    let (is_ours, context) = unsafe {
        (
            (*info).si_code == libc::SI_QUEUE,
            &mut *context.cast::<libc::ucontext_t>(),
        )
    };
    if !is_ours {
        return;
    }
    // SAFETY: the thread's own word, which system calls below may change and the program must not see changed.
    let errno = unsafe { *libc::__errno_location() };
    let registers = &mut context.uc_mcontext.gregs;
    let at = Interrupted {
        ip: registers[libc::REG_RIP as usize] as u64,
        entry: Entry {
            sp: registers[libc::REG_RSP as usize] as u64,
            bp: registers[libc::REG_RBP as usize] as u64,
        },
        has_interrupted_call: registers[libc::REG_RAX as usize] == -i64::from(libc::EINTR),
    };
    let mut callers = [at.ip + 1, 0, 0, 0];
    if let Some(thread) = recorder::interrupted() {
        answer_on_own_stack(thread, &at, &mut callers);
    }
    if at.has_interrupted_call
        && let Some(number) = restart::interrupted_call(at.ip, &callers, &context.uc_sigmask)
    {
        registers[libc::REG_RAX as usize] = number;
        registers[libc::REG_RIP as usize] -= restart::SYSCALL_LEN;
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// The stack that we are on may be as small as the system allows.
fn answer_on_own_stack(thread: &mut Thread, at: &Interrupted, callers: &mut Callers) {
    let top = thread.sampling_stack_top();
    // SAFETY: `top` is the 16-aligned upper end of memory that only this thread uses, and only here: the signal is
    // blocked meanwhile. r12 keeps the stack pointer over the call, which returns here; the references live on.
    unsafe {
        asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {answer}",
            "mov rsp, r12",
            top = in(reg) top,
            answer = sym answer,
            inout("rdi") std::ptr::from_mut(thread) => _,
            inout("rsi") std::ptr::from_ref(at) => _,
            inout("rdx") std::ptr::from_mut(callers) => _,
            out("r12") _,
            clobber_abi("C"),
        );
    }
}

unsafe extern "C" fn answer(thread: *mut Thread, at: *const Interrupted, callers: *mut Callers) {
    // SAFETY: passed on by `answer_on_own_stack`, whose references are not used meanwhile.
    unsafe { (*thread).sample(*at, &mut *callers) }
}

/// The innermost code addresses of a stack, each plus one as if it were a call's; 0 for none.
pub(crate) type Callers = [u64; 4];

pub(crate) mod tap {
    //! The program's own use of the signal.

    use std::mem::MaybeUninit;

    use super::*;

    /// In place of the C library's function of this name.
    ///
    /// # Safety
    /// As for the C library's.
    #[cfg_attr(feature = "preload", unsafe(no_mangle))]
    pub(crate) unsafe extern "C" fn sigaction(
        signal: c_int,
        new: *const libc::sigaction,
        former: *mut libc::sigaction,
    ) -> c_int {
        let Some(original) = original() else {
            // SAFETY: the thread's own word.
            unsafe { *libc::__errno_location() = libc::ENOSYS };
            return -1;
        };
        if signal != SAMPLING_SIGNAL || !recorder::answers() {
            // SAFETY: the caller's arguments for the function that was meant.
            return unsafe { original(signal, new, former) };
        }
        if !new.is_null() {
            recorder::set_answers(false);
            // SAFETY: as above, but the former action is ours.
            let result = unsafe { original(signal, new, std::ptr::null_mut()) };
            if result != 0 {
                return result;
            }
        }
        if !former.is_null() {
            // As it was before ours.
            let untouched = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: the caller's own place for it; zeros are the default action.
            unsafe { former.write(untouched.assume_init()) };
        }
        0
    }

    /// As [`sigaction`].
    ///
    /// # Safety
    /// As for the C library's.
    #[cfg_attr(feature = "preload", unsafe(no_mangle))]
    pub(crate) unsafe extern "C" fn signal(signal: c_int, handler: usize) -> usize {
        let (mut new, mut former) = (
            MaybeUninit::<libc::sigaction>::zeroed(),
            MaybeUninit::<libc::sigaction>::zeroed(),
        );
        // SAFETY: zeros are a valid action; `sigaction` above is given valid places.
        unsafe {
            let action = &mut *new.as_mut_ptr();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_RESTART;
            if libc::sigaddset(&mut action.sa_mask, signal) != 0
                || sigaction(signal, action, former.as_mut_ptr()) != 0
            {
                return libc::SIG_ERR;
            }
            former.assume_init().sa_sigaction
        }
    }
}
