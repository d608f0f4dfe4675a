"""A ClickHouse HTTP interface over chDB, in a process of its own, for the unmodified HTTP client to talk to.

No ClickHouse server can be installed where the tests run. The SQL, the storage and the formats here are ClickHouse's
own (chDB is the same engine, linked in); only the HTTP front is written for the tests, after the documented
interface: settings as URL parameters, sessions, one running query per query id, error codes in a header. Not here:
several users, TLS, replication, Distributed tables.

Run: `python clickhouse_http.py FOLDER [--user U] [--password P]`; it prints its port once it listens, and ends when
its standard input does, so it cannot outlive whoever started it.
"""

import argparse
import base64
import hmac
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import chdb

ALREADY_RUNNING, AUTHENTICATION_FAILED, SESSION_LOCKED = 216, 516, 373
_TRANSPORT = {
    "query", "database", "session_id", "session_timeout", "session_check", "query_id", "quota_key", "compress",
    "decompress", "wait_end_of_query", "buffer_size", "client_protocol_version", "enable_http_compression",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms", "user", "password",
    "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip
_INSERT_DATA = re.compile(rb"\A\s*INSERT\s+INTO\s.*?\sFORMAT\s+(\w+)\s*?\n", re.IGNORECASE | re.DOTALL)
_CODE = re.compile(r"Code: (\d+)")


class ServerError(Exception):
    """An error with a ClickHouse code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(f"Code: {code}. DB::Exception: {message}")


class Session:
    """A connection that keeps its temporary tables and serves one query at a time."""

    def __init__(self, connection: "chdb.Connection") -> None:
        self.connection = connection
        self.busy = Lock()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: str, user: str, password: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.authorization = folder, base64.b64encode(f"{user}:{password}".encode()).decode()
        self.root = chdb.connect(folder)  # keeps the engine loaded between requests
        self.guard = Lock()
        self.running: set[str] = set()
        self.sessions: dict[str, Session] = {}

    @contextmanager
    def alone(self, query_id: str) -> Iterator[None]:
        """As a real server: a query whose id is running already is refused."""
        with self.guard:
            if query_id in self.running:
                raise ServerError(
                    ALREADY_RUNNING,
                    f"Query with id = {query_id} is already running. (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)",
                )
            self.running.add(query_id)
        try:
            yield
        finally:
            with self.guard:
                self.running.discard(query_id)

    @contextmanager
    def connection(self, session_id: str | None) -> Iterator["chdb.Connection"]:
        """The session's connection, else one for this request only."""
        if session_id is None:
            connection = chdb.connect(self.folder)
            try:
                yield connection
            finally:
                connection.close()
            return
        with self.guard:
            session = self.sessions.get(session_id) or self.sessions.setdefault(
                session_id, Session(chdb.connect(self.folder))
            )
        if not session.busy.acquire(blocking=False):
            raise ServerError(
                SESSION_LOCKED, f"Session {session_id} is locked by a concurrent client. (SESSION_IS_LOCKED)"
            )
        try:
            yield session.connection
        finally:
            session.busy.release()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing: standard output belongs to the port, and tests do not read a log."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/ping":
            self._answer(200, b"Ok.\n", {})
        else:
            self._serve(dict(parse_qsl(parts.query, keep_blank_values=True)), b"")

    def do_POST(self) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        self._serve(parameters, self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _serve(self, parameters: dict[str, str], body: bytes) -> None:
        query_id = parameters.get("query_id") or str(uuid4())
        try:
            self._authorise()
            with self.server.alone(query_id), self.server.connection(parameters.get("session_id")) as connection:
                answer, headers = self._run(connection, parameters, body)
        except ServerError as error:
            status = 403 if error.code == AUTHENTICATION_FAILED else 500
            self._answer(status, str(error).encode(), {"X-ClickHouse-Exception-Code": str(error.code)})
        except RuntimeError as error:  # chDB raises this for everything
            found = _CODE.search(str(error))
            code = found.group(1) if found else "1002"
            self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": code})
        else:
            self._answer(200, answer, {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": "UTC", **headers})

    def _authorise(self) -> None:
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or not hmac.compare_digest(given, self.server.authorization):
            raise ServerError(
                AUTHENTICATION_FAILED,
                "Authentication failed: wrong password or no such user. (AUTHENTICATION_FAILED)",
            )

    def _run(
        self, connection: "chdb.Connection", parameters: dict[str, str], body: bytes
    ) -> tuple[bytes, dict[str, str]]:
        if parameters.get("database"):
            connection.query(f"USE {_identifier(parameters['database'])}")
        settings = [
            f"{name} = {_literal(value)}"
            for name, value in parameters.items()
            if name not in _TRANSPORT and not name.startswith("param_")
        ]
        if settings:
            connection.query("SET " + ", ".join(settings))
        statement = b"\n".join(part for part in (parameters.get("query", "").encode(), body) if part)
        data = _INSERT_DATA.match(statement)
        if data:
            return self._insert(connection, data, statement)
        result = connection.query(statement.decode(), "TabSeparated")
        summary = {"read_rows": str(result.storage_rows_read()), "written_rows": str(result.rows_written())}
        answer = result.bytes() or b""
        headers = {"X-ClickHouse-Summary": json.dumps(summary)}
        return answer, headers | ({"X-ClickHouse-Format": "TabSeparated"} if answer else {})

    def _insert(
        self, connection: "chdb.Connection", data: re.Match[bytes], statement: bytes
    ) -> tuple[bytes, dict[str, str]]:
        format_name = data.group(1).decode()
        head = data.group(0).decode().rstrip().removesuffix(format_name).rstrip()[: -len("FORMAT")]
        with tempfile.NamedTemporaryFile(suffix=".insert") as file:
            file.write(statement[data.end() :])
            file.flush()
            result = connection.query(f"{head} FROM INFILE {_literal(file.name)} FORMAT {format_name}", "TabSeparated")
        return b"", {"X-ClickHouse-Summary": json.dumps({"written_rows": str(result.rows_written())})}

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--user", default="default")
    arguments.add_argument("--password", default="")
    chosen = arguments.parse_args()
    server = Server(str(chosen.folder), chosen.user, chosen.password)
    Thread(target=_end_with_the_starter, daemon=True).start()
    print(server.server_port, flush=True)
    server.serve_forever()


def _end_with_the_starter() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
