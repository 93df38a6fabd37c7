//! `asyncprof diff`: a comparison as text, or as JSON.

mod colors;
mod data;
mod folded;
mod lengths;
mod picture;
#[cfg(test)]
mod picture_tests;
#[cfg(test)]
mod tests;
mod text;
mod unit;

pub(crate) use data::{DiffInput, DiffReport, Sort, diff_json};
pub(crate) use folded::{FoldedInput, FoldedReport, folded_text};
pub(crate) use picture::{Width, diff_picture};
pub(crate) use text::diff_text;
