#!/usr/bin/env bash
# What recording costs beside the events themselves: the start of a program, our own process at a steady rate of events,
# its memory with many live tasks, and what tasks cost that do nothing. Each figure is a difference of two runs, of which
# one is longer or not recorded, so what both have in common does not count. Best on an idle machine.
set -euo pipefail
cd "$(dirname "$0")"

(cd .. && cargo build --quiet --release --package asyncprof-cli)
cargo build --quiet --release --target-dir target/loads- --package loads
asyncprof=${CARGO_TARGET_DIR:-../target}/release/asyncprof
loads=target/loads-/release
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# CPU seconds of all processes that a recording is made of, less those of the program's load.
own_cpu_ms() {
    local all
    TIMEFORMAT='%U %S'
    all=$({ time "$asyncprof" record --quiet --output "$folder/data" -- "$@" >"$folder/figures"; } 2>&1 |
        awk '{ print int(($1 + $2) * 1000) }')
    echo $((all - $(sed 's/.*"cpu_ns":\([0-9]*\).*/\1/' "$folder/figures") / 1000000))
}

# Of so many starts of a program, in ms of CPU each.
start_ms() {
    TIMEFORMAT='%U %S'
    local times=20
    { time "${@:2}" bash -c "for n in {1..$times}; do $1 >$folder/out; done" 2>/dev/null; } 2>&1 |
        awk -v times=$times '{ printf "%.1f\n", ($1 + $2) * 1000 / times }'
}

starts() {
    local plain recorded
    plain=$(start_ms "$2")
    recorded=$(start_ms "$2" "$asyncprof" record --quiet --freq 0 --output "$folder/data" --)
    printf '| start of %s, %d MB: CPU, with our own process'"'"'s | %.1f ms | %s |\n' \
        "$1" $(($(stat -c %s "${2%% *}") / 1000000)) "$(awk "BEGIN { print $recorded - $plain }")" "$3"
}

printf '| what | found | goal |\n|---|--:|--:|\n'
starts 'a release program' "$loads/pingpong 0" '30 ms'
if [[ -n ${1:-} ]]; then
    starts 'the program given' "$*" '300 ms'
fi

cpu=$(($(own_cpu_ms "$loads/steady" 12) - $(own_cpu_ms "$loads/steady" 2)))
events=$("$asyncprof" report --json "$folder/data" | sed 's/.*"events": *\([0-9]*\).*/\1/;t;d' | head -1)
printf '| our process at %d events a second | %.1f %% of a core | 5 %% |\n' $((events / 2)) "$(awk "BEGIN { print $cpu / 100 }")"

for tasks in 1000 100000; do
    cpu=$(($(own_cpu_ms "$loads/idle" $tasks 13) - $(own_cpu_ms "$loads/idle" $tasks 3)))
    printf '| our process, %d tasks that wait | %.2f %% of a core | 1 %% |\n' $tasks "$(awk "BEGIN { print $cpu / 100 }")"
done

"$asyncprof" record --quiet --output "$folder/data" -- "$loads/idle" 100000 >"$folder/figures" &
peak=0
while kill -0 $! 2>/dev/null; do
    now=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$!/status" 2>/dev/null || true)
    peak=$((${now:-0} > peak ? now : peak))
    sleep 0.1
done
printf '| its memory, 100,000 tasks that live | %d MB | 100 MB |\n' $((peak / 1000))
