#!/usr/bin/env bash
# tokio's own tests, alone and under `asyncprof record`: every test must end alike. Writes docs/compatibility.md.
#
#   scripts/tokio-tests.sh [VERSION...]      ASYNCPROF=path/to/asyncprof TOKIO_TESTS=folder/to/build/in
#
# The tests come with tokio's package. They are built in a folder of their own, where everything that depends on
# tokio is made to depend on that very copy.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
versions=("$@")
[ $# -gt 0 ] || versions=(1.54.1 1.47.5 1.38.2)
asyncprof=${ASYNCPROF:-$root/target/release/asyncprof}
work=${TOKIO_TESTS:-${TMPDIR:-/tmp}/asyncprof-tokio-tests}
features=full,test-util
repeats=10
unset CARGO_TARGET_DIR
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
different=0

# fetch VERSION: tokio's package, unpacked in the work folder and patched to itself.
fetch() {
    local package=$work/tokio-$1 probe=$work/fetch-$1
    [ ! -e "$package/Cargo.toml" ] || return 0
    mkdir -p "$probe/src" && touch "$probe/src/lib.rs"
    printf '[package]\nname = "fetch"\nedition = "2021"\n[dependencies]\ntokio = "=%s"\n' "$1" >"$probe/Cargo.toml"
    local manifest
    manifest=$(cd "$probe" && cargo metadata --format-version 1 --quiet |
        grep -o "\"manifest_path\":\"[^\"]*/tokio-$1/Cargo.toml\"" | cut -d'"' -f4)
    cp -r "$(dirname "$manifest")" "$package.part"
    printf '\n[patch.crates-io]\ntokio = { path = "." }\n[workspace]\n' >>"$package.part/Cargo.toml"
    rm -f "$package.part/Cargo.lock"
    mv "$package.part" "$package"
}

# outcomes COMMAND...: "NAME OUTCOME" for each test, and how the whole ended.
outcomes() {
    local code=0
    timeout -k 5 600 "$@" </dev/null >"$work/out" 2>"$work/err" || code=$?
    sed -n 's/^test \(.*\) \.\.\. \(ok\|FAILED\|ignored\).*/\1 \2/p' "$work/out" | LC_ALL=C sort
    echo "(exit code) $code"
}

# succeeded NAME COMMAND...: how many of some runs of one test passed.
succeeded() {
    local name=$1 passed=0
    shift
    for _ in $(seq $repeats); do
        ! timeout 60 "$@" --exact "$name" </dev/null >/dev/null 2>&1 || passed=$((passed + 1))
    done
    echo "$passed"
}

# test_file VERSION FILE PROGRAM: runs it both ways; notes the number of tests that ended alike.
test_file() {
    local record=("$asyncprof" record -o "$work/recorded.data" -- "$3")
    outcomes "$3" >"$work/alone"
    outcomes "${record[@]}" >"$work/recorded"
    if grep "ran unobserved: it holds a tokio" "$work/err" >&2; then
        different=1
        echo "$2 $1 **not recorded**" >>"$work/table"
        return 0
    fi
    local tests
    tests=$(grep -c ' ok$' "$work/alone" || true)
    [ "$tests" -gt 0 ] || [ "$(wc -l <"$work/alone")" -gt 1 ] || return 0
    if ! diff "$work/alone" "$work/recorded" >"$work/diff"; then
        echo "tokio $1, $2: not as alone" >&2
        cat "$work/diff" >&2
        sed -n 's/^[<>] \([^(].*\) \(ok\|FAILED\|ignored\)$/\1/p' "$work/diff" | LC_ALL=C sort -u | while read -r name; do
            name=${name% - should panic}
            echo "  $name alone: $(succeeded "$name" "$3") of $repeats pass," \
                "recorded: $(succeeded "$name" "${record[@]}") of $repeats" >&2
        done
        different=1
        tests="**not as alone**"
    fi
    echo "$2 $1 $tests" >>"$work/table"
}

mkdir -p "$work"
: >"$work/table"
for version in "${versions[@]}"; do
    fetch "$version"
    cd "$work/tokio-$version"
    # A file that needs more than the features above is left out, and not in the list.
    # Built in its own folder a package's sources have no path, which is what tells the version.
    RUSTFLAGS="--remap-path-prefix=src=$PWD/src" \
        cargo test --no-run --no-fail-fast --tests --features "$features" 2>&1 | tee "$work/build-$version.log" |
        sed -n 's/^ *Executable \(tests\/[^ ]*\) (\(.*\))$/\1 \2/p' >"$work/programs-$version"
    [ -s "$work/programs-$version" ] || { tail "$work/build-$version.log" >&2; exit 1; }
    while read -r file program; do
        test_file "$version" "$file" "./$program"
    done <"$work/programs-$version"
done

page=$root/docs/compatibility.md
{
    "$root/scripts/compatibility-page.sh" "$work/table" "${versions[@]}"
    printf '\n'
    sed -n '/^## Python$/,$p' "$page" # python-tests.sh's
} >"$work/page"
mv "$work/page" "$page"
exit "$different"
