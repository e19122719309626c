"""``make bench-api``: answer times of the API on a large and on a small database, and how many requests go per second.

PostgreSQL, a real Keystone, one API process on a core of its own, everything else on the others. Prints a table and
writes every figure to bench/results/. OPENVBS_BENCH_API_ROWS is the number of backups, and of shares (1,000,000);
OPENVBS_BENCH_API_SECONDS how long each kind of request is measured (10).
"""

import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.api_cases import LIST, Case, cases
from bench.api_load import at_rate, flat_out
from bench.api_rows import fill
from bench.api_site import Api
from openvbs.db.session import Database
from tests.support.parties import login
from tests.support.postgres import postgres_server
from tests.support.service import RunningKeystone, free_port_pair

RESULTS = Path(__file__).parent / "results"
ROWS_SMALL = 10_000
PER_SECOND = 50
WARM_UP_REQUESTS = 25
API_CORE = 0
BIG = ", big project"


def measure(console: Console, rows: int, seconds: float) -> dict[str, object]:
    """Every figure. The two databases take turns request by request, so a slow minute of the machine hits both."""
    with tempfile.TemporaryDirectory(prefix="openvbs-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(postgres_server())
        keystone = stack.enter_context(RunningKeystone(folder / "keystone", service_port=free_port_pair()))
        admin_token, _ = login(keystone.clouds_file, "openvbs-admin").token()
        member_token, member = login(keystone.clouds_file, "openvbs-alpha").token()
        _, big = login(keystone.clouds_file, "openvbs-beta").token()
        ordinary_project, big_project = member["project"]["id"], big["project"]["id"]
        apis: dict[str, Api] = {}
        measured: dict[str, list[Case]] = {}
        for size, number in (("small", ROWS_SMALL), ("large", rows)):
            console.print(f"{number:,} backups, and as many shares and jobs")
            database = Database(server.create_database())
            api = Api(folder / size, database.url, keystone, core=API_CORE)
            api.migrate()
            fill(database, rows=number, ordinary_project=ordinary_project, big_project=big_project)
            stack.enter_context(api.running())
            requests = int(PER_SECOND * seconds) + WARM_UP_REQUESTS
            measured[size] = list(cases(database, api.site(admin_token), big_project, requests=requests))
            apis[size] = api
            database.close()
        api = apis["large"]
        site = api.site(member_token)
        mine = site.request("GET", LIST.format(p=ordinary_project))
        flat_out(site, iter(lambda: mine, None), seconds=1)
        before = api.processor_seconds()
        per_second = flat_out(site, iter(lambda: mine, None), seconds=seconds)
        processor = (api.processor_seconds() - before) / (per_second * seconds)
        console.print(f"{per_second:.0f} share lists a second, {processor * 1000:.2f} ms of processor time each")
        times = {
            f"{case.name}{BIG if case.big else ''}": {
                size: at_rate(apis[size].site(admin_token), of_size[place].requests, per_second=PER_SECOND)[
                    WARM_UP_REQUESTS:
                ]
                for size, of_size in measured.items()
            }
            for place, case in enumerate(measured["large"])
        }
    return {"rows": rows, "per_second": per_second, "processor_seconds": processor, "times": times}


def table_of(times: dict[str, dict[str, list[float]]], rows: int) -> Table:
    """A ratio for ordinary projects only: they are alike in both databases, while the big one grows with the rows."""
    table = Table(title=f"milliseconds at {PER_SECOND} requests a second, {rows:,} rows")
    for column in ("request", "median", "p99", f"of that at {ROWS_SMALL:,} rows"):
        table.add_column(column, justify="left" if column == "request" else "right")
    for name, of in times.items():
        median, p99 = statistics.median(of["large"]), statistics.quantiles(of["large"], n=100)[98]
        ratio = "" if name.endswith(BIG) else f"{median / statistics.median(of['small']):.2f}"
        table.add_row(name, f"{median * 1000:.1f}", f"{p99 * 1000:.1f}", ratio)
    return table


def main() -> int:
    console = Console()
    rows = int(os.environ.get("OPENVBS_BENCH_API_ROWS", "1000000"))
    seconds = float(os.environ.get("OPENVBS_BENCH_API_SECONDS", "10"))
    # What we start inherits this; the API then moves to its own core.
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {API_CORE})
    figures = measure(console, rows, seconds)
    console.print(table_of(figures["times"], rows))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"api-{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(json.dumps(figures, indent=1))
    console.print(f"all figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
