"""Takes the messages that are due and holds them until it is killed: `outbox_worker.py <database> <now>`."""

import os
import sys
import time
from datetime import datetime

from api.alerts.delivery import Delivery
from api.db import Database

if __name__ == "__main__":
    now = datetime.fromisoformat(sys.argv[2])

    def hold(message: object) -> None:
        os.write(sys.stdout.fileno(), b"taken\n")  # one write: the channels hold theirs side by side
        time.sleep(3600)

    Delivery(Database(sys.argv[1]), dict.fromkeys(("email", "audit", "webhook", "slack"), hold), lambda: now).once()  # type: ignore[arg-type]
