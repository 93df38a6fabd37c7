//! What people see of a profile: readable names, wait kinds and call trees. No drawing, no text layout.

mod activity;
mod analysis;
mod builder;
pub mod category;
mod continued;
pub(crate) mod counted;
mod family;
mod functions;
mod groups;
pub mod kind;
mod kind_table;
mod labelled;
pub mod names;
mod path;
mod path_order;
pub(crate) mod prefix_tree;
mod python;
mod python_kinds;
pub(crate) mod row_paths;
mod source;
mod steps;
#[doc(hidden)]
pub mod testing;
mod tree;
#[cfg(test)]
mod tree_tests;

pub use activity::{Activity, Shares};
pub use analysis::{Analysis, AwaitSite};
pub use category::Category;
pub use family::GroupBy;
pub use functions::{NameId, Place};
pub use groups::{name_groups, rename_groups};
pub use kind::{Kind, Rule, Rules};
pub use source::WakeSource;
pub use tree::{By, CallTree, FrameKind, MAX_PLACES, Node, NodeId, TaskKindOrd, TreeOptions};
