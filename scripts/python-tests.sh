#!/usr/bin/env bash
# CPython's own tests of asyncio, alone and under `asyncprof record`: every test must end alike. Writes its section of
# docs/compatibility.md.
#
#   scripts/python-tests.sh [PYTHON...]      ASYNCPROF=PROGRAM PYTHON_TESTS=FOLDER
#
# Without arguments: every interpreter of pyenv from 3.8 on that has brought its tests along.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
asyncprof=${ASYNCPROF:-$root/target/release/asyncprof}
work=${PYTHON_TESTS:-${TMPDIR:-/tmp}/asyncprof-python-tests}
repeats=5
different=0

pythons=("$@")
[ $# -gt 0 ] || mapfile -t pythons < <(printf "%s\n" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3 | sort -V)

# suite NAME COMMAND...: runs the tests with this command; "TEST OUTCOME" for each, and how the whole ended, in NAME.
suite() {
    local name=$1 code=0
    shift
    rm -f "$work/$name.xml"
    timeout -k 5 600 "$@" -m test --junit-xml "$work/$name.xml" test_asyncio \
        </dev/null >"$work/$name.out" 2>&1 || code=$?
    {
        [ ! -e "$work/$name.xml" ] || "$python" - "$work/$name.xml" <<'PYTHON'
import sys
from xml.etree import ElementTree

for test in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
    outcomes = [child.tag for child in test if child.tag in ("error", "failure", "skipped")]
    print(test.get("name").split(" ")[0], *(outcomes or ["ok"]))
PYTHON
        echo "(exit code) $code"
    } | LC_ALL=C sort >"$work/$name"
}

# succeeded TEST COMMAND...: how many of some runs of one test passed.
succeeded() {
    local name=$1 passed=0
    shift
    for _ in $(seq $repeats); do
        ! timeout 120 "$@" -m unittest "$name" </dev/null >/dev/null 2>&1 || passed=$((passed + 1))
    done
    echo "$passed"
}

mkdir -p "$work"
versions=() passed=() skipped=() alike=()
for python in "${pythons[@]}"; do
    "$python" -c 'import sys, test.test_asyncio; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || continue
    version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    record=("$asyncprof" record -q -o "$work/recorded.data" -- "$python")
    suite "alone-$version" "$python"
    suite "recorded-$version" "${record[@]}"
    answer=yes
    while read -r name; do
        alone=$(succeeded "$name" "$python") recorded=$(succeeded "$name" "${record[@]}")
        echo "CPython $version, $name: alone $alone of $repeats pass, recorded $recorded of $repeats" >&2
        # One that does not always pass alone tells nothing.
        if [ "$recorded" -lt "$alone" ]; then
            answer="**no**" different=1
        fi
    done < <(diff "$work/alone-$version" "$work/recorded-$version" | sed -n 's/^[<>] \([^( ]*\) .*/\1/p' | sort -u)
    versions+=("$version") alike+=("$answer")
    passed+=("$(grep -c ' ok$' "$work/recorded-$version")")
    skipped+=("$(grep -c ' skipped$' "$work/recorded-$version" || true)")
done
[ ${#versions[@]} -gt 0 ] || { echo "no interpreter has brought its tests along" >&2; exit 1; }

row() { printf '| %s' "$1"; shift; printf ' | %s' "$@"; printf ' |\n'; }
page=$root/docs/compatibility.md
{
    sed '/^## Python$/,$d' "$page"
    cat <<SECTION
## Python

Written by \`scripts/python-tests.sh\`, last on $(date -u +%Y-%m-%d). CPython's own tests of asyncio (\`python -m test
test_asyncio\`) were run alone and under \`asyncprof record\`. *Alike*: every test ended as it did alone, or, where the two
runs differed, passed as often in $repeats more runs each.

SECTION
    row "CPython" "${versions[@]}"
    row "---" "${versions[@]/*/--:}"
    row "passed" "${passed[@]}"
    row "skipped" "${skipped[@]}"
    row "alike" "${alike[@]}"
} >"$work/page"
mv "$work/page" "$page"
exit "$different"
