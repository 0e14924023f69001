#!/bin/sh
# `make demo-aws`: the demo over S3, STS and Kinesis of an emulator, in ./demo-aws. Needs Rust, make, python3 and
# the emulators of `make emulators`; nothing outside 127.0.0.1 is asked. Safe to repeat.
set -eu
CARGO="${CARGO:-cargo}"
TARGET="${TARGET:-$PWD/target}"
VENV="${TRAILHAUL_VENV:-$PWD/.venv}"
PORT="${PORT:-5601}"
ENDPOINT="http://127.0.0.1:$PORT"

step() { printf '\n== %s\n' "$*"; }

step "build (the first time takes some minutes)"
"$CARGO" build --locked --quiet --package trailhaul --package trailhaul-tests --bins
trailhaul="$TARGET/debug/trailhaul"
simorg="$TARGET/debug/simorg"
rm -rf demo-aws

step "an emulator of AWS that checks roles and external ids, on $ENDPOINT"
BIND_HOST=127.0.0.1 GATEWAY_PORT="$PORT" AUTH=true "$VENV/bin/ministack" >demo-aws.log 2>&1 &
emulator=$!
trap 'kill "$emulator" 2>/dev/null || true; rm -f demo-aws.log' EXIT INT TERM
tries=0
until "$VENV/bin/python" -c "import socket; socket.create_connection(('127.0.0.1', $PORT), 1)" 2>/dev/null; do
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ] || ! kill -0 "$emulator" 2>/dev/null; then
    echo "demo-aws: the emulator does not start; is port $PORT in use? (PORT=5602 make demo-aws)" >&2
    cat demo-aws.log >&2
    exit 1
  fi
  sleep 0.1
done

step "a simulated organization in its buckets, a role with an external id in each owner's account"
"$simorg" write --seed 7 --accounts 4 --regions 2 --hours 2 --out demo-aws >/dev/null
"$VENV/bin/python" scripts/demo_aws.py fill "$ENDPOINT" demo-aws
echo "   the configuration: demo-aws/aws.yaml"

export AWS_ACCESS_KEY_ID=999988887777 AWS_SECRET_ACCESS_KEY=demo AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null DEMO_EXTERNAL_ID=demo-external-id
unset AWS_SESSION_TOKEN AWS_PROFILE || true

step "haul it: roles assumed, S3 to S3 and Kinesis"
echo "   $ trailhaul --config demo-aws/aws.yaml run --once"
"$trailhaul" --config demo-aws/aws.yaml --log-level warn run --once

step "again: nothing is hauled twice"
"$trailhaul" --config demo-aws/aws.yaml --log-level warn run --once | sed -n '1,2p'

step "with a wrong external id: who may not be read is named"
code=0
DEMO_EXTERNAL_ID=wrong "$trailhaul" --config demo-aws/aws.yaml --log-level off run --once >demo-aws/wrong.txt 2>&1 || code=$?
grep -m 1 "trouble:" demo-aws/wrong.txt || { cat demo-aws/wrong.txt >&2; exit 1; }
echo "   (exit code $code)"

step "the archive, fetched and compared with the truth"
"$VENV/bin/python" scripts/demo_aws.py fetch "$ENDPOINT" demo-aws
"$simorg" compare --truth demo-aws/truth.ndjson --archive demo-aws/archive
