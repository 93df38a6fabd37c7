#!/usr/bin/env bash
# Makes the virtual environment for tests with FastAPI, once, and prints its interpreter: for each Python named, or
# the newest found that the pinned packages support. `scripts/python-venv.sh [PYTHON [REQUIREMENTS]]`
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=${2:-fixtures/python/requirements.txt}

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

newest() {
    local python found=
    for python in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python "$(command -v python3 || true)"; do
        if [[ -x $python ]] && supported "$python"; then
            found+="$("$python" -c 'import sys; print("%d.%03d.%03d" % sys.version_info[:3])') $python"$'\n'
        fi
    done
    sort -u <<<"$found" | tail -1 | cut -d' ' -f2-
}

python=${1:-}
python=${python:-$(newest)}
if [[ -z $python ]] || ! supported "$python"; then
    echo "no Python from 3.11 to 3.14 was found (looked under pyenv and for python3): install one" >&2
    exit 1
fi
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
folder=${CARGO_TARGET_DIR:-target}/python/$version-$(cksum <$requirements | cut -d' ' -f1)
(
    # Several tests may ask at once.
    mkdir -p "$(dirname "$folder")"
    exec 9>"$folder.lock"
    flock 9
    if [[ ! -e $folder/complete ]]; then
        rm -rf "$folder"
        "$python" -m venv "$folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement $requirements
        touch "$folder/complete"
    fi
) >&2
echo "$(cd "$folder" && pwd)/bin/python"
