"""The answer of an ingest request."""

from typing import Literal

from pydantic import BaseModel


class Accepted(BaseModel):
    """The records are on disk. `log_ids` are theirs, in the order sent. Source: DECISIONS "`POST /logs` answer"."""

    status: Literal["success"] = "success"
    success: Literal[True] = True
    message: str
    log_ids: list[str]
