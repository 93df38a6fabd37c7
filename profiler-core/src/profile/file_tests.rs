//! The file against its promise: write then read is identity, and no bytes whatever make a reader panic.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::profile::arbitrary::profile;
use crate::profile::{Frame, FrameId, Function, Group, GroupId, ModuleId, Process, StringId};

fn bytes_of(profile: &Profile) -> Vec<u8> {
    let mut bytes = Vec::new();
    profile.write_to(&mut bytes).expect("a vector takes everything");
    bytes
}

/// A file whose header is right, whatever its payload is.
fn file_with(payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(crc32fast::hash(payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn deflated(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn error_of(bytes: &[u8]) -> String {
    Profile::read_from(bytes)
        .expect_err("must be refused")
        .to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn write_then_read_is_identity(profile in profile()) {
        prop_assert_eq!(profile.check(), Ok(()));
        prop_assert_eq!(Profile::read_from(&bytes_of(&profile)[..]).unwrap(), profile);
    }

    #[test]
    fn every_truncation_is_an_error(profile in profile()) {
        let bytes = bytes_of(&profile);
        for len in 0..bytes.len() {
            let read = Profile::read_from(&bytes[..len]);
            prop_assert!(matches!(read, Err(ReadError::Truncated { have, .. }) if have == len as u64), "{len}");
        }
    }

    #[test]
    fn no_changed_byte_changes_the_profile(profile in profile(), mask in 1..=255u8) {
        let bytes = bytes_of(&profile);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            prop_assert!(Profile::read_from(&changed[..]).is_err(), "byte {at}");
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Profile::read_from(&bytes[..]).is_err());
        prop_assert!(Profile::read_from(&file_with(&bytes)[..]).is_err());
        // With a good checksum and a good stream, only decoding and `check` stand in the way.
        let _ = Profile::read_from(&file_with(&deflated(&bytes))[..]);
    }

    /// Damage that the checksum does not see: the tables must still fit together, or be refused.
    #[test]
    fn what_is_read_is_consistent(profile in profile(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = postcard::to_stdvec(&profile).unwrap();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(read) = Profile::read_from(&file_with(&deflated(&body))[..]) {
            prop_assert_eq!(read.check(), Ok(()));
            for row in &read.rows {
                row.stats.quantile_ns(0.99);
                read.stack(row.stack).iter().for_each(|&id| { read.frame(id); });
                read.string(read.group(row.group).name);
            }
        }
    }
}

#[test]
fn foreign_files_are_named_as_such() {
    assert!(error_of(b"PERFILE2 and so on").contains("not an asyncprof profile"));
    assert!(error_of(b"<?x").contains("not an asyncprof profile"));
    assert!(error_of(b"").contains("truncated (0 of 24 bytes"));
}

#[test]
fn a_newer_version_is_refused_with_both_versions() {
    let mut bytes = bytes_of(&Profile::empty());
    bytes[8] = 7;
    let error = error_of(&bytes);
    assert!(
        error.contains("version 7") && error.contains("up to version 1"),
        "{error}"
    );
    assert!(error.contains("update asyncprof"), "{error}");
}

#[test]
fn bytes_after_the_end_are_damage() {
    let mut bytes = bytes_of(&Profile::empty());
    bytes.push(0);
    assert!(error_of(&bytes).contains("after its end"));
    let mut body = postcard::to_stdvec(&Profile::empty()).unwrap();
    body.push(0);
    assert!(error_of(&file_with(&deflated(&body))).contains("after its body"));
    let mut payload = bytes_of(&Profile::empty()).split_off(HEADER_BYTES);
    payload.push(0);
    assert!(error_of(&file_with(&payload)).contains("after its body"));
}

#[test]
fn a_length_beyond_the_file_allocates_nothing() {
    let mut bytes = bytes_of(&Profile::empty());
    bytes[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(error_of(&bytes).contains("truncated"));
}

#[test]
fn inflating_stops_at_its_limit() {
    let payload = deflated(&vec![0; 1 << 20]);
    assert!(payload.len() < 2000);
    assert!(matches!(
        inflate(&payload, (1 << 20) - 1),
        Err(ReadError::TooLarge)
    ));
    assert_eq!(inflate(&payload, 1 << 20).unwrap().len(), 1 << 20);
}

#[test]
fn an_index_outside_its_table_is_refused() {
    let mut profile = Profile::empty();
    profile.stacks.push(vec![FrameId(3)]);
    assert_eq!(
        error_of(&bytes_of(&profile)),
        "the profile's content is damaged (stack 1 refers to frame 3 of 0); record it again"
    );

    let mut profile = Profile::empty();
    let function = Function {
        name: StringId(9),
        ..Function::default()
    };
    profile.frames.push(Frame {
        functions: vec![function],
        ..Frame::default()
    });
    assert!(error_of(&bytes_of(&profile)).contains("frame 0 refers to string 9 of 1"));

    let mut profile = Profile::empty();
    profile.frames.push(Frame {
        module: Some(ModuleId(0)),
        ..Frame::default()
    });
    assert!(error_of(&bytes_of(&profile)).contains("frame 0 refers to module 0 of 0"));

    assert!(error_of(&bytes_of(&Profile::default())).contains("string 0 is not empty"));
}

/// The layout that `docs/format.md` promises; a change of it needs a new version.
#[test]
fn the_layout_is_the_documented_one() {
    let bytes = bytes_of(&Profile::empty());
    assert_eq!(&bytes[..8], b"asyncpf\n");
    assert_eq!(bytes[8..12], 1u32.to_le_bytes());
    assert_eq!(bytes[12..20], (bytes.len() as u64 - 24).to_le_bytes());
    assert_eq!(bytes[20..24], crc32fast::hash(&bytes[24..]).to_le_bytes());
}

#[test]
fn a_group_that_descends_from_itself_is_refused() {
    let family = |parents: [Option<u32>; 2]| {
        let group = |parent: Option<u32>| Group {
            parent: parent.map(GroupId),
            ..Group::default()
        };
        Profile {
            processes: vec![Process::default()],
            groups: parents.map(group).to_vec(),
            ..Profile::empty()
        }
    };
    family([None, Some(0)]).check().unwrap();
    for (parents, why) in [
        ([Some(0), None], "group 0 refers to earlier group 0 of 0"),
        ([Some(1), Some(0)], "group 0 refers to earlier group 1 of 0"),
        ([None, Some(1)], "group 1 refers to earlier group 1 of 1"),
    ] {
        assert!(error_of(&bytes_of(&family(parents))).contains(why));
    }
}
