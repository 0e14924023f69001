"""What is done to a tree: one function per act, each taking an organization that was written."""

import gzip
import json
from pathlib import Path

from organization import ACCOUNT, path, put


def _metadata(org, digest):
    return Path(f"{path(org.root, digest['bucket'], digest['key'])}.metadata.json")


def _change_byte(org, file):
    data = bytearray(file.read_bytes())
    if data:
        data[org.random.randrange(len(data))] ^= 1 << org.random.randrange(8)
        file.write_bytes(bytes(data))


def _a_log(org):
    return path(org.root, *org.random.choice(org.logs))


def _a_digest(org):
    return org.random.choice(org.all_digests())


def _file(org, digest):
    return path(org.root, digest["bucket"], digest["key"])


def flip_log(org):
    _change_byte(org, _a_log(org))


def edit_log(org):
    file = _a_log(org)
    if file.exists():
        file.write_bytes(gzip.compress(b'{"Records":[]}'))


def delete_log(org):
    _a_log(org).unlink(missing_ok=True)


def truncate_log(org):
    file = _a_log(org)
    if file.exists():
        data = file.read_bytes()
        file.write_bytes(data[: org.random.randrange(len(data) + 1)])


def append_log(org):
    file = _a_log(org)
    if file.exists():
        file.write_bytes(file.read_bytes() + org.random.choice([b"\0", b"x" * 5000, gzip.compress(b"{}")]))


def inflate_log(org):
    file = _a_log(org)
    if file.exists():
        file.write_bytes(b'{"Records":[]}')


def swap_logs(org):
    one, two = _a_log(org), _a_log(org)
    if one.exists() and two.exists():
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)


def flip_digest(org):
    file = _file(org, _a_digest(org))
    if file.exists():
        _change_byte(org, file)


def edit_digest(org):
    digest = _a_digest(org)
    document = dict(digest["document"], logFiles=[], edited=True)
    put(org.root, digest["bucket"], digest["key"], gzip.compress(json.dumps(document).encode()))


def drop_field(org):
    """A digest without a field, signed as it is."""
    digest = _a_digest(org)
    document = dict(digest["document"])
    field = org.random.choice(["digestPublicKeyFingerprint", "digestStartTime", "previousDigestSignature"])
    del document[field]
    data = gzip.compress(json.dumps(document).encode())
    put(org.root, digest["bucket"], digest["key"], data)


def not_json(org):
    digest = _a_digest(org)
    content = org.random.choice([b"", b"{", b"[]", b"null", b"7", b'"text"', b"\xff\xfe"])
    data = org.random.choice([gzip.compress(content), content])
    put(org.root, digest["bucket"], digest["key"], data)


def delete_digests(org):
    """One, or several beside each other, also at the ends."""
    first = org.random.randrange(len(org.digests))
    for digest in org.digests[first : first + org.random.randrange(1, 4)]:
        _file(org, digest).unlink(missing_ok=True)


def delete_newest(org):
    for digest in org.digests[-org.random.randrange(1, 3) :]:
        _file(org, digest).unlink(missing_ok=True)


def delete_backfill(org):
    if org.backfill:
        _file(org, org.random.choice(org.backfill)).unlink(missing_ok=True)


def append_digest(org):
    file = _file(org, _a_digest(org))
    if file.exists():
        file.write_bytes(file.read_bytes() + b"trailing")


def truncate_digest(org):
    file = _file(org, _a_digest(org))
    if file.exists():
        data = file.read_bytes()
        file.write_bytes(data[: org.random.randrange(len(data))])


def replay(org):
    """An older digest with its signature in a later one's place."""
    one, two = _a_digest(org), _a_digest(org)
    if _file(org, one).exists():
        data, metadata = _file(org, one).read_bytes(), _metadata(org, one).read_text()
        put(org.root, two["bucket"], two["key"], data, json.loads(metadata))


def wrong_key(org):
    digest = _a_digest(org)
    org.store(digest["document"], digest["end"], digest["backfill"], org.stranger)


def unknown_key(org):
    digest = _a_digest(org)
    document = dict(digest["document"], digestPublicKeyFingerprint=org.stranger.fingerprint)
    org.store(document, digest["end"], digest["backfill"], org.stranger)


def replace(org):
    """A digest with other content, signed with the right key: another object in the same place."""
    digest = _a_digest(org)
    document = dict(digest["document"], logFiles=[], edited=True)
    org.store(document, digest["end"], digest["backfill"], digest["signer"])


def strip_metadata(org):
    _metadata(org, _a_digest(org)).unlink(missing_ok=True)


def damage_metadata(org):
    digest = _a_digest(org)
    file = _metadata(org, digest)
    if not file.exists():
        return
    metadata = json.loads(file.read_text())
    act = org.random.randrange(5)
    if act == 0:
        metadata.pop("signature-algorithm", None)
    elif act == 1:
        metadata["signature"] = "zz" * 256
    elif act == 2:
        metadata["signature"] = metadata.get("signature", "")[:-1]
    elif act == 3:
        metadata["signature"] = "00" * 256
    else:
        metadata.pop("backfill-generation-timestamp", None)
    file.write_text(json.dumps(metadata))


def move(org):
    """A digest under a key that is some minutes off."""
    digest = _a_digest(org)
    file = _file(org, digest)
    if file.exists():
        key = digest["key"].replace("Z.json.gz", "").replace("Z_backfill.json.gz", "")
        suffix = "Z_backfill.json.gz" if digest["backfill"] else "Z.json.gz"
        moved = key[:-2] + f"{(int(key[-2:]) + 7) % 60:02}" + suffix
        metadata = json.loads(_metadata(org, digest).read_text()) if _metadata(org, digest).exists() else None
        put(org.root, digest["bucket"], moved, file.read_bytes(), metadata)
        if org.random.random() < 0.5:
            file.unlink()


def plant_log(org):
    """A log that no digest names, among those of the second hour."""
    if len(org.digests) < 3:
        return
    end = org.digests[1]["end"]
    unique = f"{org.random.getrandbits(64):016x}"
    folder = f"{org.before()}AWSLogs/{ACCOUNT}/CloudTrail/{org.region}/{end:%Y/%m/%d}"
    key = f"{folder}/{ACCOUNT}_CloudTrail_{org.region}_{end:%Y%m%dT%H%MZ}_{unique}.json.gz"
    put(org.root, org.digests[1]["bucket"], key, gzip.compress(b'{"Records":[]}', mtime=0))


ACTS = [
    flip_log, edit_log, delete_log, truncate_log, append_log, inflate_log, swap_logs,
    flip_digest, edit_digest, drop_field, not_json, delete_digests, delete_newest, delete_backfill,
    append_digest, truncate_digest, replay, wrong_key, unknown_key, replace, strip_metadata,
    damage_metadata, move, plant_log,
]

NEEDS_LOG = {flip_log, edit_log, delete_log, truncate_log, append_log, inflate_log, swap_logs}


def tamper(org):
    """Does up to three things; answers their names."""
    done = []
    for _ in range(org.random.choice([0, 1, 1, 1, 2, 3])):
        act = org.random.choice(ACTS)
        if act in NEEDS_LOG and not org.logs:
            continue
        try:
            act(org)
        except FileNotFoundError:
            continue  # an act before it removed what this one needs
        done.append(act.__name__)
    return done
