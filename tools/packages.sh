#!/usr/bin/env bash
# Makes sure that Debian packages are there: `tools/packages.sh make gcc`.
#
# A package counts as there when what we need of it works, however it came.
set -euo pipefail

works() {
    case "$1" in
        gcc) cc --version ;;
        nginx-light) nginx -v ;;
        nodejs) node --version ;;
        redis-tools) redis-cli --version ;;
        python3-venv) python3 -c 'import ensurepip, venv' ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing=()
for package in "$@"; do
    works "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}; install them (on Debian: apt-get install ${missing[*]}) and try again" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}"
