//! What people see of a profile: readable names, wait kinds and call trees. No drawing, no text layout.

pub mod names;
