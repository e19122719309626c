"""``python -m bench.s3``: the same backup and restore on a local store and on S3, in turn; part of ``make bench``.

The S3 server is Ceph's, on the same disk and the same cores, so what it takes of both is measured beside.
Needs the packages of scripts/install-test-packages.sh. OPENVBS_BENCH_MIB is the size of the image (4096),
OPENVBS_BENCH_ROUNDS the number of rounds (3).
"""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.images import make_image
from bench.peers import Measured, measure, stored_bytes
from openvbs.stores.s3 import S3Store
from openvbs.units import MIB
from tests.support.ceph import Gateway, s3_gateway

RESULTS = Path(__file__).parent / "results"
PACK_BYTES = 32 * MIB
WRITERS = 2
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Repository:
    """A fresh repository of ``openvbs repo`` at any URL."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.key = folder, url, folder / f"key-{time.monotonic_ns()}"
        self._run("init")

    def back_up(self, image: Path, made: list[str]) -> Measured:
        """Adds the backup's id to ``made``."""
        done = self._run("backup", image, "--json")
        made.append(json.loads(done.output[done.output.index("{") :])["backup_id"])
        return done

    def restore(self, made: list[str], target: Path) -> Measured:
        target.unlink(missing_ok=True)
        return self._run("restore", made[-1], target)

    def _run(self, verb: str, *arguments: object) -> Measured:
        command = [sys.executable, "-m", "openvbs.cli.main", "repo", verb, self.url, *arguments, "--key-file", self.key]
        return measure(list(command), durable=self.folder)


def server_seconds(gateway: Gateway) -> float:
    """Processor time of all processes of the server since they started."""
    total = 0
    for pid in gateway.pids.values():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS_PER_SECOND


def commands_seconds() -> float:
    """Processor time of all commands that were run until now."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def server_alone_seconds(bucket: str, size_bytes: int) -> float:
    """Nothing but storing so many bytes in packs, by as many writers as a backup has."""
    store, data = S3Store(bucket, "alone"), os.urandom(PACK_BYTES)
    started = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda number: store.put(str(number), data), range(max(1, size_bytes // PACK_BYTES))))
    return time.perf_counter() - started


def one_round(folder: Path, image: Path, gateway: Gateway, figures: dict[str, list[float]]) -> None:
    """Local, then S3, then the server alone, so that a slow minute of the machine hits all of them."""
    number = len(figures["stored"])
    bucket = gateway.create_bucket()
    for place, url in (("local", str(folder / f"store-{number}")), ("s3", f"s3://{bucket}/store")):
        repository = Repository(folder, url)

        def note(what: str, work: Callable[[], Measured], place: str = place) -> None:
            server, commands = server_seconds(gateway), commands_seconds()
            figures[f"{place} {what}"].append(work().seconds)
            figures[f"{place} {what}, processor"].append(commands_seconds() - commands)
            figures[f"{place} {what}, server's processor"].append(server_seconds(gateway) - server)

        made: list[str] = []
        note("backup", partial(repository.back_up, image, made))
        note("restore", partial(repository.restore, made, folder / "restored.img"))
    stored = stored_bytes(folder / f"store-{number}")
    figures["server alone"].append(server_alone_seconds(bucket, stored))
    figures["stored"].append(stored)


def rows(figures: dict[str, list[float]]) -> list[tuple[str, str, str]]:
    """(what, measured, aim) for the table; ratios are medians of those of each round."""

    def ratio(over: str, under: str) -> str:
        return f"{statistics.median(a / b for a, b in zip(figures[over], figures[under], strict=True)):.2f}"

    found = []
    for what, title in (("backup", "first backup on S3"), ("restore", "restore from S3")):
        local = f"local {what}, processor"
        found += [
            (f"{title}: times the local one", ratio(f"s3 {what}", f"local {what}"), "<= 1.3"),
            ("  processor time of the command: times the local one's", ratio(f"s3 {what}, processor", local), ""),
            ("  and of the server, on the same processors", ratio(f"s3 {what}, server's processor", local), ""),
        ]
    found.append(("the server alone, storing as much: times a local backup", ratio("server alone", "local backup"), ""))
    return found


def main() -> int:
    console = Console()
    size_bytes = int(os.environ.get("OPENVBS_BENCH_MIB", "4096")) * MIB
    rounds = int(os.environ.get("OPENVBS_BENCH_ROUNDS", "3"))
    figures: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="openvbs-bench-") as name:
        folder = Path(name)
        image = folder / "image.img"
        console.print(f"making an image of {size_bytes // MIB} MiB")
        make_image(image, size_bytes, seed=1)
        with s3_gateway("bluestore", within=folder) as gateway:
            os.environ.update(gateway.environment)
            for number in range(rounds):
                console.print(f"round {number + 1} of {rounds}")
                one_round(folder, image, gateway, figures)
    table = Table("what", "measured", "aim", title=f"S3: medians of {rounds} rounds on {os.cpu_count()} cores")
    for row in rows(figures):
        table.add_row(*row)
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}-s3.json"
    path.write_text(json.dumps({"image_bytes": size_bytes, "figures": figures}, indent=1))
    console.print(f"all figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
