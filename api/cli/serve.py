"""`gateledger serve`, `pipelines` and `up`: the API, Dagster, and both."""

import os
import signal
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from api.cli.output import stderr
from api.cli.processes import Server, run_together
from api.operations.settings import SHARED_FOLDER

if TYPE_CHECKING:
    from api.cli.local import Local

API_PORT = 8790
PIPELINES_PORT = 3000
CODE_LOCATION = "pipelines.definitions"


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    cli.command()(serve)
    cli.command()(pipelines)
    cli.command()(up)


def serve(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(API_PORT, min=0, max=65535, help="Port to listen on."),
    workers: int = typer.Option(1, min=1, max=64, help="Processes that answer."),
) -> None:
    """Serve the API until Ctrl-C. A record that arrives is on disk before it is answered, and queryable in seconds."""
    import uvicorn

    from api.cli.local import Local

    with closing(Local()) as local:
        local.prepare()
        operations = local.settings.operations
    stderr.print(f"API: http://{host}:{port}  (health: /health, OpenAPI: /openapi.json)", highlight=False)
    # The server raises the signal that stopped it once more when it has stopped; an asked-for stop is no failure.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    with _shared_metrics(workers):
        uvicorn.run(
            "api.app:from_environment",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_config=None,
            access_log=False,
            server_header=False,
            # Whose word counts for an address is ours to say (GATELEDGER_TRUSTED_PROXIES).
            proxy_headers=False,
            timeout_graceful_shutdown=operations.stop_timeout_s,
        )


@contextmanager
def _shared_metrics(workers: int) -> Generator[None]:
    """A folder by which several workers share their numbers; one worker needs none."""
    if workers == 1 or os.environ.get(SHARED_FOLDER):
        yield
        return
    with TemporaryDirectory(prefix="gateledger-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        yield


def pipelines(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(PIPELINES_PORT, min=0, max=65535, help="Port to listen on."),
) -> None:
    """Run the Dagster UI and daemon (schedules, sensors, backfills) until Ctrl-C.

    Its state lies in DAGSTER_HOME, else in GATELEDGER_HOME/dagster.
    """
    from api.cli.local import Local

    local = Local()
    with closing(local):
        local.prepare()
    stderr.print(f"Dagster: http://{host}:{port}", highlight=False)
    raise typer.Exit(run_together([pipelines_server(local, host, port)]))


def up(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(API_PORT, min=0, max=65535, help="Port of the API."),
    workers: int = typer.Option(1, min=1, max=64, help="API processes."),
    pipelines_port: int = typer.Option(PIPELINES_PORT, min=0, max=65535, help="Port of the Dagster UI."),
) -> None:
    """Run the API and Dagster together; one Ctrl-C stops both."""
    from api.cli.local import Local

    local = Local()
    with closing(local):
        local.prepare()
    stderr.print(
        f"API:     http://{host}:{port}\nDagster: http://{host}:{pipelines_port}\nCtrl-C stops both.", highlight=False
    )
    raise typer.Exit(
        run_together([api_server(local, host, port, workers), pipelines_server(local, host, pipelines_port)])
    )


def api_server(local: "Local", host: str, port: int, workers: int) -> Server:
    """The API as a child process."""
    command = [sys.executable, "-m", "api.cli", "serve", "--host", host, "--port", str(port), "--workers", str(workers)]
    return Server("api", command, child_environment(local))


def pipelines_server(local: "Local", host: str, port: int) -> Server:
    """The Dagster webserver and daemon as a child process."""
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "--module-name",
        CODE_LOCATION,
        "--host",
        host,
        "--port",
        str(port),
    ]
    # Dagster advises its newer development command, which is a package of its own; nobody here can act on that.
    environment = child_environment(local) | {"PYTHONWARNINGS": "ignore:Function `dev_command`"}
    return Server("pipelines", [*command, "--log-level", "warning"], environment)


def child_environment(local: "Local") -> dict[str, str]:
    """Our environment with absolute homes, so that a child's working directory does not matter."""
    home = local.settings.home.absolute()
    return os.environ | {"GATELEDGER_HOME": str(home), "DAGSTER_HOME": str(dagster_home(home))}


def dagster_home(home: Path) -> Path:
    """DAGSTER_HOME, else a folder at home that gets the shipped dagster.yaml; made when missing."""
    named = os.environ.get("DAGSTER_HOME")
    folder = Path(named).absolute() if named else home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        with as_file(files("dagster_home") / "dagster.yaml") as shipped:
            copyfile(shipped, folder / "dagster.yaml")
    return folder
