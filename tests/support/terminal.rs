//! Runs a command on a terminal of its own, as a user does.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::{io, ptr};

use super::run::{shell_code, wait_until};

pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    pub fn start(command: &mut Command) -> Terminal {
        let (master, slave) = open();
        let stdio = || slave.try_clone().unwrap();
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        command.env("TERM", "xterm");
        // SAFETY: system calls only, as is right between fork and exec.
        unsafe {
            command.pre_exec(|| {
                // A session of its own, whose terminal is this one: its Ctrl-C goes to all that run there.
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // Nobody but the program holds the terminal open.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        drop(slave);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut output, shown) = (File::from(master.try_clone().unwrap()), Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end is an error on a terminal: nobody is there any more.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Terminal {
            child,
            keyboard: master.into(),
            screen,
            reader,
        }
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    pub fn wait_for(&self, text: &str) {
        wait_until(text, || self.screen().contains(text));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn press_ctrl_c(&mut self) {
        self.keyboard.write_all(b"\x03").unwrap();
    }

    /// Waits for the command's end: its exit code and all that was on the screen.
    pub fn finish(mut self) -> (i32, String) {
        let mut status = None;
        wait_until("the end of the command", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let Terminal { screen, reader, .. } = self;
        reader.join().unwrap();
        let text = String::from_utf8_lossy(&screen.lock().unwrap()).into_owned();
        (shell_code(status.expect("just seen")), text)
    }
}

fn open() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let size = libc::winsize {
        ws_row: 40,
        ws_col: 200,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the first two are valid to write to, the size is valid to read.
    let result = unsafe {
        libc::openpty(
            &mut master,
            &mut slave,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::from_ref(&size).cast_mut(),
        )
    };
    assert_eq!(result, 0, "no terminal: {}", io::Error::last_os_error());
    // SAFETY: two new descriptors that nobody else owns.
    let pair = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    for end in [&pair.0, &pair.1] {
        // SAFETY: a descriptor that we own. Programs started by other tests must not hold it open.
        unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    pair
}
