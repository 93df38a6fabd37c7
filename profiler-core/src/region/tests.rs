//! Two mappings of one region in one process stand for two processes.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::shared::create_memfd;
use super::*;
use crate::clock::ClockSource;
use crate::event::{Event, Kind};
use crate::process_info::ProcessInfo;
use crate::thinning::{Thinning, has_thinned};

fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[test]
fn two_mappings_see_the_same_recording() {
    let (recorder, file) = Region::create(7, ClockSource::detect(), None).unwrap();
    let app = Region::open(&path_of(&file), 7).unwrap();
    let process = app.claim_process(42).unwrap();
    let info = ProcessInfo {
        pid: 42,
        executable: "/bin/app".into(),
        ..Default::default()
    };
    app.publish_process(process, info.clone());
    assert_eq!(recorder.process_info(process), Some(info));
    assert_eq!(recorder.processes().collect::<Vec<_>>(), [(process, 42)]);

    let (slot, mut producer) = app.claim_thread(process).unwrap();
    let stack = app.stacks().intern(&[1, 2, 3]);
    let event = Event {
        kind: Kind::Spawn,
        ticks: app.now(),
        subject: 0x1000,
        aux: 0,
        value: u64::from(stack),
    };
    producer.push(event);
    let mut seen = Vec::new();
    recorder
        .consumer(slot)
        .unwrap()
        .drain(|event| seen.push(event))
        .unwrap();
    assert_eq!(seen, [event]);
    let mut frames = Vec::new();
    recorder.stacks().read(stack, &mut frames);
    assert_eq!(frames, [1, 2, 3]);

    recorder.release_process(process);
    assert_eq!(recorder.processes().count(), 0);
    assert_eq!(
        recorder.process_info(process),
        None,
        "the next owner is not taken for the last"
    );
    assert_eq!(
        app.claim_thread(0).unwrap().0,
        slot,
        "the killed process's ring is free again"
    );
}

#[test]
fn what_is_to_be_left_out_is_told() {
    let (recorder, file) = Region::create(7, ClockSource::detect(), None).unwrap();
    let app = Region::open(&path_of(&file), 7).unwrap();
    assert_eq!(app.thinning_word().load(Ordering::Relaxed), 0);
    assert!(app.short_wait_ticks() > 0);
    let thinning = Thinning {
        skip_short_stacks: true,
        level: 3,
        cull: None,
    };
    recorder.set_thinning(thinning);
    assert_eq!(app.thinning(), thinning);
    recorder.set_thinning(Thinning::default());
    assert_eq!(app.thinning(), Thinning::default());
    assert!(has_thinned(app.thinning_word().load(Ordering::Relaxed)));
}

#[test]
fn a_foreign_file_is_refused() {
    let (_region, file) = Region::create(7, ClockSource::Monotonic, None).unwrap();
    assert!(matches!(
        Region::open(&path_of(&file), 8),
        Err(RegionError::Foreign)
    ));
    let other = create_memfd().unwrap();
    assert!(matches!(
        Region::open(&path_of(&other), 7),
        Err(RegionError::Foreign)
    ));
}

#[test]
fn a_message_too_long_loses_its_last_modules() {
    let (region, _file) = Region::create(7, ClockSource::Monotonic, None).unwrap();
    let slot = region.claim_process(1).unwrap();
    let module = crate::process_info::ModuleInfo {
        path: "x".repeat(1000),
        ..Default::default()
    };
    region.publish_process(
        slot,
        ProcessInfo {
            modules: vec![module; 100],
            ..Default::default()
        },
    );
    let kept = region.process_info(slot).unwrap().modules.len();
    assert!((60..=65).contains(&kept), "{kept}");
}

#[test]
fn a_silent_recorder_counts_as_gone() {
    let (region, _file) = Region::create(7, ClockSource::Monotonic, None).unwrap();
    region.stop_if_abandoned();
    assert!(region.is_recording(), "it has not said how long it may be silent");
    region.beat(u64::MAX);
    region.stop_if_abandoned();
    assert!(region.is_recording());
    region.beat(1);
    while region.is_recording() {
        region.stop_if_abandoned();
    }
}
