#!/bin/sh
# The soaks of the release binary, or those that are named:
#
#   soak/run.sh [NAME]...     (default: all of them)
#
# faults        10,000 scripted upstream faults
# drain         200 restarts under 100 open streams each
# reload        1,000 reloads of the configuration under full load
# limits        4 gateways on one Redis, 64 clients, 120 s each: as it is, with a
#               gateway killed every 5 s, with clocks 5 minutes apart; shorter
#               than 22 s is 22 s of kills and clocks at once
# store_faults  200 events of a Redis, and of one with sentinels, under load
# coherence     100,000 reads and invalidations on 3 gateways for 3 tenants
# sessions      10,000 updates of 100 sessions on 3 gateways, holders that are
#               killed, and 200 kills over SQLite
# tasks         100,000 background tasks on 3 workers that are killed 1,000 times,
#               over SQLite, and the same over Redis
# order         a tick a second for 60 s while one of 3 workers is killed every 3 s,
#               and twice as many tasks of all priorities as they can run, over both
#
#   SCALE         1 is all of that, 0.01 is a hundredth (default 1)
#   SEED          which requests are asked, in which order (default: of the clock)
#   TIDEGATE_BIN  the binary                 (default: target/release/tidegate)
#   SOAK_FOLDER   where journals are kept    (default: a new folder, removed on success)
#
# The last six need redis-server, redis-sentinel and libfaketime:
#   tools/packages.sh redis-server redis-sentinel faketime
# The journals of a failed run stay, and are judged again without another run:
#   python3 soak/limits_checker.py FOLDER
set -eu

case "${1:-}" in
-h | --help)
    sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"
    exit
    ;;
esac
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
scale=${SCALE:-1}
seed=${SEED:-$(date +%s)}
binary=${TIDEGATE_BIN:-$here/../target/release/tidegate}
[ $# -gt 0 ] || set -- faults drain reload limits store_faults coherence sessions tasks order

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
        limits) soak limits limits_checker seconds "$(scaled 120)" ;;
        store_faults) soak store_faults store_faults_checker events "$(scaled 200)" ;;
        coherence) soak coherence coherence_checker operations "$(scaled 100000)" ;;
        sessions) soak sessions sessions_checker updates "$(scaled 10000)" ;;
        order) soak order order_checker seconds "$(scaled 60)" ;;
        tasks) soak tasks tasks_checker kills "$(scaled 1000)" ;;
        *)
            echo "there is no soak named $name; see soak/run.sh --help" >&2
            exit 2
            ;;
    esac
done
[ -z "${made:-}" ] || rm -rf "$folder"
