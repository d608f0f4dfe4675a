"""The least that taking a body durably costs: a bare app that appends it to one file and fsyncs, then answers.

For `uvicorn --factory tests.factories.fsyncing:app`; the file is named by `FSYNCED_FILE`. As the API does, it works in
a thread, and requests that come together share nothing.
"""

import os

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def app() -> Starlette:
    """Answers `POST /v1/logs`, and `/health` once it is up."""
    handle = os.open(os.environ["FSYNCED_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def keep(body: bytes) -> None:
        view = memoryview(body)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)

    async def take(request: Request) -> Response:
        await run_in_threadpool(keep, await request.body())
        return Response(b'{"status":"success"}', media_type="application/json")

    async def health(_: Request) -> Response:
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/v1/logs", take, methods=["POST"]), Route("/health", health)])
