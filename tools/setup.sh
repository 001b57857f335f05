#!/usr/bin/env bash
# Fetches what the tests need: nginx, Redis, and for the client tests, in the versions
# that are pinned in tests/clients, two Python environments and one of Node.
# Does nothing where it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

pins=tests/clients

python_environment() { # folder, requirements
    local folder=$1 requirements=$2
    # Written last, so that an environment that was cut short is made again.
    local stamp=$folder/installed.txt
    cmp -s "$requirements" "$stamp" && "$folder/bin/python" -c '' 2>/dev/null && return
    echo "setup: $folder from $requirements"
    python3 -m venv --clear "$folder"
    # The lists are whole, and nothing is compiled that no test imports.
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-compile --requirement "$requirements"
    cp "$requirements" "$stamp"
}

node_environment() {
    local stamp=$pins/node_modules/installed.json
    cmp -s "$pins/package-lock.json" "$stamp" && return
    echo "setup: $pins/node_modules from $pins/package-lock.json"
    (cd "$pins" && npm ci --no-audit --no-fund --loglevel=error)
    cp "$pins/package-lock.json" "$stamp"
}

tools/packages.sh python3 python3-venv nodejs npm nginx-light redis-server redis-tools redis-sentinel
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "python3 is $(python3 --version); the client tests need Python 3.11 or newer" >&2
    exit 1
fi
if ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'; then
    echo "node is $(node --version); the client tests need Node 18 or newer" >&2
    exit 1
fi
# Side by side; `wait` with a name hands on how each one ended.
python_environment .venv "$pins/requirements-openai3.txt" &
newest=$!
python_environment .venv-openai2 "$pins/requirements-openai2.txt" &
older=$!
node_environment
wait "$newest"
wait "$older"
