#!/bin/sh
# Installs our own packages into .venv, editable. The build backend is already there, locked (build.txt).
set -eu
cd "$(dirname "$0")/.."
set --
for path in protos services/*; do set -- "$@" --editable "$path"; done
.venv/bin/uv pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation "$@"
