"""What a strict verdict on a tree must be, worked out from the tree alone.

In: an organization, its objects before and after it was tampered with, and what `trailhaul verify --output json`
said. Out: a text with every tampering that was missed and everything genuine that was accused; empty when there is
none. Goes by the documents (CloudTrail User Guide, "digest file structure" and "custom validation") and shares no
code with trailhaul or the AWS CLI. What it wants found is more than the AWS CLI finds: each of several digests
deleted beside each other, the newest ones, a signed digest in another's place, bytes behind a digest, a planted log.
"""

import base64
import hashlib
import json
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

NEEDED = [
    "digestStartTime", "digestEndTime", "digestS3Bucket", "digestS3Object", "digestPublicKeyFingerprint",
    "previousDigestSignature", "logFiles",
]


def snapshot(root):
    """Every object of a tree: bytes and user metadata by (bucket, key)."""
    objects = {}
    for file in Path(root).rglob("*"):
        if file.is_file() and not file.name.endswith(".metadata.json"):
            bucket, key = str(file.relative_to(root)).split("/", 1)
            beside = Path(f"{file}.metadata.json")
            metadata = json.loads(beside.read_text()) if beside.exists() else {}
            objects[bucket, key] = (file.read_bytes(), metadata)
    return objects


def inflate(data):
    """The content of exactly one gzip member; None for anything else."""
    decoder = zlib.decompressobj(31)
    try:
        content = decoder.decompress(data) + decoder.flush()
    except zlib.error:
        return None
    return content if decoder.eof and not decoder.unused_data else None


