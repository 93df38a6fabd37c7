# The commands people use daily.

# build and lint
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# all tests; `just test NAME` for some
test *ARGS:
    cargo nextest run --workspace {{ARGS}}

# record the demo and draw it
demo:
    cargo run --release -- demo

# how true the figures are: writes docs/accuracy.md, on an idle machine
accuracy:
    ASYNCPROF_ACCURACY_DOC=1 cargo test --release -p asyncprof-cli --test tests -- accuracy_page

# tokio's and asyncio's own tests under the profiler: writes docs/compatibility.md
compatibility:
    cargo build --release
    scripts/tokio-tests.sh
    scripts/python-tests.sh

# what profilers cost, side by side, on an idle machine: `just bench --output benches/RESULTS.md` (an hour), or part of it
bench *ARGS:
    cargo run --release --manifest-path benches/Cargo.toml --package runner -- {{ARGS}}

# pictures and comparisons of 400,000 stacks, beside inferno's
bench-pictures:
    cargo build --release
    cargo install --quiet inferno --version 0.12.8 --root benches/target/inferno
    cargo run --release --manifest-path benches/Cargo.toml --package pictures -- --asyncprof target/release/asyncprof --inferno benches/target/inferno/bin

# what each event of a recorded program costs, in instructions; needs valgrind
bench-taps:
    benches/taps/run.sh

# what each event costs our own process, in time and (with valgrind) in instructions
bench-events:
    benches/events/run.sh

# what the library's calls cost while nobody records, in instructions; needs valgrind
bench-off:
    benches/off/run.sh

# the lock-free parts, every interleaving
loom:
    RUSTFLAGS="--cfg loom" cargo test -p asyncprof-core --release --lib --target-dir target/loom loom

# all that CI does
ci:
    .ci/run
