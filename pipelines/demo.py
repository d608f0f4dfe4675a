"""`make demo`: an organisation, a few days of logs, the Dagster job over them, a priced table, then API and UI."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from api.cli.local import Local
from api.cli.output import print_fields, print_rows, progress_bar, stderr, stdout
from api.cli.processes import run_together
from api.cli.serve import API_PORT, PIPELINES_PORT, api_server, dagster_home, pipelines_server
from api.organisations.service import Bootstrap
from api.workspaces import service as workspaces
from api.workspaces.rows import Workspace
from warehouse.query.run import run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery, Order
from warehouse.sample.spec import SampleSpec
from warehouse.sample.write import write_sample

DAYS_OF_LOGS, SEED = 3, 7
WORKSPACES = ("Search", "Support", "Research")
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
HOST = "127.0.0.1"


def main(arguments: Sequence[str]) -> int:
    """Run the demo; 0 when all went well."""
    options = _options(arguments)
    home = Path(os.environ.get("GATELEDGER_HOME") or ".gateledger").absolute()
    logs = home / "demo-logs"
    logs.mkdir(parents=True, exist_ok=True)
    os.environ |= {"GATELEDGER_HOME": str(home), "LOG_STORE_URL": str(logs), "DAGSTER_HOME": str(dagster_home(home))}
    local = Local()
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    made = _organisation(local)
    _write_logs(local, logs, options.rows, until)
    days = [(until - timedelta(days=back)).date() for back in range(DAYS_OF_LOGS, -1, -1)]
    if not _run_job(days):
        return 1
    _tables(local, made.organisation_id)
    _farewell(made, home)
    if options.once:
        return 0
    servers = [api_server(local, HOST, options.port, 1), pipelines_server(local, HOST, options.pipelines_port)]
    _addresses(made, until, options.port, options.pipelines_port)
    return run_together(servers)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make demo", description=__doc__, epilog='For example: make demo ARGS="--once"'
    )
    parser.add_argument("--once", action="store_true", help="exit after the tables instead of serving")
    parser.add_argument("--rows", type=int, default=20_000, help="requests to make up (default 20000)")
    parser.add_argument("--port", type=int, default=API_PORT, help=f"port of the API (default {API_PORT})")
    parser.add_argument(
        "--pipelines-port", type=int, default=PIPELINES_PORT, help=f"port of the Dagster UI (default {PIPELINES_PORT})"
    )
    return parser.parse_args(arguments)


def _organisation(local: Local) -> Bootstrap:
    made = local.initialise("Demo organisation", "owner@example.com", new_key=True)
    with local.session(writes=True) as session:
        named = set(session.scalars(select(Workspace.name).where(Workspace.organisation_id == made.organisation_id)))
        for name in WORKSPACES:
            if name not in named:
                workspaces.create(session, organisation_id=made.organisation_id, name=name, now=datetime.now(UTC))
    return made


def _write_logs(local: Local, logs: Path, rows: int, until: datetime) -> None:
    if any(logs.iterdir()):
        stderr.print(f"Using the logs that lie in {logs}", highlight=False, soft_wrap=True)
        return
    tenant = local.sample_tenant()
    if tenant is None:
        raise RuntimeError("the organisation was just made and is not there")
    spec = SampleSpec(
        rows=rows,
        days=DAYS_OF_LOGS,
        seed=SEED,
        until=until,
        organisation_id=tenant.organisation_id,
        organisation_name=tenant.organisation_name,
        workspaces=tenant.workspaces,
    )
    with progress_bar("writing gateway logs") as line:
        write_sample(spec, logs, on_progress=lambda done: line.update(done, rows, f"{done:,} requests"))


def _run_job(days: Sequence[date]) -> bool:
    from dagster import DagsterInstance

    from pipelines.definitions import defs

    job = defs.resolve_job_def("load_logs")
    prices = defs.resolve_job_def("refresh_prices")
    with DagsterInstance.get() as instance, progress_bar("Dagster: load_logs") as line:
        line.update(0, len(days) + 1, "prices")
        ok = prices.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False).success
        for done, day in enumerate(days, start=1):
            line.update(done, len(days) + 1, day.isoformat())
            ran = job.execute_in_process(
                partition_key=day.isoformat(), instance=instance, run_config=QUIET, raise_on_error=False
            )
            ok = ok and ran.success
        line.update(len(days) + 1, len(days) + 1, "done")
    if not ok:
        stderr.print("[red]A Dagster run failed;[/red] `gateledger pipelines` shows why.")
    return ok


def _tables(local: Local, organisation_id: str) -> None:
    for by, title in (("model", "By model"), ("workspace", "By workspace")):
        answer = run_grouped(
            local.engine,
            GroupedQuery(
                scope=TenantScope(organisation_id),
                since=datetime(1970, 1, 1, tzinfo=UTC),
                until=datetime.now(UTC),
                by=(by,),
                measures=("requests", "cost", "total_tokens", "success_rate", "p95_latency"),
                order=(Order("cost"),),
                limit=12,
            ),
        )
        names = [name for name in answer.rows.column_names if name != "unpriced_requests"] + ["unpriced_requests"]
        print_rows(f"{title} (cost in US cents)", answer.rows.to_pylist(), names)


def _farewell(made: Bootstrap, home: Path) -> None:
    print_fields("Everything lies in", {"GATELEDGER_HOME": home, "organisation": made.organisation_id})


def _addresses(made: Bootstrap, until: datetime, port: int, pipelines_port: int) -> None:
    since = (until - timedelta(days=DAYS_OF_LOGS)).date().isoformat()
    example = (
        f"curl -H 'x-portkey-api-key: {made.api_key}' 'http://{HOST}:{port}/v1/analytics/groups/model"
        f"?time_of_generation_min={since}&time_of_generation_max={until.date().isoformat()}&columns=cost'"
    )
    fields = {
        "API": f"http://{HOST}:{port}",
        "Dagster": f"http://{HOST}:{pipelines_port}",
        "API key": made.api_key,
        "stop": "Ctrl-C",
    }
    print_fields("", fields)
    stdout.print(f"\nTry:\n{example}\n", soft_wrap=True, highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
