"""`trailhaul verify --like-aws` beside the real `aws cloudtrail validate-logs`.

    python validate_logs.py --trailhaul target/debug/trailhaul --count 40 --seed 1

For each seed a random organization is written, sometimes tampered with, and both programs are asked. Standard
output, standard error and exit code must be equal, byte for byte. Then `trailhaul verify` itself is asked: every
tampering that shows in the tree must be a finding, also where the AWS CLI sees nothing, and nothing genuine may be
accused (`oracle.py` says what that is).
Exit code 1 when any case differs; its tree is then kept and named.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from oracle import complaints, snapshot  # noqa: E402
from organization import ACCOUNT, Key, Organization, iso  # noqa: E402
from stub import Stub  # noqa: E402
from tampering import tamper  # noqa: E402

def main():
    asked = argparse.ArgumentParser()
    asked.add_argument("--trailhaul", required=True)
    asked.add_argument("--count", type=int, default=40)
    asked.add_argument("--seed", type=int, default=1)
    args = asked.parse_args()
    stub = Stub()
    os.environ.update(
        AWS_ACCESS_KEY_ID="dummy", AWS_SECRET_ACCESS_KEY="dummy", AWS_EC2_METADATA_DISABLED="true",
        AWS_ENDPOINT_URL=stub.url, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_MAX_ATTEMPTS="1", AWS_PAGER="", AWS_S3_US_EAST_1_REGIONAL_ENDPOINT="regional",
    )
    keys = [Key(), Key(), Key()]
    spki = [keys[0], Key(spki=True), keys[2]]
    failed, seen, codes, all_found, beyond = 0, {}, {}, 0, 0
    for seed in range(args.seed, args.seed + args.count):
        root = Path(tempfile.mkdtemp(prefix=f"trailhaul-differential-{seed}-"))
        acts, trouble, code, found = case(args.trailhaul, stub, root, random.Random(seed), keys if seed % 4 else spki)
        codes[code] = codes.get(code, 0) + 1
        beyond += found if code == 0 else 0
        all_found += found
        for act in acts or ["untouched"]:
            seen[act] = seen.get(act, 0) + 1
        if trouble:
            failed += 1
            print(f"seed {seed} ({', '.join(acts) or 'untouched'}; exit code {code}; tree kept in {root}):\n{trouble}")
        else:
            shutil.rmtree(root)
    print(f"{args.count - failed} of {args.count} alike, seeds {args.seed} to {args.seed + args.count - 1}")
    print("exit codes: " + ", ".join(f"{code} {count} times" for code, count in sorted(codes.items())))
    print(f"verify found {all_found} objects that had to be found, {beyond} of them where the AWS CLI exits with 0")
    print("acts: " + ", ".join(f"{name} {count}" for name, count in sorted(seen.items())))
    return 1 if failed else 0


def case(trailhaul, stub, root, rng, keys):
    org = Organization(root / "buckets", rng, keys).write()
    before = snapshot(org.root)
    acts = tamper(org)
    after = snapshot(org.root)
    stub.root, stub.public = org.root, org.public
    saved = root / f"{org.region}.json"
    saved.write_text(json.dumps({"PublicKeyList": org.public}))

    arn = f"arn:aws:cloudtrail:{org.home}:{ACCOUNT}:trail/{org.trail}"
    start = org.start - timedelta(minutes=rng.choice([0, 30, 90]))
    end = org.end + timedelta(minutes=rng.choice([0, 0, 20, 300, -100]))
    if end < start:
        end = start + timedelta(hours=1)
    verbose = ["--verbose"] if rng.random() < 0.5 else []
    bucket = org.digests[-1]["bucket"] if rng.random() < 0.8 else "trail-bucket"

    theirs = aws([
        "cloudtrail", "validate-logs", "--region", org.region, "--trail-arn", arn, "--s3-bucket", bucket,
        "--s3-prefix", org.prefix, "--start-time", iso(start), "--end-time", iso(end), *verbose,
    ])
    trouble = ""
    if bucket == "trail-bucket" and len(list(org.root.iterdir())) == 1:
        trouble = by_arn(trailhaul, stub, org, arn, [iso(start), iso(end)], verbose)
    buckets = [bucket] + sorted(b.name for b in org.root.iterdir() if b.name != bucket)
    sources = [arg for name in buckets for arg in ("--bucket", f"file://{org.root / name}") if (org.root / name).exists()]
    common = [trailhaul, "verify", *sources, "--public-keys", str(saved)]
    ours = run([
        *common, "--like-aws", "--trail-arn", arn, "--region", org.region, "--account", ACCOUNT,
        "--s3-prefix", org.prefix, "--from", iso(start), "--until", iso(end), *verbose,
    ])
    trouble += differences(theirs, ours)
    within = ["--output", "json", "--from", iso(org.start), "--until", iso(org.end)]
    wrong, found = verdict(org, before, after, run([*common, *within, "--trail", org.trail]), acts)
    trouble += wrong
    if "plant_log" in acts:
        # Which log no digest names is told only where no trail is left out.
        everything = run([*common, *within])
        wrong, _ = verdict(org, before, after, everything, acts, whole=True)
        trouble += "".join(f"{line}\n" for line in wrong.splitlines() if "planted" in line)
    return acts, trouble, theirs[2], found


def by_arn(trailhaul, stub, org, arn, times, verbose):
    """The same without a bucket: both ask CloudTrail where the trail writes, and read the bucket over S3."""
    stub.trails = [{
        "TrailARN": arn, "Name": org.trail, "S3BucketName": "trail-bucket", "HomeRegion": org.home,
        "LogFileValidationEnabled": True, "IsOrganizationTrail": False,
        **({"S3KeyPrefix": org.prefix} if org.prefix else {}),
    }]
    trouble = ""
    for arn in (arn, f"{arn}-other"):
        asked = ["--trail-arn", arn, "--start-time", times[0], "--end-time", times[1], "--region", org.region, *verbose]
        theirs = aws(["cloudtrail", "validate-logs", *asked])
        trouble += differences(theirs, run([trailhaul, "verify", "--like-aws", *asked]))
    return trouble


def verdict(org, before, after, normal, acts, whole=False):
    """What is wrong with the verdict of `verify` itself, and how many objects it had to find."""
    out, err, code = normal
    if code not in (0, 1, 69):
        return f"verify exits with {code}: {err}\n", 0
    report = json.loads(out)
    wrong, found = complaints(org, before, after, report)
    if not whole:
        # Which logs no digest names is not told of one trail among several.
        wrong = "".join(f"{line}\n" for line in wrong.splitlines() if not line.startswith("planted"))
    expected = 1 if report["totals"]["findings"] else 69 if report["totals"]["unknowns"] else 0
    if code != expected and report["chains"]:
        wrong += f"exit code {code} instead of {expected}\n"
    return (f"verify: {wrong}" if wrong else ""), found


def differences(theirs, ours):
    text = ""
    for name, one, other in zip(["standard output", "standard error", "exit code"], theirs, ours):
        if one != other:
            text += f"--- {name}, aws:\n{one}\n--- {name}, trailhaul:\n{other}\n"
    return text


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, done.stderr, done.returncode


def aws(arguments):
    """Runs the AWS CLI within this process: its start takes longer than its work."""
    from awscli.clidriver import create_clidriver

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = create_clidriver().main(arguments)
    return out.getvalue(), err.getvalue(), code


if __name__ == "__main__":
    sys.exit(main())
