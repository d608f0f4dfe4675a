"""A process that writes an export, to be killed: `python -m tests.integration.export_worker <home> <export id>`.

It says `part` after each part, and waits a moment before it goes on.
"""

import os
import sys
import time

from api.cli.local import Local


def main() -> None:
    """Writes the export with small pages and parts."""
    from api.exports import running

    running.PAGE_ROWS = 40  # type: ignore[misc]
    running.PART_ROWS = 100  # type: ignore[misc]
    pause_s = float(os.environ.get("PAUSE_S", "0.05"))

    def tell(written: int, _total: int) -> None:
        sys.stdout.write(f"{written}\n")
        sys.stdout.flush()
        time.sleep(pause_s)

    local = Local()
    outcome = local.exports.run(sys.argv[1], tell)
    sys.stdout.write(f"{outcome.value}\n")
    local.close()


if __name__ == "__main__":
    main()
