//! Waits that the programs measure themselves come out within 2 %, at the right place and of the right kind, however
//! the program is built and whichever known tokio it holds.
//!
//! `ASYNCPROF_TEST_TABLE=1 cargo test accuracy -- --nocapture` prints each figure beside its truth.

use crate::programs;
use crate::support::accuracy::Build;

macro_rules! in_build {
    ($name:ident, $build:expr, $($program:ident)*) => {
        mod $name {
            use super::*;

            $(#[test]
            fn $program() {
                programs::$program($build);
            })*
        }
    };
}

in_build!(release, Build::of("waits", "release"),
    sleep current_thread tcp channels locks joins branches blocking dynfut outcomes threads);
in_build!(lto, Build::of("waits", "lto"),
    sleep current_thread tcp channels locks joins branches blocking dynfut outcomes threads);
in_build!(dev, Build::of("waits", "dev"),
    sleep current_thread tcp channels locks joins branches blocking dynfut outcomes threads);

in_build!(release_without_lines, Build::stripped("release"),
    sleep current_thread tcp channels locks joins blocking dynfut);
in_build!(lto_without_lines, Build::stripped("lto"),
    sleep current_thread tcp channels locks joins blocking dynfut);
in_build!(dev_without_lines, Build::stripped("dev"),
    sleep current_thread tcp channels locks joins blocking dynfut);

in_build!(tokio_1_47, Build::of("tokio-1.47", "release"), sleep tcp channels locks joins branches blocking);
in_build!(tokio_1_38, Build::of("tokio-1.38", "release"), sleep tcp channels locks joins branches blocking);
in_build!(tokio_1_28, Build::of("tokio-1.28", "release"), sleep tcp channels locks joins branches blocking);
