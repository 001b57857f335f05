#!/bin/sh
# Breaks the code on purpose, one break of tools/breaks.toml at a time, and
# expects a test to fail each time: a check that cannot fail proves nothing.
#
#   tools/breaks.sh [WORD…]   only the breaks whose name holds one of the words
#
# Works on a copy of the tree, so the checkout stays as it is. CARGO_TARGET_DIR
# says where to build (default: target/breaks); it is kept between runs.
set -eu
exec python3 "$(dirname "$0")/breaks.py" "$@"
