#!/usr/bin/env bash
# Instructions that a call of the library takes while nobody records: exact counts (valgrind's callgrind), of which the
# difference between two lengths of the same loop is taken, less that of the loop without the call.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release --package off
program=${CARGO_TARGET_DIR:-target}/release/off

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1 |
        awk '$2 == "Collected" { print $4; found = 1 } END { exit !found }'
}

# call, told or bare
per_1000_calls() {
    echo $((($(count "$1" "$2" 101000) - $(count "$1" "$2" 1000)) / 100))
}

costs() {
    local call cost
    for call in label unlabel work profiled blocking; do
        cost=$(($(per_1000_calls $call told) - $(per_1000_calls $call bare)))
        printf '| `%s` | %d.%d |\n' $call $((cost / 1000)) $((cost % 1000 / 100))
    done
}

printf '| never started | instructions |\n|---|--:|\n'
(unset ASYNCPROF && costs)
printf '\n| started with `ASYNCPROF=off` | instructions |\n|---|--:|\n'
(export ASYNCPROF=off && costs)
