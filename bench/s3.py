"""``python -m bench.s3``: the same backup and restore on a local store and on S3, in turn; part of ``make bench``.

The S3 server is Ceph's, on the same disk and the same cores, so what it takes of both is measured beside.
Needs the packages of scripts/install-test-packages.sh. OPENVBS_BENCH_MIB is the size of the image (4096),
OPENVBS_BENCH_ROUNDS the number of rounds (3).
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
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

    def back_up(self, image: Path) -> tuple[Measured, str]:
        done = self._run("backup", image, "--json")
        return done, str(json.loads(done.output[done.output.index("{") :])["backup_id"])

    def restore(self, backup_id: str, target: Path) -> Measured:
        target.unlink(missing_ok=True)
        return self._run("restore", backup_id, target)

    def _run(self, verb: str, *arguments: object) -> Measured:
        command = [sys.executable, "-m", "openvbs.cli.main", "repo", verb, self.url, *arguments, "--key-file", self.key]
        return measure(list(command), durable=self.folder)


def processor_seconds(gateway: Gateway) -> float:
    """What all processes of the server have used since they started."""
    total = 0
    for pid in gateway.pids.values():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS_PER_SECOND


def server_alone_seconds(bucket: str, size_bytes: int) -> float:
    """Nothing but storing so many bytes in packs, by as many writers as a backup has."""
    store, data = S3Store(bucket, "alone"), os.urandom(PACK_BYTES)
    started = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda number: store.put(str(number), data), range(max(1, size_bytes // PACK_BYTES))))
    return time.perf_counter() - started


def one_round(folder: Path, image: Path, gateway: Gateway, figures: dict[str, list[float]]) -> None:
    """Local, then S3, then the server alone, so that a slow minute of the machine hits all of them."""
    number = len(figures["local backup"])
    bucket = gateway.create_bucket()
    local = Repository(folder, str(folder / f"store-{number}"))
    done, backup_id = local.back_up(image)
    figures["local backup"].append(done.seconds)
    stored = stored_bytes(folder / f"store-{number}")
    figures["local restore"].append(local.restore(backup_id, folder / "restored.img").seconds)
    remote = Repository(folder, f"s3://{bucket}/store")
    used = processor_seconds(gateway)
    done, backup_id = remote.back_up(image)
    figures["s3 backup"].append(done.seconds)
    figures["s3 backup, server share"].append((processor_seconds(gateway) - used) / done.seconds / os.cpu_count())
    used = processor_seconds(gateway)
    done = remote.restore(backup_id, folder / "restored.img")
    figures["s3 restore"].append(done.seconds)
    figures["s3 restore, server share"].append((processor_seconds(gateway) - used) / done.seconds / os.cpu_count())
    figures["server alone"].append(server_alone_seconds(bucket, stored))
    figures["stored"].append(stored)


def rows(median: dict[str, float]) -> list[tuple[str, str, str]]:
    """(what, measured, aim) for the table."""
    return [
        ("first backup on S3: times the local one", f"{median['s3 backup'] / median['local backup']:.2f}", "<= 1.3"),
        ("  the server alone: times the local backup", f"{median['server alone'] / median['local backup']:.2f}", ""),
        ("  the server's share of the processors", f"{median['s3 backup, server share']:.0%}", ""),
        ("restore from S3: times the local one", f"{median['s3 restore'] / median['local restore']:.2f}", "<= 1.3"),
        ("  the server's share of the processors", f"{median['s3 restore, server share']:.0%}", ""),
    ]


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
    median = {name: statistics.median(values) for name, values in figures.items()}
    table = Table("what", "measured", "aim", title=f"S3: medians of {rounds} rounds on {os.cpu_count()} cores")
    for row in rows(median):
        table.add_row(*row)
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}-s3.json"
    path.write_text(json.dumps({"image_bytes": size_bytes, "figures": figures, "medians": median}, indent=1))
    console.print(f"all figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
