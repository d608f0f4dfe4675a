"""gcp-storage-emulator with the part of Google's XML API that obstore speaks and it lacks.

Run as a script: `gcs_server.py PORT BUCKET`. The emulator keeps the objects and serves its JSON API; added are XML
listings in pages, HEAD, and the ETag, Last-Modified and error bodies of XML reads and writes.
Source: https://cloud.google.com/storage/docs/xml-api/reference-methods
"""

import re
import sys
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from http.server import ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.storage import Storage

PAGE = 100
JSON_ROOTS = ("/storage/v1", "/upload", "/download", "/batch", "/b/", "/wipe")


class Handler(server.RequestHandler):
    """XML requests here, all others as the emulator has it."""

    protocol_version = "HTTP/1.1"
    lock = Lock()

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        if self._is_json():
            super().do_GET()
        elif self._key():
            self._read(with_body=True)
        else:
            self._list()

    def do_HEAD(self) -> None:  # noqa: N802 - the name that http.server calls
        self._read(with_body=False)

    def do_PUT(self) -> None:  # noqa: N802 - the name that http.server calls
        if self._is_json():
            super().do_PUT()
            return
        data = self.rfile.read(int(self.headers["content-length"]))
        with self.lock:
            resource = objects._make_object_resource(
                "http://127.0.0.1", self._bucket(), self._key(), "application/octet-stream", str(len(data))
            )
            try:
                self.storage.create_file(self._bucket(), self._key(), data, objects._checksums(data, resource))
            except NotFound:
                self._refuse(404, "NoSuchBucket")
                return
        self._answer(200, b"", {"ETag": f'"{resource["etag"]}"', "x-goog-generation": "1"})

    def _read(self, *, with_body: bool) -> None:
        try:
            with self.lock:
                data = self.storage.get_file(self._bucket(), self._key(), show_error=False)
                resource = self.storage.get_file_obj(self._bucket(), self._key())
        except NotFound:
            self._refuse(404, "NoSuchKey" if self._bucket_exists() else "NoSuchBucket", with_body=with_body)
            return
        etag = f'"{resource["etag"]}"'
        wanted = self.headers["if-match"]
        if wanted and wanted != etag:
            self._refuse(412, "PreconditionFailed")
            return
        headers = {"ETag": etag, "Last-Modified": _http_date(resource["updated"]), "x-goog-generation": "1"}
        status, whole = 200, len(data)
        if part := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"] or ""):
            start, end = int(part[1]), min(int(part[2]) + 1, whole)
            status, data = 206, data[start:end]
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{whole}"
        self._answer(status, data, headers, with_body=with_body)

    def _list(self) -> None:
        if not self._bucket_exists():
            self._refuse(404, "NoSuchBucket")
            return
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        after = query.get("continuation-token") or query.get("start-after") or ""
        with self.lock:
            found = self.storage.get_file_list(self._bucket(), query.get("prefix") or "")
        listed = sorted((item for item in _items(found) if item["name"] > after), key=lambda item: item["name"])
        page, more = listed[:PAGE], len(listed) > PAGE
        items = "".join(
            f"<Contents><Key>{escape(item['name'])}</Key><Size>{item['size']}</Size>"
            f"<LastModified>{item['updated']}</LastModified><ETag>&quot;{item['etag']}&quot;</ETag></Contents>"
            for item in page
        )
        token = f"<NextContinuationToken>{escape(page[-1]['name'])}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>"
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _refuse(self, status: int, code: str, *, with_body: bool = True) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self._answer(status, body, {"Content-Type": "application/xml"}, with_body=with_body)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _is_json(self) -> bool:
        return self.path == "/" or self.path.startswith(JSON_ROOTS)

    def _bucket_exists(self) -> bool:
        return self.storage.get_bucket(self._bucket()) is not None

    def _bucket(self) -> str:
        return unquote(urlsplit(self.path).path).split("/", 2)[1]

    def _key(self) -> str:
        return [*unquote(urlsplit(self.path).path).split("/", 2), ""][2]


def _items(found: Any) -> list[dict[str, str]]:
    return list(found[0] if isinstance(found, tuple) else found)


def _http_date(instant: str) -> str:
    return format_datetime(datetime.fromisoformat(instant), usegmt=True)


def main() -> None:
    port, bucket = int(sys.argv[1]), sys.argv[2]
    storage = Storage(use_memory_fs=True)
    buckets.create_bucket(bucket, storage)
    ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, storage)).serve_forever()


if __name__ == "__main__":
    main()
