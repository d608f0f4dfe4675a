"""The results of a batch: many answers in one body, each of which was billed."""

from collections.abc import Sequence

from warehouse.ingest.asked import Asked, Body, Makes, part


def results_of(parts: Sequence[Body], asked: Asked) -> list[Body] | None:
    """The answers in a body of results; None for a body that is one answer, whole or in stream chunks."""
    if asked.makes is not Makes.BATCH_RESULTS and not (parts and all("custom_id" in one for one in parts)):
        return None
    return [_answer(one) for one in parts]


def _answer(line: Body) -> Body:
    """The answer in a line: of OpenAI, of Anthropic, of Vertex AI, of Bedrock."""
    response = part(line, "response")
    found = part(response, "body") or part(part(line, "result"), "message") or response or part(line, "modelOutput")
    return found or line
