"""CPU time of `trailhaul verify` beside `aws cloudtrail validate-logs`, over the same digests and logs.

    python benches/verify.py --programs target/release --folder target/bench-verify

Two measurements. First 24 hours of 8 accounts in 2 regions: trailhaul once over a local tree, the AWS CLI once per
trail, account and region (it knows no more at a time) against a loopback stub that serves the same files. Then one
chain with 1 GB of raw logs in 480 files, where each program's start-up (the same command over a range without digests)
is subtracted. User and system time of the programs alone, children included; the stub runs in this process. The two
take turns, and the least of each counts, so that what else the machine does favors neither. Both must call the same
number of files valid. Exit code 1 below 50 times, below 3 times, or over the memory limit. With --small: little data,
and the exit code says only whether it works.
"""

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "differential"))
import stub as stubs  # noqa: E402

ALL, CHAIN, MEMORY_MIB = 50, 3, 256
DAY = timedelta(days=1)
stubs.PAGE = 1000  # as S3


def main():
    asked = argparse.ArgumentParser()
    asked.add_argument("--programs", required=True)
    asked.add_argument("--folder", required=True)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--small", action="store_true", help="little data, no bounds: does it still work?")
    asked.add_argument("--only", choices=["all", "chain"], help="one of the two measurements")
    args = asked.parse_args()
    folder, good = Path(args.folder), True
    bench = Bench(args)
    if args.only != "chain":
        size = ["--accounts", "2", "--hours", "3"] if args.small else ["--accounts", "8", "--hours", "24"]
        bench.write("all", "write", *size, "--regions", "2", "--rate", "60")
        good &= bench.everything()
    if args.only != "all":
        records = "32" if args.small else "1600"
        bench.write("chain", "bulk", "alike-objects", "--objects", "480", "--records", records, "--hours", "24")
        good &= bench.one_chain()
    shutil.rmtree(folder)
    return 0 if good or args.small else 1


