"""``make bench``: ours beside restic, borg, cp and the hardware's limit, taking turns on the same machine.

Prints a table of medians and writes all figures as JSON to bench/results/. It needs Debian's restic and borgbackup.
OPENVBS_BENCH_MIB sets the size of the image (4096), OPENVBS_BENCH_ROUNDS the number of rounds (3).
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.images import PAGE_BYTES, data_pages, make_changed, make_image
from bench.limit import READ_BYTES, limit_seconds, read_seconds, write_seconds
from bench.peers import Borg, Ours, Restic, copy, in_a_worker, stored_bytes
from bench.rows import rows
from bench.volumes import make_hinted, make_tib
from openvbs.units import MIB

RESULTS = Path(__file__).parent / "results"
CLONES = 20

Figures = dict[str, list[float]]


def one_round(folder: Path, image: Path, changed: Path, figures: Figures) -> None:
    """Each peer once, in turn, so that a slow minute of the machine hits all of them."""

    def note(name: str, value: float) -> None:
        figures[name].append(value)

    pieces = sorted({page * PAGE_BYTES // READ_BYTES * READ_BYTES for page in data_pages(image)})

    def backed_up(peer: Restic | Borg) -> float:
        read_seconds(image, pieces)
        return peer.back_up(image).seconds

    for name, seconds in limit_seconds(image).items():
        note(name, seconds)
    note("read", read_seconds(image, pieces))
    # Kernels drop pages that nobody asks for; each reads the image once before, so that nobody pays for another's time.
    ours, restic, borg = Ours(folder / "ours"), Restic(folder / "restic"), Borg(folder / "borg")
    first, backup_id = ours.back_up(image)
    note("first ours", first.seconds)
    note("memory ours", first.anonymous_bytes_max)
    note("first restic", backed_up(restic))
    note("first borg", backed_up(borg))
    note("stored ours", stored_bytes(ours.store))
    note("stored restic", stored_bytes(restic.store))
    note("write", write_seconds(folder / "written", stored_bytes(ours.store)))
    shutil.rmtree(folder / "written")
    read_seconds(image, pieces)
    note("again ours", ours.back_up(image)[0].seconds)
    note("again restic", backed_up(restic))
    note("again borg", backed_up(borg))
    target = folder / "restored.img"
    target.unlink(missing_ok=True)
    restored = ours.restore(backup_id, target)
    note("restore ours", restored.seconds)
    note("restore memory ours", restored.anonymous_bytes_max)
    note("restore restic", restic.restore(image, folder / "restic-restored").seconds)
    shutil.rmtree(folder / "restic-restored")
    note("cp", copy(image, folder / "copied.img").seconds)
    before_ours, before_restic = stored_bytes(ours.store), stored_bytes(restic.store)
    ours.back_up(changed)
    restic.back_up(changed)
    note("added ours", stored_bytes(ours.store) - before_ours)
    note("added restic", stored_bytes(restic.store) - before_restic)
    in_place = folder / "in-place.img"
    copy(changed, in_place)
    note("in place ours", ours.restore(backup_id, in_place).seconds)
    for leftover in (target, in_place, folder / "copied.img"):
        leftover.unlink()
    for peer in (ours, restic, borg):
        shutil.rmtree(peer.folder)


def large_volumes(folder: Path, image: Path, rounds: int, figures: Figures) -> None:
    """What does not need the peers: hints, clones, and the memory that a volume of 1 TiB takes."""
    volumes = make_hinted(image, folder)
    for _ in range(rounds):
        for name, seconds in in_a_worker(*volumes, folder / "hints", durable=folder).items():
            figures[name].append(seconds)
        shutil.rmtree(folder / "hints")
    for path in volumes:
        path.unlink()
    ours = Ours(folder / "clones")
    ours.back_up(image)
    figures["one clone stored"].append(stored_bytes(ours.store))
    for _ in range(CLONES - 1):
        ours.back_up(image)
    figures["clones stored"].append(stored_bytes(ours.store))
    shutil.rmtree(ours.folder)
    tib = folder / "tib.img"
    make_tib(tib)
    ours = Ours(folder / "tib")
    figures["memory of 1 TiB"].append(ours.back_up(tib)[0].anonymous_bytes_max)


def main() -> int:
    console = Console()
    missing = [name for name in ("restic", "borg") if shutil.which(name) is None]
    if missing:
        console.print(f"{' and '.join(missing)} missing (Debian: apt-get install restic borgbackup)")
        return 1
    size_bytes = int(os.environ.get("OPENVBS_BENCH_MIB", "4096")) * MIB
    rounds = int(os.environ.get("OPENVBS_BENCH_ROUNDS", "3"))
    figures: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="openvbs-bench-") as name:
        folder = Path(name)
        image, changed = folder / "image.img", folder / "changed.img"
        console.print(f"making an image of {size_bytes // MIB} MiB and a changed version of it")
        make_image(image, size_bytes, seed=1)
        make_changed(image, changed, seed=2)
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds}")
            one_round(folder, image, changed, figures)
        console.print("hints, clones, 1 TiB")
        large_volumes(folder, image, rounds, figures)
    median = {name: statistics.median(values) for name, values in figures.items()}
    table = Table("what", "measured", "aim", title=f"medians of {rounds} rounds on {os.cpu_count()} cores")
    for row in rows(median):
        table.add_row(*row)
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(json.dumps({"image_bytes": size_bytes, "figures": figures, "medians": median}, indent=1))
    console.print(f"all figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
