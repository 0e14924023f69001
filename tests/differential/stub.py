"""S3 and CloudTrail on 127.0.0.1, as far as `aws cloudtrail validate-logs` asks them."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 7  # small, so that listings have several pages


class Stub(ThreadingHTTPServer):
    """Serves `self.root` (folders as buckets), `self.public` (keys, or keys by region), `self.trails` and the
    `self.organization` that they belong to. All may be exchanged at any time."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.public, self.trails, self.organization = None, [], [], None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out one by one: the second would wait 40 ms for an answer

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if operation == "ListPublicKeys":
            body = {"PublicKeyList": self.keys(asked["StartTime"], asked["EndTime"])}
        elif operation == "DescribeTrails":
            body = {"trailList": self.server.trails}
        elif operation == "DescribeOrganization":
            body = {"Organization": {"Id": self.server.organization}}
        else:
            return self.answer(400, b"{}")
        self.answer(200, json.dumps(body).encode(), [("Content-Type", "application/x-amz-json-1.1")])

    def keys(self, start, end):
        keys = self.server.public
        if isinstance(keys, dict):
            # Credential=KEY/DATE/REGION/cloudtrail/aws4_request
            keys = keys[self.headers["Authorization"].split("Credential=")[1].split("/")[2]]
        return [key for key in keys if key["ValidityStartTime"] <= end and key["ValidityEndTime"] >= start]

    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        folder = Path(self.server.root) / bucket
        if "location" in query:
            return self.xml(200, '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>')
        if not key:
            return self.list(folder, bucket, query)
        file = folder / key
        if not file.is_file():
            return self.xml(404, f"<Error><Code>NoSuchKey</Code><Message>none</Message><Key>{escape(key)}</Key></Error>")
        metadata = Path(f"{file}.metadata.json")
        fields = json.loads(metadata.read_text()) if metadata.exists() else {}
        headers = [(f"x-amz-meta-{name}", value) for name, value in fields.items()]
        body, etag = file.read_bytes(), f'"{file.stat().st_mtime_ns:x}"'
        ranged = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not ranged or not body:
            return self.answer(200, body, [*headers, ("ETag", etag)])
        first, last = int(ranged[1]), min(int(ranged[2]), len(body) - 1)
        headers += [("ETag", etag), ("Content-Range", f"bytes {first}-{last}/{len(body)}")]
        self.answer(206, body[first : last + 1], headers)

    def list(self, folder, bucket, query):
        if query.get("list-type") == ["2"]:
            return self.list_v2(folder, bucket, query)
        prefix, marker = query.get("prefix", [""])[0], query.get("marker", [""])[0]
        files = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(".metadata.json"))
        keys = sorted(str(file.relative_to(folder)) for file in files)
        keys = [key for key in keys if key.startswith(prefix) and key > marker]
        page = keys[:PAGE]
        contents = "".join(f"<Contents><Key>{quote(key)}</Key><Size>1</Size></Contents>" for key in page)
        truncated = str(len(keys) > PAGE).lower()
        self.xml(200, f"<ListBucketResult><Name>{bucket}</Name><EncodingType>url</EncodingType>"
                      f"<IsTruncated>{truncated}</IsTruncated>{contents}</ListBucketResult>")

    def list_v2(self, folder, bucket, query):
        """As trailhaul lists; a token is the last name of the page before."""
        asked = {name: values[0] for name, values in query.items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter")
        after = asked.get("continuation-token") or asked.get("start-after", "")
        files = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(".metadata.json"))
        names = set()
        for file in files:
            key = str(file.relative_to(folder))
            if key.startswith(prefix):
                rest = key[len(prefix):]
                names.add(prefix + rest[: rest.index(delimiter) + 1] if delimiter and delimiter in rest else key)
        names = sorted(name for name in names if name > after)
        page, truncated = names[:PAGE], len(names) > PAGE
        contents = "".join(
            f"<CommonPrefixes><Prefix>{quote(name)}</Prefix></CommonPrefixes>" if delimiter and name.endswith(delimiter)
            else f'<Contents><Key>{quote(name)}</Key><ETag>"{(folder / name).stat().st_mtime_ns:x}"</ETag>'
                 f"<Size>{(folder / name).stat().st_size}</Size></Contents>"
            for name in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if truncated else ""
        self.xml(200, f"<ListBucketResult><Name>{bucket}</Name><EncodingType>url</EncodingType>"
                      f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{token}{contents}</ListBucketResult>")

    def xml(self, status, text):
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
        self.answer(status, body, [("Content-Type", "application/xml")])
