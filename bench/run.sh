#!/usr/bin/env bash
# Builds the release binary and measures it: bench/run.sh [--rounds N] [--seconds N] [--million X]
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${TIDEGATE_BIN:-}" ] || cargo build --release
python3 bench/run.py "$@"
python3 bench/store.py
python3 bench/toon.py
exec python3 bench/guard.py
