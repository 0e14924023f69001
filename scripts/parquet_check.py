"""Reads a lake of Parquet files back with pyarrow and DuckDB.

In: the folder of scripts/parquet.sh (archive/, lake/, lake.yaml) and the program. Out: a line per reader on stdout;
exit code 1 and the first difference otherwise. The truth is `trailhaul normalize` over the archive's records: every
attribute of every event must be read back as it is there, and nothing else.
"""

import glob
import json
import subprocess
import sys
from collections import Counter

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# What differs by nature: the two were made at different times from different files.
OTHERWISE = ("trailhaul.source", "trailhaul.record_number", "trailhaul.repeat_key")


def text(event):
    """An event as text that two equal events share."""
    event = json.loads(json.dumps(event))
    for key in OTHERWISE:
        event.get("unmapped", {}).pop(key, None)
    event["metadata"].pop("processed_time", None)
    event["metadata"].pop("processed_time_dt", None)
    return json.dumps(event, sort_keys=True)


def tidy(value):
    """A value as readers give it, without what is null; maps come as pairs."""
    if isinstance(value, dict):
        out = {key: tidy(inner) for key, inner in value.items() if inner is not None}
        return {key: inner for key, inner in out.items() if inner is not None} or None
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):
            return dict(value)
        return [tidy(inner) for inner in value]
    return value


def main(folder, program):
    records = []
    for path in sorted(glob.glob(f"{folder}/archive/data/**/*.zst", recursive=True)):
        with open(path, "rb") as file:
            stream = pa.CompressedInputStream(pa.BufferReader(file.read()), "zstd")
            records.append(stream.read())
    made = subprocess.run(
        [program, "--config", f"{folder}/lake.yaml", "normalize", "--sink", "lake"],
        input=b"".join(records),
        capture_output=True,
        check=True,
    )
    expected = Counter(text(json.loads(line)) for line in made.stdout.splitlines())
    files = sorted(glob.glob(f"{folder}/lake/ext/*/region=*/accountId=*/eventDay=*/*.parquet"))
    every = glob.glob(f"{folder}/lake/**/*.parquet", recursive=True)
    assert len(files) == len(every) > 0, f"{len(files)} of {len(every)} files lie in Security Lake's layout"

    found = Counter()
    for path in files:
        parquet = pq.ParquetFile(path)
        rows = [tidy(row) for row in parquet.read().to_pylist()]
        assert len({row["class_uid"] for row in rows}) == 1, f"{path} has several classes"
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows), f"{path} is not in order"
        found.update(text(row) for row in rows)
    compare("pyarrow", expected, found, files)

    found = Counter()
    for source in sorted({path.split("/ext/")[1].split("/")[0] for path in files}):
        query = f"select * from read_parquet('{folder}/lake/ext/{source}/**/*.parquet', hive_partitioning = true)"
        table = duckdb.sql(query)
        names = [name for name in table.columns if name not in ("region", "accountId", "eventDay")]
        assert len(names) + 3 == len(table.columns), f"partitions of {source}: {table.columns}"
        for row in table.fetchall():
            found.update([text(tidy(dict(zip(table.columns, row, strict=True)) | partitions()))])
    compare("duckdb", expected, found, files)
    days = duckdb.sql(
        f"select accountId, count(*), max(unmapped['trailhaul.verdict']) "
        f"from read_parquet('{folder}/lake/ext/trailhaul-api/**/*.parquet', hive_partitioning = true) "
        f"where cloud.region is not null group by 1 order by 1"
    ).fetchall()
    assert days and all(verdict == "pending" for *_, verdict in days), days


def partitions():
    """The columns that the path adds, away again."""
    return {"region": None, "accountId": None, "eventDay": None}


def compare(reader, expected, found, files):
    missing, more = expected - found, found - expected
    for name, events in (("missing", missing), ("not expected", more)):
        if events:
            print(f"{reader}: {sum(events.values())} events {name}, such as {next(iter(events))}")
    if missing or more:
        sys.exit(1)
    print(f"{reader}: {sum(found.values())} events of {len(files)} files, each as trailhaul normalize has it")


if __name__ == "__main__":
    main(*sys.argv[1:])
