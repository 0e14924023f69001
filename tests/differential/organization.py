"""A small CloudTrail that writes signed digests and logs into folders.

In: a random generator. Out: a tree `BUCKET/KEY` with `KEY.metadata.json` beside digests, the chain that was
written, and the public keys. Restarts, moves to another bucket and backfill digests come by chance. Times are
of the past, so that no grace is running. Nothing here is shared with trailhaul or with the AWS CLI.
"""

import base64
import gzip
import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ACCOUNT = "111122223333"
HOUR = timedelta(hours=1)


class Key:
    """A signing key; its public half is published as PKCS#1, or as SPKI."""

    def __init__(self, spki=False):
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = serialization.PublicFormat.SubjectPublicKeyInfo if spki else serialization.PublicFormat.PKCS1
        self.der = self.private.public_key().public_bytes(serialization.Encoding.DER, form)
        self.fingerprint = hashlib.md5(self.der).hexdigest()

    def sign(self, text):
        return self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()

    def listed(self, start, end):
        return {
            "Value": base64.b64encode(self.der).decode(),
            "ValidityStartTime": int(start.timestamp()),
            "ValidityEndTime": int(end.timestamp()),
            "Fingerprint": self.fingerprint,
        }


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(time):
    return time.strftime("%Y%m%dT%H%M%SZ")


class Organization:
    """One account, one region, one trail (and sometimes a second one beside it)."""

    def __init__(self, root, random, keys):
        self.root, self.random = Path(root), random
        self.region = random.choice(["us-east-1", "eu-west-1"])
        self.home = random.choice([self.region, "us-east-1"])
        self.trail = random.choice(["org", "a_us-east-1_b", "x_backfill", "t.1-2"])
        self.prefix = random.choice(["", "", "logs", "a/b"])
        self.bucket = "trail-bucket"
        self.start = datetime(2026, 5, 20, random.randrange(24), random.randrange(60), random.randrange(60), tzinfo=timezone.utc)
        self.keys = keys
        self.signer, self.stranger = keys[0], keys[2]
        self.public = [keys[0].listed(self.start - timedelta(days=20), self.start + timedelta(days=40))]
        if random.random() < 0.5:
            # A second key takes over, published in one of both encodings.
            self.public.append(keys[1].listed(self.start - HOUR, self.start + timedelta(days=40)))
        self.digests, self.backfill, self.logs = [], [], []

    def write(self):
        """Writes everything; oldest first."""
        hours, previous = self.random.randrange(3, 12), None
        end = self.start
        for hour in range(hours):
            event = self.random.random()
            if event < 0.06:
                previous = None  # validation was switched off and on
                end += HOUR * self.random.randrange(0, 4)
            elif event < 0.1 and previous:
                self.bucket = "second-bucket"
            if len(self.public) > 1 and hour == hours // 2:
                self.signer = self.keys[1]
            end += HOUR
            previous = self.digest(end, previous, self.some_logs(end, 3))
            self.digests.append(previous)
        if self.random.random() < 0.4:
            previous = None
            for at in sorted(self.random.sample(range(1, hours + 1), self.random.randrange(1, 3))):
                late = self.start + HOUR * at
                previous = self.digest(late, previous, self.some_logs(late, 2), backfill=True)
                self.backfill.append(previous)
        if self.random.random() < 0.3:
            self.other_trail()
        self.end = end
        return self

    def other_trail(self):
        """Another trail's digests in the same folder. Its name cannot be mistaken for this one's."""
        name, self.trail = self.trail, "zz-other"
        previous = None
        for hour in range(3):
            previous = self.digest(self.start + HOUR * (hour + 1), previous, [])
        self.trail = name

    def some_logs(self, end, most):
        logs = []
        for number in range(self.random.randrange(most + 1)):
            unique = f"{self.random.getrandbits(64):016x}"
            folder = f"{self.before()}AWSLogs/{ACCOUNT}/CloudTrail/{self.region}/{end:%Y/%m/%d}"
            key = f"{folder}/{ACCOUNT}_CloudTrail_{self.region}_{end:%Y%m%dT%H%MZ}_{unique}.json.gz"
            text = json.dumps({"Records": [{"eventID": unique, "n": number, "pad": "x" * self.random.randrange(4000)}]})
            put(self.root, self.bucket, key, gzip.compress(text.encode(), mtime=0))
            logs.append({
                "s3Bucket": self.bucket, "s3Object": key,
                "hashValue": hashlib.sha256(text.encode()).hexdigest(), "hashAlgorithm": "SHA-256",
                "newestEventTime": iso(end), "oldestEventTime": iso(end),
            })
        self.logs += [(log["s3Bucket"], log["s3Object"]) for log in logs]
        return logs

    def before(self):
        return f"{self.prefix}/" if self.prefix else ""

    def key(self, end, backfill):
        suffix = "_backfill" if backfill else ""
        return (
            f"{self.before()}AWSLogs/{ACCOUNT}/CloudTrail-Digest/{self.region}/{end:%Y/%m/%d}/{ACCOUNT}"
            f"_CloudTrail-Digest_{self.region}_{self.trail}_{self.home}_{stamp(end)}{suffix}.json.gz"
        )

    def digest(self, end, previous, logs, backfill=False, signer=None):
        document = {
            "awsAccountId": ACCOUNT, "digestStartTime": iso(end - HOUR), "digestEndTime": iso(end),
            "digestS3Bucket": self.bucket, "digestS3Object": self.key(end, backfill),
            "digestPublicKeyFingerprint": (signer or self.signer).fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": None, "oldestEventTime": None,
            "previousDigestS3Bucket": previous and previous["bucket"],
            "previousDigestS3Object": previous and previous["key"],
            "previousDigestHashValue": previous and previous["hash"],
            "previousDigestHashAlgorithm": previous and "SHA-256",
            "previousDigestSignature": previous and previous["signature"],
            "logFiles": logs,
        }
        return self.store(document, end, backfill, signer or self.signer)

    def store(self, document, end, backfill, signer):
        """Signs a document and puts it where it says that it belongs."""
        text = json.dumps(document).encode()
        bucket, key = document["digestS3Bucket"], document["digestS3Object"]
        digest_hash = hashlib.sha256(text).hexdigest()
        before = document["previousDigestSignature"]
        signature = signer.sign(f"{document['digestEndTime']}\n{bucket}/{key}\n{digest_hash}\n{before or 'null'}")
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"}
        if backfill:
            metadata["backfill-generation-timestamp"] = iso(end + 40 * HOUR).replace("Z", ".000Z")
        put(self.root, bucket, key, gzip.compress(text, mtime=0), metadata)
        return {
            "bucket": bucket, "key": key, "hash": digest_hash, "signature": signature,
            "document": document, "end": end, "backfill": backfill, "signer": signer,
        }

    def all_digests(self):
        return self.digests + self.backfill


def path(root, bucket, key):
    return Path(root) / bucket / key


def put(root, bucket, key, data, metadata=None):
    file = path(root, bucket, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    if metadata is not None:
        Path(f"{file}.metadata.json").write_text(json.dumps(metadata))
