//! The profile as bytes: a small checked header around a deflated body. `docs/format.md` specifies it.
//!
//! A reader trusts nothing: not the length field, not the deflate ratio, not an index in a table. Whatever
//! [`Profile::read_from`] returns has passed [`Profile::check`].

use std::io::{self, BufWriter, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use thiserror::Error;

use super::check::Inconsistent;
use super::model::Profile;

/// The first bytes of every profile. The line end shows a transfer in text mode, as in PNG.
pub const MAGIC: [u8; 8] = *b"asyncpf\n";

/// Version of the body that this build writes. It reads this one and every older one that a release wrote.
pub const FORMAT_VERSION: u32 = 1;

/// Magic, version, length of the payload, checksum of the payload.
const HEADER_BYTES: usize = 8 + 4 + 8 + 4;

/// No body may inflate to more than this.
const MAX_BODY_BYTES: u64 = 4 << 30;

/// Bodies are mostly small integers: higher levels cost time and save little.
const COMPRESSION_LEVEL: u32 = 3;

/// Why a profile could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the profile could not be encoded ({0}); this is a fault of asyncprof, please report it")]
    Encode(postcard::Error),
}

/// Why bytes could not be read as a profile.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(
        "this is not an asyncprof profile (it does not begin like one); record one with `asyncprof record`"
    )]
    Foreign,
    #[error(
        "the profile is truncated ({have} of {need} bytes are there): it was cut off while being written \
         or copied; copy or record it again"
    )]
    Truncated { have: u64, need: u64 },
    #[error("the profile is damaged ({0}): it was changed after asyncprof wrote it; copy or record it again")]
    Damaged(&'static str),
    #[error(
        "the profile has format version {found}, this asyncprof reads up to version {supported}: \
         it was recorded by a newer asyncprof; update asyncprof"
    )]
    Newer { found: u32, supported: u32 },
    #[error(
        "the profile's body inflates to more than {MAX_BODY_BYTES} bytes; no recording of asyncprof does"
    )]
    TooLarge,
    #[error("the profile's content is damaged ({0}); record it again")]
    Content(#[from] Inconsistent),
    #[error("the profile's content is damaged (it cannot be decoded: {0}); record it again")]
    Decode(postcard::Error),
}

impl Profile {
    /// Writes the whole file. The writer need not be buffered.
    pub fn write_to(&self, mut writer: impl Write) -> Result<(), WriteError> {
        let payload = self.payload()?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(FORMAT_VERSION.to_le_bytes());
        header.extend((payload.len() as u64).to_le_bytes());
        header.extend(crc32fast::hash(&payload).to_le_bytes());
        writer.write_all(&header)?;
        writer.write_all(&payload)?;
        Ok(writer.flush()?)
    }

    /// Reads a whole file, to its end, and checks every table of it.
    pub fn read_from(mut reader: impl Read) -> Result<Profile, ReadError> {
        let header = read_header(&mut reader)?;
        let mut payload = Vec::new();
        reader
            .by_ref()
            .take(header.payload_bytes)
            .read_to_end(&mut payload)?;
        let have = payload.len() as u64;
        if have < header.payload_bytes {
            let whole = |bytes: u64| bytes.saturating_add(HEADER_BYTES as u64);
            return Err(ReadError::Truncated {
                have: whole(have),
                need: whole(header.payload_bytes),
            });
        }
        if crc32fast::hash(&payload) != header.crc32 {
            return Err(ReadError::Damaged("its checksum does not match"));
        }
        if reader.take(1).read_to_end(&mut Vec::new())? != 0 {
            return Err(ReadError::Damaged("there are bytes after its end"));
        }
        let body = inflate(&payload, MAX_BODY_BYTES)?;
        drop(payload);
        // No prefix in the body can allocate much more than the body itself: text is bounded by the bytes
        // left, and serde reserves at most 1 MiB for a sequence before it has seen the elements.
        let (profile, rest) = postcard::take_from_bytes::<Profile>(&body).map_err(ReadError::Decode)?;
        if !rest.is_empty() {
            return Err(ReadError::Damaged("there are bytes after its body"));
        }
        profile.check()?;
        Ok(profile)
    }

    fn payload(&self) -> Result<Vec<u8>, WriteError> {
        // The encoder hands over single bytes.
        let encoder = DeflateEncoder::new(Vec::new(), Compression::new(COMPRESSION_LEVEL));
        let writer = BufWriter::with_capacity(1 << 16, encoder);
        let writer = postcard::to_io(self, writer).map_err(WriteError::Encode)?;
        Ok(writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .finish()?)
    }
}

struct Header {
    payload_bytes: u64,
    crc32: u32,
}

fn read_header(reader: &mut impl Read) -> Result<Header, ReadError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    reader
        .by_ref()
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut bytes)?;
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(ReadError::Foreign);
    }
    let have = bytes.len() as u64;
    let Ok(bytes) = <[u8; HEADER_BYTES]>::try_from(bytes) else {
        return Err(ReadError::Truncated {
            have,
            need: HEADER_BYTES as u64,
        });
    };
    let [
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        v0,
        v1,
        v2,
        v3,
        l0,
        l1,
        l2,
        l3,
        l4,
        l5,
        l6,
        l7,
        c0,
        c1,
        c2,
        c3,
    ] = bytes;
    match u32::from_le_bytes([v0, v1, v2, v3]) {
        FORMAT_VERSION => {}
        0 => return Err(ReadError::Damaged("its version is 0")),
        found => {
            return Err(ReadError::Newer {
                found,
                supported: FORMAT_VERSION,
            });
        }
    }
    Ok(Header {
        payload_bytes: u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
        crc32: u32::from_le_bytes([c0, c1, c2, c3]),
    })
}

fn inflate(payload: &[u8], max_bytes: u64) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    let mut decoder = DeflateDecoder::new(payload);
    let inflated = decoder.by_ref().take(max_bytes).read_to_end(&mut body);
    inflated.map_err(|_| ReadError::Damaged("its body cannot be inflated"))?;
    if decoder.read(&mut [0]).is_ok_and(|more| more > 0) {
        return Err(ReadError::TooLarge);
    }
    if decoder.total_in() != payload.len() as u64 {
        return Err(ReadError::Damaged("there are bytes after its body"));
    }
    Ok(body)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
