"""A process that has everything imported and forks for each command: `python warm_command.py`.

A line of JSON on its standard input is one command: `arguments`, `cwd`, `environment`, and the files of `stdin`,
`stdout` and `stderr`. Each gets a line back, its exit status. A fork is safe because nothing is run before it, so no
library has started a thread; what a command does stays in its own process.
"""

import json
import os
import sys
import threading
import traceback
from importlib import import_module
from typing import Any

from api.cli import main

for room in ("answering", "doctor", "ingest", "init", "local", "price_history", "reprice", "sample", "workspaces"):
    import_module(f"api.cli.{room}")


def run(asked: dict[str, Any]) -> int:
    """The exit status of a command, in the process that was made for it."""
    for number, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT))
    ):
        os.dup2(os.open(asked[name], flags, 0o600), number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["gateledger", *asked["arguments"]]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    assert threading.active_count() == 1
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            status = run(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
