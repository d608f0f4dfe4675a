"""A private Redis."""

from functools import partial
from pathlib import Path

import redis

from tests.factories.gateway import free_port
from tests.factories.private_servers import Server, Start, awaited, found, launch


def redis_server(port: int | None = None) -> Start:
    """How to start one, on a free port unless told otherwise."""
    return partial(_start, port=port)


def _start(folder: Path, *, port: int | None) -> Server:
    chosen, log = port or free_port(), folder / "log"
    command = [found("redis-server"), "--port", str(chosen), "--bind", "127.0.0.1", "--dir", str(folder)]
    pid = launch([*command, "--save", "", "--appendonly", "no", "--daemonize", "no"], log)
    client = redis.Redis(port=chosen)
    try:
        awaited(client.ping, pid, log)
    finally:
        client.close()
    return Server(port=chosen, folder=folder, pid=pid)
