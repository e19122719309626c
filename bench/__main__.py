"""``make bench``: the engine against restic, borg, cp and the hardware's limit, alternating, in one run.

Prints medians and ratios, and writes every figure to bench/results/. Ratios are what counts: machines are noisy.
OPENVBS_BENCH_MIB is the size of the image (4096), OPENVBS_BENCH_ROUNDS the number of rounds (3).
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

from bench.images import make_changed, make_image
from bench.limit import limit_seconds
from bench.peers import Borg, Ours, Restic, copy, stored_bytes
from openvbs.units import MIB

RESULTS = Path(__file__).parent / "results"

Figures = dict[str, list[float]]


def one_round(folder: Path, image: Path, changed: Path, figures: Figures) -> None:
    """Each peer once, in turn, so that a slow minute of the machine hits all of them."""

    def note(name: str, value: float) -> None:
        figures[name].append(value)

    for name, seconds in limit_seconds(image).items():
        note(name, seconds)
    ours, restic, borg = Ours(folder / "ours"), Restic(folder / "restic"), Borg(folder / "borg")
    first, backup_id = ours.back_up(image)
    note("first ours", first.seconds)
    note("memory ours", first.anonymous_bytes_max)
    note("first restic", restic.back_up(image).seconds)
    note("first borg", borg.back_up(image).seconds)
    note("stored ours", stored_bytes(ours.store))
    note("stored restic", stored_bytes(restic.store))
    note("again ours", ours.back_up(image)[0].seconds)
    note("again restic", restic.back_up(image).seconds)
    note("again borg", borg.back_up(image).seconds)
    target = folder / "restored.img"
    target.unlink(missing_ok=True)
    note("restore ours", ours.restore(backup_id, target).seconds)
    note("restore restic", restic.restore(image, folder / "restic-restored").seconds)
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


def rows(median: dict[str, float]) -> list[tuple[str, str, str]]:
    """(what, measured, aim) for the table."""

    def ratio(over: str, under: str) -> float:
        return median[over] / median[under]

    return [
        ("first backup: times restic", f"{ratio('first restic', 'first ours'):.2f}", ">= 4"),
        ("first backup: times borg", f"{ratio('first borg', 'first ours'):.2f}", ""),
        ("first backup: share of the limit", f"{ratio('limit', 'first ours'):.0%}", ">= 85%"),
        ("the limit: share of zstd alone", f"{ratio('zstd alone', 'limit'):.0%}", ""),
        ("unchanged: times restic --force", f"{ratio('again restic', 'again ours'):.2f}", ">= 8"),
        ("unchanged: times borg", f"{ratio('again borg', 'again ours'):.2f}", ""),
        ("changed image: stored, of restic's", f"{ratio('added ours', 'added restic'):.2f}", "<= 1.1"),
        ("restore to a new file: times restic", f"{ratio('restore restic', 'restore ours'):.2f}", ">= 2"),
        ("restore to a new file: share of cp", f"{ratio('cp', 'restore ours'):.0%}", ">= 70%"),
        ("restore in place: times a full restore", f"{ratio('restore ours', 'in place ours'):.2f}", ">= 3"),
        ("anonymous memory of a first backup", f"{median['memory ours'] / MIB:.0f} MiB", "<= 256 MiB"),
    ]


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
