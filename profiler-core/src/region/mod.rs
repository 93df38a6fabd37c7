//! The memory that a recording's processes share: one anonymous file, mapped by the recorder and by every
//! process recorded. Its layout is fixed; [`LAYOUT_VERSION`] changes with it.
//!
//! ```text
//! header | process table | thread controls | stack index | stack arena | texts | one ring per thread slot
//! ```
//!
//! The file is sparse: what nobody writes to takes no memory.

mod layout;
mod mapping;
mod shared;
#[cfg(test)]
mod tests;

pub use layout::{
    ALLOW_UNKNOWN_TOKIO_VARIABLE, LAYOUT_VERSION, PROCESS_SLOTS, REGION_VARIABLE, SAMPLING_SIGNAL,
    SYMBOLS_VARIABLE, THREAD_SLOTS,
};
pub use shared::{Region, RegionError};
