//! Saving against its promise: all or nothing, the old one kept, no litter.

use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A folder of the test's own, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "asyncprof-save-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn profile_named(command: &str) -> Profile {
    let mut profile = Profile::empty();
    profile.meta.command = vec![command.into()];
    profile
}

#[test]
fn the_previous_profile_is_kept_as_old() {
    let dir = Dir::new();
    let path = dir.0.join("a.data");
    for name in ["first", "second", "third"] {
        profile_named(name).save(&path).unwrap();
        assert_eq!(Profile::load(&path).unwrap(), profile_named(name));
    }
    assert_eq!(
        Profile::load(dir.0.join("a.data.old")).unwrap(),
        profile_named("second")
    );
    assert_eq!(dir.names(), ["a.data", "a.data.old"]);
}

#[test]
fn a_symbolic_link_stays_one() {
    let dir = Dir::new();
    let (path, link) = (dir.0.join("real.data"), dir.0.join("link.data"));
    profile_named("first").save(&path).unwrap();
    std::os::unix::fs::symlink("real.data", &link).unwrap();
    profile_named("second").save(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Profile::load(&path).unwrap(), profile_named("second"));
    assert_eq!(
        Profile::load(dir.0.join("real.data.old")).unwrap(),
        profile_named("first")
    );
}

#[test]
fn where_old_cannot_be_kept_nothing_changes() {
    let dir = Dir::new();
    let path = dir.0.join("a.data");
    profile_named("first").save(&path).unwrap();
    fs::create_dir(dir.0.join("a.data.old")).unwrap();
    let error = profile_named("second").save(&path).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot save the profile to ") && error.contains("a.data"),
        "{error}"
    );
    assert_eq!(Profile::load(&path).unwrap(), profile_named("first"));
    assert_eq!(dir.names(), ["a.data", "a.data.old"]);
}

#[test]
fn places_that_cannot_be_written_are_errors() {
    let dir = Dir::new();
    assert!(
        Profile::empty()
            .save(&dir.0)
            .unwrap_err()
            .to_string()
            .contains("is a directory")
    );
    assert!(Profile::empty().save(dir.0.join("no/such/a.data")).is_err());
    assert!(Profile::empty().save("").is_err());
    let full = Profile::empty().save("/dev/full").unwrap_err();
    assert!(matches!(full.why, WriteError::Io(error) if error.kind() == io::ErrorKind::StorageFull));
    assert!(dir.names().is_empty());
}

#[test]
fn a_pipe_is_written_to_directly() {
    let dir = Dir::new();
    let path = dir.0.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut bytes = Vec::new();
            File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        }
    });
    profile_named("piped").save(&path).unwrap();
    assert_eq!(
        Profile::read_from(&reader.join().unwrap()[..]).unwrap(),
        profile_named("piped")
    );
    assert_eq!(dir.names(), ["fifo"]);
}

/// `asyncprof record -o /dev/stdout -- app >> file`.
#[test]
fn an_open_file_is_appended_to_and_not_renamed() {
    let dir = Dir::new();
    let path = dir.0.join("out");
    fs::write(&path, "before").unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    use std::os::fd::AsRawFd;
    profile_named("appended")
        .save(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(
        Profile::read_from(&bytes["before".len()..]).unwrap(),
        profile_named("appended")
    );
    assert_eq!(dir.names(), ["out"]);
}

#[test]
fn loading_what_is_not_there_names_the_path() {
    let dir = Dir::new();
    let error = Profile::load(dir.0.join("missing.data")).unwrap_err().to_string();
    assert!(
        error.contains("missing.data") && error.contains("No such file"),
        "{error}"
    );
    assert!(Profile::load(&dir.0).is_err());
}
