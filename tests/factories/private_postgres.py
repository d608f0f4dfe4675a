"""A private PostgreSQL."""

import subprocess
from functools import partial
from pathlib import Path

import psycopg

from tests.factories.gateway import PartMissing, free_port
from tests.factories.private_servers import (
    PASSWORD,
    USER,
    Server,
    Start,
    awaited,
    found,
    given_to,
    launch,
    server_user,
)

_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


def postgres(access: str = "", **settings: str) -> Start:
    """How to start one, with lines for pg_hba.conf that come before the usual ones, and more settings."""
    return partial(_start, access=access, settings=settings)


def _start(folder: Path, *, access: str, settings: dict[str, str]) -> Server:
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    server, initdb = found("postgres", *folders), found("initdb", *folders)
    user = server_user("postgres")
    folder.chmod(0o755)
    data, log = folder / "data", folder / "log"
    password = folder / "password"
    password.write_text(PASSWORD)
    data.mkdir()
    given_to(user, data, folder, password)
    # A locale that sorts words as people do, where the machine has one: our tables must not.
    options = ["-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale-provider=icu", "--icu-locale=en-US"]
    made = subprocess.run(
        [initdb, "-D", str(data), "-U", USER, f"--pwfile={password}", "--locale=C.UTF-8", *options],
        capture_output=True,
        text=True,
        user=user,
        cwd=folder,
        timeout=120,
        check=False,
    )
    if made.returncode:
        raise PartMissing(f"initdb failed: {made.stderr.strip()[-400:]}")
    rules = data / "pg_hba.conf"
    rules.write_text(access + rules.read_text())
    port = free_port()
    given = {**_FAST, "unix_socket_directories": str(folder), "listen_addresses": "127.0.0.1", **settings}
    flags = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
    pid = launch([server, "-D", str(data), "-p", str(port), *flags], log, user)
    awaited(partial(_prepare, folder, port), pid, log)
    return Server(port=port, folder=folder, pid=pid)


def _prepare(folder: Path, port: int) -> None:
    with as_root(folder, port) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'control_plane'").fetchone() is None:
            connection.execute("CREATE DATABASE control_plane")


def as_root(folder: Path, port: int) -> psycopg.Connection:
    """A connection of the server's administrator."""
    return psycopg.connect(
        host=str(folder), port=port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True, sslmode="disable"
    )
