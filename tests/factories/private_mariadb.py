"""A private MariaDB."""

import getpass
import subprocess
from functools import partial
from pathlib import Path

import pymysql

from tests.factories.gateway import PartMissing, free_port
from tests.factories.private_servers import PASSWORD, USER, Server, Start, awaited, found, launch

_FAST = (
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--sync-binlog=0", "--skip-log-bin"),
    *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--performance-schema=OFF"),
    *("--innodb-flush-method=nosync", "--skip-name-resolve", "--max-connections=400"),
)


def mariadb(*options: str) -> Start:
    """How to start one, with more options for the server."""
    return partial(_start, options=options)


def _start(folder: Path, *, options: tuple[str, ...]) -> Server:
    server, install = found("mariadbd", "/usr/sbin"), found("mariadb-install-db")
    data, log, socket = folder / "data", folder / "log", folder / "sock"
    us = f"--user={getpass.getuser()}"
    made = subprocess.run(
        [install, "--no-defaults", us, f"--datadir={data}", "--auth-root-authentication-method=normal", *_FAST],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if made.returncode:
        raise PartMissing(f"mariadb-install-db failed: {made.stderr.strip()[-400:]}")
    port = free_port()
    places = (f"--datadir={data}", f"--socket={socket}", f"--pid-file={folder / 'pid'}")
    where = (f"--port={port}", "--bind-address=127.0.0.1")
    pid = launch([server, "--no-defaults", us, *places, *where, *_FAST, *options], log)
    awaited(partial(_prepare, socket), pid, log)
    return Server(port=port, folder=folder, pid=pid)


def _prepare(socket: Path) -> None:
    socket.stat()  # the driver would leave a socket open on a path that does not exist yet
    with as_root(socket) as connection, connection.cursor() as cursor:
        for statement in (
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON *.* TO '{USER}'@'%'",
            # The one that most servers have: it takes 'A' and 'a' for the same, and 'a' and 'a '.
            "CREATE DATABASE IF NOT EXISTS control_plane CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        ):
            cursor.execute(statement)


def as_root(socket: Path) -> pymysql.Connection:
    """A connection of the server's administrator."""
    return pymysql.connect(unix_socket=str(socket), user="root", ssl_disabled=True)
