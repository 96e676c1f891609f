#!/bin/sh
# Each service in an environment of its own, with what it declares and nothing else, at the locked versions:
# an undeclared import fails here, as it would in the service's image.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
for path in services/*; do
  service=$(basename "$path")
  [ -f "$path/meshgate_$service/__main__.py" ] || continue # the chassis is a library
  .venv/bin/uv venv --quiet --python .venv/bin/python "$work/$service"
  .venv/bin/uv pip install --quiet --python "$work/$service/bin/python" \
    --constraint requirements/run.txt --build-constraint requirements/build.txt "$path"
  (cd / && "$work/$service/bin/python" -c "import meshgate_$service.__main__")
  printf '%-12s %s packages, imports well\n' "$service" \
    "$("$root/.venv/bin/uv" pip list --quiet --python "$work/$service/bin/python" --format=freeze | wc -l)"
done
