#!/bin/sh
# Makes requirements/*.txt of requirements/*.in: exact versions with hashes for every platform, and no
# download address, so that any package index can serve them. Extra arguments go to the resolver,
# for example `--upgrade`.
set -eu
cd "$(dirname "$0")/.."
ours=""
for path in protos services/*; do ours="$ours --no-emit-package meshgate-$(basename "$path")"; done
compile() {
  name=$1
  shift
  # shellcheck disable=SC2086 # $ours is a list of options
  .venv/bin/uv pip compile "requirements/$name.in" --output-file "requirements/$name.txt" \
    --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet $ours "$@"
}
compile uv "$@"
compile build "$@"
compile run "$@"
compile dev --constraint requirements/run.txt "$@"
compile local-llm --no-deps "$@"
compile clients "$@"