class Digest:
    """A digest object as it stands."""

    def __init__(self, place, data, metadata, public):
        self.place, self.document, self.end = place, None, _stamp(place[1])
        self.trusted, self.lost = False, False
        content = inflate(data)
        try:
            document = json.loads(content) if content is not None else None
        except ValueError:
            document = None
        if not isinstance(document, dict) or any(name not in document for name in NEEDED):
            return
        if (document["digestS3Bucket"], document["digestS3Object"]) != place:
            return
        self.document, self.hash = document, hashlib.sha256(content).hexdigest()
        self.signature = metadata.get("signature")
        self.previous = document.get("previousDigestS3Bucket"), document.get("previousDigestS3Object")
        backfill = place[1].endswith("_backfill.json.gz")
        generated = not backfill or "backfill-generation-timestamp" in metadata
        # Lost, not forged: a successor may still vouch.
        self.lost = self.signature is None or "signature-algorithm" not in metadata or not generated
        # A key that is not published may be one that nobody saved: the same.
        self.lost |= document["digestPublicKeyFingerprint"] not in public
        self.trusted = not self.lost and self._is_signed(public)

    def _is_signed(self, public):
        key = public[self.document["digestPublicKeyFingerprint"]]
        document, (bucket, name) = self.document, self.place
        before = document["previousDigestSignature"]
        text = f"{document['digestEndTime']}\n{bucket}/{name}\n{self.hash}\n{before or 'null'}"
        try:
            key.verify(bytes.fromhex(self.signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


def _stamp(key):
    text = key.replace("_backfill.json.gz", ".json.gz")[-24:-8]
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)


def _public(listed):
    keys = {}
    for key in listed:
        der = base64.b64decode(key["Value"])
        try:
            keys[key["Fingerprint"]] = serialization.load_der_public_key(der)
        except ValueError:
            # PKCS#1: wrapped, since the library takes it so only in PEM.
            pem = b"-----BEGIN RSA PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END RSA PUBLIC KEY-----\n"
            keys[key["Fingerprint"]] = serialization.load_pem_public_key(pem)
    return keys


class Oracle:
    def __init__(self, org, before, after):
        self.org, self.before, self.after = org, before, after
        public = _public(org.public)
        own = f"_{org.trail}_{org.home}_"
        self.digests = {
            place: Digest(place, data, metadata, public)
            for place, (data, metadata) in after.items()
            if "/CloudTrail-Digest/" in place[1] and own in place[1]
        }
        self.wanted = set()
        self.replaced = set()
        self._settle()

    def _settle(self):
        """From the newest to the oldest: whom a trusted digest vouches for, or says to be another."""
        for digest in sorted(self.digests.values(), key=lambda digest: digest.end, reverse=True):
            if not digest.trusted:
                continue
            before = self.digests.get(digest.previous)
            if before is None or before.document is None:
                continue
            same = before.hash == digest.document["previousDigestHashValue"]
            if before.trusted and (not same or before.signature != digest.document["previousDigestSignature"]):
                before.trusted = False
                self.replaced.add(before.place)
            elif not before.trusted and same and before.lost:
                before.trusted = True

    def must_find(self):
        """The objects that must be findings."""
        # The hour after the range was not asked about.
        asked = [digest for digest in self.digests.values() if digest.end - timedelta(hours=1) < self.org.end]
        found = {digest.place for digest in asked if not digest.trusted}
        for digest in self.digests.values():
            if digest.trusted:
                found |= {log for log in map(_log, digest.document["logFiles"]) if self._is_bad(digest, log)}
        return found | self._missing(self.org.digests) | self._missing_links(self.org.backfill)

    def _is_bad(self, digest, log):
        named = {_log(entry): entry["hashValue"] for entry in digest.document["logFiles"]}
        data = self.after.get(log, (None, None))[0]
        if data is None:
            return True
        content = data if data[:2] != b"\x1f\x8b" else inflate(data)
        return content is None or hashlib.sha256(content).hexdigest() != named[log]

    def _missing(self, chain):
        """Digests of the hourly chain that are gone and whose absence shows."""
        gone = set()
        for at, digest in enumerate(chain):
            place = digest["bucket"], digest["key"]
            # An object in its hour that proves nothing is the finding then, and says where it belongs.
            if place in self.after or self._has_other(digest["end"]):
                continue
            earlier = any(self._is_trusted(other) for other in chain[:at])
            later = next((other for other in chain[at + 1 :] if self._is_trusted(other)), None)
            if later is None:
                # The cadence alone tells.
                shows = earlier
            else:
                # CloudTrail itself says that nothing came before.
                shows = self.digests[later["bucket"], later["key"]].previous[1] is not None
            if shows:
                gone.add(place)
        return gone

    def _has_other(self, end):
        others = (digest.end for digest in self.digests.values() if not digest.trusted)
        return any(end - timedelta(hours=1) < other <= end for other in others)

    def _missing_links(self, chain):
        named = {digest.previous for digest in self.digests.values() if digest.trusted}
        return {(d["bucket"], d["key"]) for d in chain if (d["bucket"], d["key"]) in named - self.after.keys()}

    def _is_trusted(self, digest):
        there = self.digests.get((digest["bucket"], digest["key"]))
        return there is not None and there.trusted

    def untouched(self):
        """Objects that stand as they were written."""
        return {place for place, state in self.after.items() if self.before.get(place) == state}

    def planted(self):
        """New logs whose stamps lie well within the hours that digests cover."""
        covered = [digest.end for digest in self.digests.values() if digest.trusted and "_backfill" not in digest.place[1]]
        if not covered:
            return set()
        first, last = min(covered) + timedelta(hours=1), self.org.end - timedelta(hours=1)
        new = {place for place in self.after.keys() - self.before.keys() if "/CloudTrail/" in place[1]}
        stamp = lambda key: datetime.strptime(key.split("_")[-2], "%Y%m%dT%H%MZ").replace(tzinfo=timezone.utc)
        return {place for place in new if first <= stamp(place[1]) < last}


def _log(entry):
    return entry["s3Bucket"], entry["s3Object"]


def complaints(org, before, after, report):
    """What the report misses, and whom it accuses wrongly; and how many objects had to be found."""
    oracle = Oracle(org, before, after)
    problems = [problem for chain in report["chains"] for problem in chain["problems"]] + report["problems"]
    of = lambda weight: {_place(p["object"]) for p in problems if p["weight"] == weight and "object" in p}
    text = ""
    # Where a trail moved to a bucket that has no digest left, its cadence is missed in the one before.
    keys = {key for _, key in of("finding")}
    for place in sorted(place for place in oracle.must_find() - of("finding") if place in after or place[1] not in keys):
        text += f"missed: s3://{'/'.join(place)}\n"
    for place in sorted(of("finding") & oracle.untouched() - oracle.replaced):
        said = [p["outcome"] for p in problems if p["weight"] == "finding" and _place(p.get("object", "")) == place]
        text += f"accused although genuine ({', '.join(said)}): s3://{'/'.join(place)}\n"
    for place in sorted(oracle.planted() - of("note") - of("finding")):
        text += f"planted and not told: s3://{'/'.join(place)}\n"
    if before == after and of("finding"):
        text += "findings in an untouched tree\n"
    return text, len(oracle.must_find())


def _place(url):
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
