#!/bin/sh
# Installs the AWS CLI, at the version whose words and verdicts `verify --like-aws` follows, into a virtual
# environment of its own (its pins do not go together with the emulators').
#
# In: nothing, or TRAILHAUL_DIFFERENTIAL_VENV (where to install; default .venv-differential at the root of the
# repository). Out: a python with awscli and cryptography there; its path is printed. Safe to repeat.
set -eu

AWSCLI=1.46.3

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
venv=${TRAILHAUL_DIFFERENTIAL_VENV:-$root/.venv-differential}

[ -x "$venv/bin/python" ] || python3 -m venv "$venv" >&2
have() { "$venv/bin/python" -m pip show "$1" 2>/dev/null | sed -n 's/^Version: //p'; }
if [ "$(have awscli)" != "$AWSCLI" ] || [ -z "$(have cryptography)" ]; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "awscli==$AWSCLI" cryptography >&2
fi
echo "$venv/bin/python"
