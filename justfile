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

# the lock-free parts, every interleaving
loom:
    RUSTFLAGS="--cfg loom" cargo test -p asyncprof-core --release --lib --target-dir target/loom loom

# all that CI does
ci:
    .ci/run
