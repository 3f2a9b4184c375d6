"""A server that speaks what S3, Google Cloud Storage and Azure Blob Storage are asked for by this gateway, in a process of its own.

What a call means is told by its headers: signed ones of AWS, `x-ms-version` of Azure, everything else is Google's. Each has buckets of its
own, in memory. Lists come two at a time, so that every list has pages. `GET /-/state` is for tests: the keys and open uploads of each.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

ACCOUNT, ACCESS_KEY, TOKEN, SECRET = "acme", "AKIAFAKE", "ya29.fake", "c2VjcmV0"
BUCKET = "files"
_PAGE = 2
_MODIFIED = "Wed, 25 Nov 2026 10:00:00 GMT"
_MODIFIED_ISO = "2026-11-25T10:00:00.000Z"


@dataclass
class Bucket:
    """What is kept of one of the three: objects, and parts of uploads that were not completed, by upload."""

    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    uploads: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict[str, dict[str, bytes]](dict))
    calls: list[str] = field(default_factory=list[str])

    def page(self, prefix: str, after: str) -> tuple[list[str], str | None]:
        """Keys of the prefix above `after`, and what to ask for the next ones by."""
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        return keys[:_PAGE], keys[_PAGE - 1] if len(keys) > _PAGE else None


_BUCKETS = {"s3": Bucket(), "gs": Bucket(), "az": Bucket()}
_NUMBERS = count(1)
_LOCK = threading.Lock()


class _Answer:
    def __init__(self, status: int, body: bytes | str = b"", **headers: str) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else body.encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with _LOCK:
            answer = self._answer(body)
        self.send_response(answer.status)
        for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(BrokenPipeError):  # nobody waits for it any more
                self.wfile.write(answer.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the base's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def _answer(self, body: bytes) -> _Answer:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if parts.path == "/-/state":
            return _Answer(200, json.dumps({kind: _state(bucket) for kind, bucket in _BUCKETS.items()}))
        kind = self._kind()
        name, _, key = unquote(parts.path).lstrip("/").partition("/")
        bucket = _BUCKETS[kind]
        bucket.calls.append(f"{self.command} {' '.join(sorted(query))}".strip())
        if not self._is_known(kind):
            return _Answer(403, "<Error><Code>AccessDenied</Code><Message>The key is not known.</Message></Error>")
        if name != BUCKET:
            return _Answer(404, "<Error><Code>NoSuchBucket</Code><Message>There is no such bucket.</Message></Error>")
        if kind == "az":
            return _azure(bucket, self.command, key, query, body, self.headers.get("content-type", ""))
        return _amazon_or_google(bucket, self.command, key, query, body)

    def _kind(self) -> str:
        if self.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
            return "s3"
        return "az" if "x-ms-version" in self.headers else "gs"

    def _is_known(self, kind: str) -> bool:
        """By the token, or the name of the key that signed: the signature itself is the library's affair."""
        shown = self.headers.get("authorization", "")
        known = {"s3": f"Credential={ACCESS_KEY}/", "gs": f"Bearer {TOKEN}", "az": f"SharedKey {ACCOUNT}:"}
        return known[kind] in shown


def _amazon_or_google(bucket: Bucket, command: str, key: str, query: dict[str, str], body: bytes) -> _Answer:
    """Google's XML API has the words of Amazon's."""
    if "uploads" in query or "uploadId" in query:
        return _upload(bucket, command, key, query, body)
    match command:
        case "POST":
            keys = [element.text or "" for element in ET.fromstring(body).iter() if element.tag.endswith("Key")]
            for one in keys:
                bucket.objects.pop(one, None)
            gone = "".join(f"<Deleted><Key>{escape(one)}</Key></Deleted>" for one in keys)
            return _Answer(200, f"<DeleteResult>{gone}</DeleteResult>")
        case "DELETE":
            return _Answer(204 if bucket.objects.pop(key, None) is not None else 404)
        case "GET" if not key:
            return _list_amazon(bucket, query)
        case _:
            return _object(bucket, command, key, body)


