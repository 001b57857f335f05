#!/bin/sh
# The soaks of the release binary, or those that are named:
#
#   soak/run.sh [faults] [drain] [reload]     (default: all three)
#
# faults: 10,000 scripted upstream faults. drain: 200 restarts under 100 open
# streams each. reload: 1,000 reloads of the configuration under full load.
#
#   SCALE         1 is all of that, 0.01 is a hundredth (default 1)
#   SEED          which requests are asked, in which order (default: of the clock)
#   TIDEGATE_BIN  the binary                 (default: target/release/tidegate)
#   SOAK_FOLDER   where journals are kept    (default: a new folder, removed on success)
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
scale=${SCALE:-1}
seed=${SEED:-$(date +%s)}
binary=${TIDEGATE_BIN:-$here/../target/release/tidegate}
[ $# -gt 0 ] || set -- faults drain reload

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

scaled() { # whole number
    awk -v scale="$scale" -v whole="$1" \
        'BEGIN { scaled = int(whole * scale); print (scaled > 0 ? scaled : 1) }'
}

soak() { # driver, checker, name of its number, number
    echo "$1 soak: SCALE=$scale SEED=$seed, $4 $3"
    python3 "$here/$2_test.py"
    nice -n 10 python3 "$here/$1.py" --binary "$folder/tidegate" --folder "$folder" \
        --seed "$seed" "--$3" "$4"
    if ! python3 "$here/$2.py" "$folder"; then
        echo "failed: soak/run.sh $1 with SCALE=$scale SEED=$seed; the journals are in $folder"
        exit 1
    fi
}

for name in "$@"; do
    case "$name" in
        faults) soak faults checker faults "$(scaled 10000)" ;;
        drain) soak drain drain_checker restarts "$(scaled 200)" ;;
        reload) soak reload reload_checker reloads "$(scaled 1000)" ;;
        *)
            echo "there is no soak named $name: faults, drain, reload" >&2
            exit 2
            ;;
    esac
done
[ -z "${made:-}" ] || rm -rf "$folder"
