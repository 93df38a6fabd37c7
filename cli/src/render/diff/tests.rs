//! The table as a stranger reads it.