class Bench:
    def __init__(self, args):
        self.args, self.stub = args, stubs.Stub()
        os.environ.update(
            AWS_ACCESS_KEY_ID="dummy", AWS_SECRET_ACCESS_KEY="dummy", AWS_EC2_METADATA_DISABLED="true",
            AWS_ENDPOINT_URL=self.stub.url, AWS_CONFIG_FILE="/nonexistent",
            AWS_SHARED_CREDENTIALS_FILE="/nonexistent", AWS_MAX_ATTEMPTS="1", AWS_PAGER="",
        )

    def write(self, name, *shape):
        self.root = Path(self.args.folder) / name
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run([
            f"{self.args.programs}/simorg", *shape, "--seed", "7", "--digests", "--out", self.root,
        ], check=True, stdout=subprocess.DEVNULL)
        self.stub.root = self.root / "buckets"
        self.stub.public = {file.stem: keys(file) for file in (self.root / "public-keys").iterdir()}

    def verify(self, chain=None, empty=None):
        """One run of trailhaul: its report, CPU seconds and peak MiB."""
        buckets = [chain["bucket"]] if chain else sorted(bucket.name for bucket in (self.root / "buckets").iterdir())
        command = [f"{self.args.programs}/trailhaul", "--output", "json", "verify"]
        command += [arg for name in buckets for arg in ("--bucket", f"file://{self.root / 'buckets' / name}")]
        command += [arg for file in (self.root / "public-keys").iterdir() for arg in ("--public-keys", str(file))]
        command += ["--trail", chain["trail"], "--region", chain["region"], "--account", chain["account"]] if chain else []
        command += ["--from", iso(empty), "--until", iso(empty + DAY)] if empty else ["--from", "beginning"]
        out, seconds, mib, code = run(command)
        report = json.loads(out)
        if not empty and code != 0:
            sys.exit(f"trailhaul does not call everything valid ({code}):\n{json.dumps(report['totals'])}")
        return report, seconds, mib

    def aws(self, chain, empty=None):
        """One run of the AWS CLI: files called valid, and CPU seconds."""
        arn = f"arn:aws:cloudtrail:{chain['home_region']}:{chain['account']}:trail/{chain['trail']}"
        organization = chain.get("organization")
        self.stub.organization = organization
        self.stub.trails = [{
            "TrailARN": arn, "S3BucketName": chain["bucket"], "S3KeyPrefix": chain["prefix"],
            "IsOrganizationTrail": organization is not None,
        }]
        start, end = (empty, empty + DAY) if empty else (self.start - DAY, self.end + DAY)
        out, seconds, _, code = run([
            str(Path(sys.executable).parent / "aws"), "cloudtrail", "validate-logs", "--region", chain["region"],
            "--trail-arn", arn, "--account-id", chain["account"], "--start-time", iso(start), "--end-time", iso(end),
        ])
        if code != 0:
            sys.exit(f"the AWS CLI does not call everything valid ({code}):\n{out}")
        valid = sum(int(count) for count in re.findall(r"^(\d+)/\d+ .*files valid", out, re.M))
        return valid, seconds

    def first(self):
        """A report over everything, and from when to when there are digests."""
        report, _, _ = self.verify()
        self.end = datetime.fromisoformat(report["until"])
        self.start = self.end - 2 * DAY
        return report

    def everything(self):
        report = self.first()
        totals, chains = report["totals"], [c["chain"] for c in report["chains"] if c["chain"]["kind"] != "backfill"]
        files = totals["digests"]["valid"] + totals["logs"]["valid"]
        ours, theirs = [], []
        for _ in range(self.args.rounds):
            ours += [self.verify() for _ in range(5)]
            runs = [self.aws(chain) for chain in chains]
            theirs.append(sum(seconds for _, seconds in runs))
            counted = sum(valid for valid, _ in runs)
            if counted != files:
                sys.exit(f"the AWS CLI calls {counted} files valid, trailhaul {files}")
        mib, ours, theirs = max(run[2] for run in ours), min(run[1] for run in ours), min(theirs)
        ratio = theirs / ours
        print(f"verify, {len(chains)} chains, {totals['digests']['valid']} digests, {totals['logs']['valid']} logs: "
              f"trailhaul {ours:.2f} s, aws {theirs:.2f} s in {len(chains)} runs: {ratio:.0f} times less "
              f"(at least {ALL}); peak {mib:.0f} MiB (at most {MEMORY_MIB})", flush=True)
        return ratio >= ALL and mib <= MEMORY_MIB

    def one_chain(self):
        report, later = self.first(), self.end + 2 * DAY
        chain = next(c["chain"] for c in report["chains"] if c["chain"]["kind"] != "backfill")
        totals, raw = report["totals"], self.raw_of(chain)
        files = totals["digests"]["valid"] + totals["logs"]["valid"]
        runs = [
            (self.verify(chain), self.verify(chain, empty=later), self.aws(chain), self.aws(chain, empty=later))
            for _ in range(self.args.rounds)
        ]
        counted = runs[0][2][0]
        if counted != files:
            sys.exit(f"the AWS CLI calls {counted} files valid, trailhaul {files}")
        ours, our_start, theirs, their_start = (min(run[at][1] for run in runs) for at in range(4))
        mib = max(run[0][2] for run in runs)
        ratio = (theirs - their_start) / max(ours - our_start, 0.001)
        print(f"verify, one chain with {raw / 1e9:.2f} GB of raw logs in {totals['logs']['valid']} files, start-up "
              f"subtracted: trailhaul {ours:.2f} - {our_start:.2f} s, aws {theirs:.2f} - {their_start:.2f} s: "
              f"{ratio:.1f} times less (at least {CHAIN}); peak {mib:.0f} MiB (at most {MEMORY_MIB})", flush=True)
        return ratio >= CHAIN and mib <= MEMORY_MIB

    def raw_of(self, chain):
        """Inflated bytes of the logs of a chain's folder: gzip ends with the size."""
        middle = f"{chain['organization']}/" if chain.get("organization") else ""
        before = f"{chain['prefix']}/" if chain["prefix"] else ""
        folder = self.root / "buckets" / chain["bucket"] / f"{before}AWSLogs/{middle}{chain['account']}/CloudTrail/{chain['region']}"
        return sum(int.from_bytes(file.read_bytes()[-4:], "little") for file in folder.rglob("*.gz"))


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def keys(file):
    """Saved keys as the API answers them, all as PKCS#1: the AWS CLI cannot load the other form."""
    listed = json.loads(file.read_text())["PublicKeyList"]
    for key in listed:
        for field in ("ValidityStartTime", "ValidityEndTime"):
            key[field] = int(datetime.fromisoformat(key[field]).timestamp())
        der = base64.b64decode(key["Value"])
        if len(der) == 294:  # a 2048-bit key behind 24 bytes that say that it is RSA
            key["Value"] = base64.b64encode(der[24:]).decode()
    return listed


def run(command):
    """Runs a program: standard output, CPU seconds, peak MiB, exit code."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return out, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, child.returncode


if __name__ == "__main__":
    sys.exit(main())
