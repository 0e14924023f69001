#!/bin/sh
# `make parquet`: hauls a simulated organization into an archive and a lake of Parquet files, and reads the lake back
# with pyarrow and DuckDB, value by value against what `trailhaul normalize` says of the archive's records.
#
# In: TRAILHAUL_VENV (where the readers are installed; default .venv at the root of the repository).
# Out: a line per reader. Everything is below target/parquet, made anew.
set -eu

PYARROW=26.0.1
DUCKDB=2.0.0

CARGO="${CARGO:-cargo}"
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
TARGET="${TARGET:-$root/target}"
venv=${TRAILHAUL_VENV:-$root/.venv}
folder="$TARGET/parquet"

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
have() { "$venv/bin/python" -m pip show "$1" 2>/dev/null | sed -n 's/^Version: //p'; }
if [ "$(have pyarrow)" != "$PYARROW" ] || [ "$(have duckdb)" != "$DUCKDB" ]; then
    "$venv/bin/python" -m pip install --quiet "pyarrow==$PYARROW" "duckdb==$DUCKDB"
fi

"$CARGO" build --locked --quiet --package trailhaul --package trailhaul-tests --bins
rm -rf "$folder"
"$TARGET/debug/simorg" write --seed 7 --accounts 6 --regions 2 --hours 2 --out "$folder"
# Sinks and a table of accounts are laid over the configuration that simorg wrote.
lake="  lake: {type: archive, bucket: 'file://$folder/lake', format: ocsf-1.5, encoding: parquet}"
one=$(sed -n 's/^    - "\([0-9]*\)"$/\1/p' "$folder/trailhaul.yaml" | head -n 1)
known="enrichment: {accounts: [{id: '$one', name: first, organizational_unit: Root/First, tags: {tier: '1'}}]}"
awk -v lake="$lake" -v known="$known" \
    '{ print } /^sinks:$/ { print lake } /    bucket: file:.*\/archive$/ { print "    home: true" } END { print known }' \
    "$folder/trailhaul.yaml" > "$folder/lake.yaml"
"$TARGET/debug/trailhaul" --log-level warn --config "$folder/lake.yaml" run --once > "$folder/summary.txt"
"$venv/bin/python" "$root/scripts/parquet_check.py" "$folder" "$TARGET/debug/trailhaul"
