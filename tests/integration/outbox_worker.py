"""Takes the messages that are due and holds them until it is killed: `outbox_worker.py <database> <now>`."""

import sys
import time
from datetime import datetime

from api.alerts.delivery import Delivery
from api.db import Database

if __name__ == "__main__":
    now = datetime.fromisoformat(sys.argv[2])

    def hold(message: object) -> None:
        print("taken", flush=True)
        time.sleep(3600)

    Delivery(Database(sys.argv[1]), dict.fromkeys(("email", "audit", "webhook", "slack"), hold), lambda: now).once()  # type: ignore[arg-type]
