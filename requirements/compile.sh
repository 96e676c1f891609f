#!/bin/sh
# Makes requirements/*.txt of requirements/*.in: exact versions with hashes for every platform, and no
# download address, so that any package index can serve them. Extra arguments go to the resolver,
# for example `--upgrade`.
set -eu
cd "$(dirname "$0")/.."
ours=""
for path in protos services/*; do ours="$ours --no-emit-package meshgate-$(basename "$path")"; done
for name in run dev; do
  .venv/bin/uv pip compile "requirements/$name.in" --output-file "requirements/$name.txt" \
    --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet $ours "$@"
done
