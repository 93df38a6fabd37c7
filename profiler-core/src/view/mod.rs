//! What people see of a profile: readable names, wait kinds and call trees. No drawing, no text layout.

pub mod category;
mod functions;
pub mod kind;
mod kind_table;
pub mod names;
mod path;
#[doc(hidden)]
pub mod testing;
