"""Fills an emulator with a simulated organization, and fetches the archive from it: for `make demo-aws`.

Usage: demo_aws.py fill ENDPOINT FOLDER    buckets, roles with external ids, archive, stream; FOLDER/aws.yaml
       demo_aws.py fetch ENDPOINT FOLDER   the archive, to FOLDER/archive
Talks to 127.0.0.1 only.
"""

import json
import pathlib
import re
import sys

import boto3

HOME = "999988887777"
EXTERNAL_ID = "demo-external-id"
ARCHIVE = "org-log-archive"
STREAM = "org-cloudtrail"
ROLE = "TrailhaulReader"


def client(service, endpoint, account):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=account,
        aws_secret_access_key="demo",
    )


def make_role(endpoint, account):
    iam = client("iam", endpoint, account)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{HOME}:root"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
            }
        ],
    }
    allow = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}],
    }
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=ROLE, PolicyName="read", PolicyDocument=json.dumps(allow))


def fill(endpoint, folder):
    owners = set()
    for bucket in sorted((folder / "buckets").iterdir()):
        owner = re.search(r"\d{12}", bucket.name)[0]
        s3 = client("s3", endpoint, owner)
        s3.create_bucket(Bucket=bucket.name)
        objects = [path for path in sorted(bucket.rglob("*")) if path.is_file()]
        for path in objects:
            s3.put_object(Bucket=bucket.name, Key=str(path.relative_to(bucket)), Body=path.read_bytes())
        print(f"   s3://{bucket.name}: {len(objects)} objects, owned by {owner}")
        if owner not in owners:
            make_role(endpoint, owner)
            owners.add(owner)
    client("s3", endpoint, HOME).create_bucket(Bucket=ARCHIVE)
    client("kinesis", endpoint, HOME).create_stream(StreamName=STREAM, ShardCount=1)
    (folder / "aws.yaml").write_text(configuration(endpoint, folder))


def configuration(endpoint, folder):
    text = (folder / "trailhaul.yaml").read_text()
    text = text.replace(f"file://{folder}/buckets/", "s3://")
    text = text.replace(f"file://{folder}/archive", f's3://{ARCHIVE}/trails\n    owner: "{HOME}"')
    role = f'  role:\n    name: {ROLE}\n    external_id: "${{env:DEMO_EXTERNAL_ID}}"\n'
    text = text.replace("trails:\n", f"{role}trails:\n", 1)
    stream = f"  events:\n    type: kinesis\n    stream: {STREAM}\n    format: raw+meta\n"
    text = text.replace("state:\n", f"{stream}state:\n", 1)
    return f"{text}aws:\n  region: us-east-1\n  endpoint_url: {endpoint}\n  path_style: true\n"


def fetch(endpoint, folder):
    s3 = client("s3", endpoint, HOME)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=ARCHIVE, Prefix="trails/")
    for page in pages:
        for listed in page.get("Contents", []):
            path = folder / "archive" / listed["Key"].removeprefix("trails/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(s3.get_object(Bucket=ARCHIVE, Key=listed["Key"])["Body"].read())


if __name__ == "__main__":
    verb, endpoint, folder = sys.argv[1:]
    {"fill": fill, "fetch": fetch}[verb](endpoint, pathlib.Path(folder).resolve())
