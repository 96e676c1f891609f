#!/bin/sh
# Installs requirements/NAME.txt for each NAME into .venv: exactly the locked versions, checked by hash, and
# nothing that is not listed there. What is installed besides stays, so that run and test share one .venv.
# INTO: another environment, for what must not share it.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
if [ ! -x .venv/bin/uv ]; then
  "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
fi
# uv does not read pip's configuration: hand over the index that pip would use, and whom it would trust, which
# is the system's authorities where there are any (a company's proxy has one of its own).
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
  index=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
  if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
fi
if [ -z "${SSL_CERT_FILE:-}${UV_SYSTEM_CERTS:-}" ]; then
  authorities=${PIP_CERT:-$("$python" -m pip config get global.cert 2>/dev/null || true)}
  if [ -n "$authorities" ]; then
    export SSL_CERT_FILE="$authorities"
  elif "$python" -c 'import ssl, sys; sys.exit(not ssl.create_default_context().get_ca_certs())'; then
    export UV_SYSTEM_CERTS=true
  fi
fi
for name in "$@"; do
  .venv/bin/uv pip install --python "${INTO:-$python}" --quiet --compile-bytecode --no-deps --require-hashes \
    -r "requirements/$name.txt"
done