def _upload(bucket: Bucket, command: str, key: str, query: dict[str, str], body: bytes) -> _Answer:
    """One that comes in parts: begun, each part, completed or given up."""
    upload = query.get("uploadId", "")
    match command:
        case "POST" if not upload:
            upload = f"upload-{next(_NUMBERS)}"
            bucket.uploads[upload] = {}
            return _Answer(200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        case "PUT" | "POST" if upload not in bucket.uploads:
            return _Answer(404, "<Error><Code>NoSuchUpload</Code><Message>It was given up.</Message></Error>")
        case "PUT":
            bucket.uploads[upload][query["partNumber"]] = body
            return _Answer(200, ETag=f'"{query["partNumber"]}"')
        case "POST":
            numbers = [element.text or "" for element in ET.fromstring(body).iter() if element.tag.endswith("PartNumber")]
            sent = bucket.uploads.pop(upload)
            bucket.objects[key] = b"".join(sent[number] for number in numbers)
            return _Answer(200, '<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>')
        case _:
            bucket.uploads.pop(upload, None)
            return _Answer(204)


def _list_amazon(bucket: Bucket, query: dict[str, str]) -> _Answer:
    keys, further = bucket.page(query.get("prefix", ""), query.get("continuation-token", ""))
    token = f"<NextContinuationToken>{escape(further)}</NextContinuationToken>" if further else ""
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_MODIFIED_ISO}</LastModified><ETag>&quot;whole&quot;</ETag>"
        f"<Size>{len(bucket.objects[key])}</Size></Contents>"
        for key in keys
    )
    return _Answer(200, f"<ListBucketResult><IsTruncated>{str(bool(further)).lower()}</IsTruncated>{contents}{token}</ListBucketResult>")


def _azure(bucket: Bucket, command: str, key: str, query: dict[str, str], body: bytes, content_type: str) -> _Answer:
    match command, query.get("comp"):
        case "PUT", "block":
            bucket.uploads[key][query["blockid"]] = body
            return _Answer(201)
        case "PUT", "blocklist":
            blocks = bucket.uploads.pop(key)
            bucket.objects[key] = b"".join(blocks[element.text or ""] for element in ET.fromstring(body))
            return _Answer(201, ETag='"whole"')
        case "POST", "batch":
            return _batch(bucket, body, content_type.rpartition("boundary=")[2])
        case "GET", "list":
            return _list_azure(bucket, query)
        case _:
            return _object(bucket, command, key, body)


def _batch(bucket: Bucket, body: bytes, boundary: str) -> _Answer:
    """Deletions in a multipart body, answered by another one."""
    answers: list[str] = []
    for part in body.decode().split(f"--{boundary}")[1:-1]:
        number = re.search(r"Content-ID: (\d+)", part)
        asked = re.search(rf"DELETE /{BUCKET}/(\S+) HTTP", part)
        assert number is not None
        assert asked is not None
        found = bucket.objects.pop(unquote(asked[1]), None) is not None
        status = "202 Accepted" if found else "404 The specified blob does not exist.\r\nx-ms-error-code: BlobNotFound"
        answers.append(f"--answers\r\nContent-Type: application/http\r\nContent-ID: {number[1]}\r\n\r\nHTTP/1.1 {status}\r\n\r\n")
    return _Answer(202, "".join(answers) + "--answers--\r\n", Content_Type="multipart/mixed; boundary=answers")


def _list_azure(bucket: Bucket, query: dict[str, str]) -> _Answer:
    keys, further = bucket.page(query.get("prefix", ""), query.get("marker", ""))
    blobs = "".join(
        f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{_MODIFIED}</Last-Modified><Etag>whole</Etag>"
        f"<Content-Length>{len(bucket.objects[key])}</Content-Length><Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
        for key in keys
    )
    return _Answer(200, f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{escape(further or '')}</NextMarker></EnumerationResults>")


def _object(bucket: Bucket, command: str, key: str, body: bytes) -> _Answer:
    if command == "PUT":
        bucket.objects[key] = body
        return _Answer(201, ETag='"whole"')
    if key not in bucket.objects:
        return _Answer(404, "<Error><Code>NoSuchKey</Code><Message>There is no such object.</Message></Error>")
    return _Answer(200, bucket.objects[key], ETag='"whole"', Last_Modified=_MODIFIED, Content_Type="application/octet-stream")


def _state(bucket: Bucket) -> dict[str, Any]:
    return {"keys": sorted(bucket.objects), "uploads": len(bucket.uploads), "calls": bucket.calls}


@dataclass(frozen=True)
class ObjectStores:
    """The three, where they listen."""

    url: str

    def options(self, kind: str) -> dict[str, str]:
        """What the settings hold for the bucket of a kind, by the library's names."""
        return {
            "s3": {"endpoint": self.url, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET, "region": "eu-central-1"},
            "gs": {"base_url": self.url, "bearer_token": TOKEN},
            "az": {"endpoint": self.url, "account_name": ACCOUNT, "account_key": base64.b64encode(SECRET.encode()).decode()},
        }[kind]

    def state(self, kind: str) -> dict[str, Any]:
        """`keys`, how many `uploads` are open, and the `calls` so far."""
        with urllib.request.urlopen(f"{self.url}/-/state", timeout=10) as answer:
            return json.load(answer)[kind]


@contextmanager
def start_object_stores() -> Generator[ObjectStores]:
    """Start them, and end them with the block."""
    with subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield ObjectStores(process.stdout.readline().strip())
        finally:
            process.kill()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()  # whoever started it is gone when there is no more
