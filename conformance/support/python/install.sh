#!/usr/bin/env bash
# Installs the Python originals from PyPI into the virtual environment FOLDER, unless they are
# there; prints nothing then. Usage: install.sh FOLDER
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
folder=$1
here=$(cd "$(dirname "$0")" && pwd)
python=python3.11
if ! command -v "$python" >/dev/null || ! "$python" -c 'import ensurepip' 2>/dev/null; then
    echo "$python with venv is not installed; run: apt-get install -y python3 python3-venv" >&2
    exit 1
fi

# Tests start several at once.
mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9

wanted=$(cat "$here/build-requirements.txt" "$here/requirements.txt")
if [ "$(cat "$folder/installed.txt" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
rm -rf "$folder"
"$python" -m venv "$folder"
pip=("$folder/bin/pip" --quiet --disable-pip-version-check install)
"${pip[@]}" --requirement "$here/build-requirements.txt"
# msgpack-python has an extension in C++ that no present compiler takes; it does without.
"${pip[@]}" --no-build-isolation --requirement "$here/requirements.txt"
echo "$wanted" >"$folder/installed.txt"
