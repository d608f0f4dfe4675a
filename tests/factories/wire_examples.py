"""Log objects of the worked examples: a request and an answer as a provider writes them, around a given core."""

from typing import Any


def log_of(example: dict[str, Any]) -> dict[str, Any]:
    """The log object of an example: its request and response, and what every log object has."""
    return {
        "_id": f"golden-{example['example']}",
        "request": {"method": "POST", "headers": {}, **example["request"]},
        "response": {"status": 200, "headers": {}, "responseTime": 900, **example["response"]},
        "organisation_id": "acme",
        "created_at": example["at"],
    }
