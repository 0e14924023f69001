#!/bin/sh
# Installs the AWS emulators that the tests run against, at pinned versions, into a virtual environment.
#
# In: nothing, or TRAILHAUL_VENV (where to install; default .venv at the root of the repository).
# Out: $TRAILHAUL_VENV/bin/moto_server and $TRAILHAUL_VENV/bin/ministack.
# Starts nothing: each test starts its own emulator on a free port of 127.0.0.1 and stops it.
set -eu

MOTO=5.2.5
MINISTACK=1.5.33

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
venv=${TRAILHAUL_VENV:-$root/.venv}

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
have() { "$venv/bin/python" -m pip show "$1" 2>/dev/null | sed -n 's/^Version: //p'; }
if [ "$(have moto)" != "$MOTO" ] || [ "$(have ministack)" != "$MINISTACK" ]; then
    # In one call, so that both get versions of their common dependencies that suit both.
    "$venv/bin/python" -m pip install --quiet "moto[server]==$MOTO" "ministack==$MINISTACK"
fi
echo "moto $(have moto), ministack $(have ministack) in $venv"
