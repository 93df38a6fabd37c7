#!/usr/bin/env bash
# What the aggregator takes for an event: the time, and (where there is valgrind) the instructions, which are the same each time.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release --package events
events=${CARGO_TARGET_DIR:-target}/release/events
"$events"
command -v valgrind >/dev/null || exit 0

# A stream, and its turns.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$events" --stream "$1" --turns "$2" --repetitions 1 2>&1 |
        awk '$2 == "Collected" { print $4; found = 1 } END { exit !found }'
}

for stream in pingpong echo storm; do
    more=$(count "$stream" 30)
    fewer=$(count "$stream" 10)
    echo "$stream: $(((more - fewer) / $("$events" --stream "$stream" --turns 20 --count))) instructions per event"
done
