//! `asyncprof diff`: a comparison as text, or as JSON.

mod data;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use data::{DiffInput, DiffReport, Sort, diff_json};
pub(crate) use text::diff_text;
