//! What the kernel tells of a thread, and how a thread is asked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use asyncprof_core::region::SAMPLING_SIGNAL;

/// A thread's `/proc/PID/task/TID/syscall`, kept open.
#[derive(Debug)]
pub(super) struct ThreadFile(File);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadState {
    /// On a CPU, or ready for one.
    Running,
    /// Off the CPU: in a system call, or a page fault.
    Blocked { sp: u64, ip: u64 },
}

impl ThreadFile {
    pub(super) fn open(pid: u32, tid: u64) -> io::Result<ThreadFile> {
        File::open(format!("/proc/{pid}/task/{tid}/syscall")).map(ThreadFile)
    }

    pub(super) fn read(&self) -> io::Result<ThreadState> {
        let mut bytes = [0; 256];
        let len = self.0.read_at(&mut bytes, 0)?;
        parse(&String::from_utf8_lossy(&bytes[..len])).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// `running`; or the call's number, its six arguments, the stack pointer and the instruction pointer; or, outside of
/// a call, -1 and the two pointers.
fn parse(line: &str) -> Option<ThreadState> {
    if line.trim() == "running" {
        return Some(ThreadState::Running);
    }
    let mut words = line.split_ascii_whitespace().rev();
    let mut pointer = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let ip = pointer()?;
    let sp = pointer()?;
    Some(ThreadState::Blocked { sp, ip })
}

/// Sends the thread the signal on which it writes its stack. A thread that has ended cannot be asked.
#[allow(unsafe_code)]
pub(super) fn ask(pid: u32, tid: u64) {
    // SAFETY: zeros are a valid description; the system reads it.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        info.si_signo = SAMPLING_SIGNAL;
        info.si_code = libc::SI_QUEUE;
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            pid,
            tid,
            SAMPLING_SIGNAL,
            &raw const info,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_three_answers() {
        let blocked = Some(ThreadState::Blocked {
            sp: 0x7ffc_1000,
            ip: 0x7f00_0003,
        });
        assert_eq!(parse("running\n"), Some(ThreadState::Running));
        assert_eq!(
            parse("230 0x0 0x0 0x1 0x2 0x0 0x0 0x7ffc1000 0x7f000003\n"),
            blocked
        );
        assert_eq!(parse("-1 0x7ffc1000 0x7f000003\n"), blocked);
        for odd in ["", "230", "-1 7 8", "0x1 nonsense"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_blocked_thread_is_told_from_a_running_one() {
        let (told, tid) = crossbeam_channel::bounded(1);
        let (wait, waits) = crossbeam_channel::bounded::<()>(0);
        let (spin, spins) = crossbeam_channel::bounded::<()>(0);
        let other = std::thread::spawn(move || {
            told.send(thread_id()).unwrap();
            let _ = waits.recv();
            while spins.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {}
        });
        let file = ThreadFile::open(std::process::id(), tid.recv().unwrap()).unwrap();
        while file.read().unwrap() == ThreadState::Running {
            std::thread::yield_now();
        }
        drop(wait);
        while file.read().unwrap() != ThreadState::Running {
            std::thread::yield_now();
        }
        drop(spin);
        other.join().unwrap();
    }

    fn thread_id() -> u64 {
        let own = std::fs::read_link("/proc/thread-self").unwrap();
        own.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }
}
