#!/bin/sh
# `make demo`: makes a simulated organization in ./demo, hauls it, and shows where everything is.
# Needs Rust and make; shows records only where zstd is installed. Safe to repeat: ./demo is made anew.
set -eu
CARGO="${CARGO:-cargo}"
TARGET="${TARGET:-$PWD/target}"
config="demo/trailhaul.yaml"

bold="" plain=""
if [ -t 1 ]; then bold="$(printf '\033[1m')" plain="$(printf '\033[0m')"; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '   $ %s\n' "$*"; }
# Runs a command; its exit code must be the one that is expected first.
expect() {
  wanted="$1"
  shift
  code=0
  "$@" || code=$?
  if [ "$code" -ne "$wanted" ]; then
    echo "demo: exit code $code instead of $wanted" >&2
    exit 1
  fi
}
files() { find "$1" -type f | wc -l | tr -d ' '; }

step "build (the first time takes some minutes)"
"$CARGO" build --locked --quiet --package trailhaul --package trailhaul-tests --bins
trailhaul="$TARGET/debug/trailhaul"
simorg="$TARGET/debug/simorg"
rm -rf demo

step "a simulated organization: 6 accounts, 3 regions, 4 hours"
echo "   Trails that overlap, so that many events are delivered two or three times; some damaged"
echo "   objects; and logs of strangers, planted in the buckets. CloudTrail's hourly digests are there too,"
echo "   and an attacker was: one log is changed, one is deleted, and so is a digest."
about="$("$simorg" write --seed 7 --accounts 6 --regions 3 --hours 4 \
  --damage trailing-bytes,bad-record,bad-json,not-gzip,planted \
  --digests --tamper change-log,delete-log,delete-digest --out demo)"
echo "   $about" | sed 's/ of \([0-9]*\) contents.*/, \1 of them different/'
find demo/buckets -type f | sort | sed -n '1,2s/^/   /p'
echo "   ... ($(files demo/buckets) files; what is true about them: demo/truth.ndjson)"

step "haul it"
say "trailhaul --config $config run --once"
# 1: the planted logs and the tampering are findings about integrity.
# The log is off, to keep this short; it would say the same about each of them.
expect 1 "$trailhaul" --log-level off --config "$config" run --once
echo "   Exit code 1: there are findings about integrity, the planted logs and the tampering."

step "the tampering, found"
"$trailhaul" --config "$config" --output json status > demo/status.json || true
for kind in log_mismatch log_missing digest_missing; do
  grep -q "\"$kind\"" demo/status.json || { echo "demo: no finding of kind $kind" >&2; exit 1; }
done
tr '{' '\n' < demo/status.json |
  sed -n 's/.*"kind": *"\(log_[a-z]*\|digest_[a-z]*\)".*/\1/p' | sort | uniq -c | sed 's/^/  /'
echo "   What each says stands below. The changed log is in the archive, and the finding names its records there."

step "what could not be read: the quarantine"
find demo/archive/quarantine -type f -exec cat {} + | sort |
  sed -n 's/.*"bytes":\(\[[0-9,]*\]\).*"key":"[^"]*\/\([^"]*\)".*"reason":"\([^"]*\)".*/   \2  bytes \1: \3/p' | sed -n '1,5p'
echo "   ... ($(find demo/archive/quarantine -type f -exec cat {} + | wc -l | tr -d ' ') lines of JSON: which object, which bytes, why, and a sample)"

step "what the agent remembers"
say "trailhaul --config $config status"
expect 1 "$trailhaul" --config "$config" status

step "where to look"
echo "   demo/archive/data/         $(files demo/archive/data) files: every event once, by day, the bytes that CloudTrail wrote"
echo "   demo/archive/journal/      $(find demo/archive/journal -name '*.json' | wc -l | tr -d ' ') entries: what came from where, chained by hash, one folder per lane"
echo "   demo/archive/index/        the ids of each batch, to know a copy that comes later"
echo "   demo/archive/quarantine/   what could not be read"
echo "   demo/state/                the agent's memory; all but its identity can be rebuilt from the journal"
if command -v zstd > /dev/null 2>&1; then
  one="$(find demo/archive/data -name '*.zst' | sort | head -n 1)"
  say "zstd -dc $one | head -n 1"
  zstd -dcq "$one" 2> /dev/null | head -n 1 | cut -c 1-240 | sed 's/^/   /'
fi

step "a second pass adds nothing"
before="$(files demo/archive)"
expect 1 "$trailhaul" --log-level off --config "$config" run --once > demo/second.txt
sed -n '1,2s/^/   /p' demo/second.txt
echo "   files in the archive: $before before, $(files demo/archive) after"
[ "$before" = "$(files demo/archive)" ]

step "compare the archive with the truth, byte for byte"
say "simorg compare --truth demo/truth.ndjson --archive demo/archive"
expect 0 "$simorg" compare --truth demo/truth.ndjson --archive demo/archive > demo/compared.txt
sed 's/^/   /' demo/compared.txt
echo
echo "Everything is below ./demo. To go on: README.md."
