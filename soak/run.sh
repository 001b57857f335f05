#!/bin/sh
# The fault soak: 10,000 scripted upstream faults through the release binary.
#
#   SCALE         1 is 10,000 faults, 0.01 is 100       (default 1)
#   SEED          which requests are asked, in which order (default: of the clock)
#   TIDEGATE_BIN  the binary                 (default: target/release/tidegate)
#   SOAK_FOLDER   where journals are kept    (default: a new folder, removed on success)
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
scale=${SCALE:-1}
seed=${SEED:-$(date +%s)}
binary=${TIDEGATE_BIN:-$here/../target/release/tidegate}
faults=$(awk -v scale="$scale" 'BEGIN { printf "%d", 10000 * scale }')

folder=${SOAK_FOLDER:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    made=yes
fi
mkdir -p "$folder"
rm -f "$folder"/*.ndjson "$folder"/*.log
# A copy: the binary may be built anew meanwhile.
cp "$binary" "$folder/tidegate"

export PYTHONDONTWRITEBYTECODE=1
echo "fault soak: SCALE=$scale SEED=$seed, $faults faults"
python3 "$here/checker_test.py"
nice -n 10 python3 "$here/faults.py" --binary "$folder/tidegate" --folder "$folder" \
    --seed "$seed" --faults "$faults"
if python3 "$here/checker.py" "$folder"; then
    [ -z "${made:-}" ] || rm -rf "$folder"
else
    echo "failed: SCALE=$scale SEED=$seed; the journals are in $folder"
    exit 1
fi
