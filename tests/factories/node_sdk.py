"""The unmodified Node SDK (npm `portkey-ai`), called from Python."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.factories.gateway import node_modules

SCRIPT = Path(__file__).with_name("node_sdk.cjs")
TIMEOUT_S = 120


def called(url: str, key: str, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
    """What each method of the client answers, in order; what it throws as `status` and `message`.

    Raises: PartMissing.
    """
    modules = node_modules()
    asked = json.dumps({"key": key, "url": url, "calls": calls})
    environment = {"NODE_PATH": str(modules), "PATH": os.environ.get("PATH", "")}
    ran = subprocess.run(
        ["node", str(SCRIPT)],
        input=asked.encode(),
        capture_output=True,
        env=environment,
        timeout=TIMEOUT_S,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr.decode(errors="replace"))
    return json.loads(ran.stdout)
