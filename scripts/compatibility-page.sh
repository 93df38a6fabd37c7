#!/usr/bin/env bash
# The page docs/compatibility.md from the table that tokio-tests.sh made: TABLE VERSION...
set -euo pipefail
table=$1
shift
cat <<PAGE
# Compatibility

Written by \`scripts/tokio-tests.sh\`, last on $(date -u +%Y-%m-%d). The test files that come with tokio's package, in a
debug build with the features \`full,test-util\`, were run alone and under \`asyncprof record\`. Each test ended alike,
file by file, unless the table says otherwise. The figures are tests that passed; files that hold none for this system or
these features are left out.

| file | tokio $(sed 's/ / | /g' <<<"$*") |
|---|$(printf -- '--:|%.0s' "$@")
PAGE
awk -v versions="$*" '
    { files[$1]; results[$1, $2] = substr($0, length($1 " " $2 " ") + 1); if ($3 ~ /^[0-9]+$/) sum[$2] += $3 }
    END {
        count = split(versions, version, " ")
        sort = "LC_ALL=C sort"
        for (file in files) {
            line = "| `" file "` |"
            for (i = 1; i <= count; i++) line = line " " results[file, version[i]] " |"
            print line | sort
        }
        close(sort)
        line = "| all |"
        for (i = 1; i <= count; i++) line = line " " sum[version[i]] " |"
        print line
    }' "$table"
