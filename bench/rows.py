"""From medians to the table: what, measured, aim."""

from openvbs.units import MIB

PHASES = ("read", "hash", "compress", "seal", "write")

Row = tuple[str, str, str]


def rows(median: dict[str, float]) -> list[Row]:
    """The table."""

    def ratio(over: str, under: str) -> float:
        return median[over] / median[under]

    def memory(name: str) -> str:
        return f"{median[name] / MIB:.0f} MiB"

    return [
        ("first backup: times restic", f"{ratio('first restic', 'first ours'):.2f}", ">= 4"),
        ("first backup: times borg", f"{ratio('first borg', 'first ours'):.2f}", ""),
        ("first backup: share of the limit", f"{ratio('limit', 'first ours'):.0%}", ">= 85%"),
        ("the limit: share of zstd alone", f"{ratio('compress', 'limit'):.0%}", ""),
        *((f"{phase} alone, of a first backup", f"{ratio(phase, 'first ours'):.0%}", "") for phase in PHASES),
        ("first backup: stored, of restic's", f"{ratio('stored ours', 'stored restic'):.2f}", ""),
        ("unchanged: times restic --force", f"{ratio('again restic', 'again ours'):.2f}", ">= 8"),
        ("unchanged: times borg", f"{ratio('again borg', 'again ours'):.2f}", ""),
        ("hints, 64 MiB of 64 GiB: times 64 MiB alone", f"{ratio('hinted', 'alone'):.2f}", "<= 1.5"),
        ("changed image: stored, of restic's", f"{ratio('added ours', 'added restic'):.2f}", "<= 1.1"),
        ("restore to a new file: times restic", f"{ratio('restore restic', 'restore ours'):.2f}", ">= 2"),
        ("restore to a new file: share of cp", f"{ratio('cp', 'restore ours'):.0%}", ">= 70%"),
        ("restore in place: times a full restore", f"{ratio('restore ours', 'in place ours'):.2f}", ">= 3"),
        ("twenty clones: stored more than one", f"{ratio('clones stored', 'one clone stored') - 1:.2%}", "<= 2%"),
        ("anonymous memory of a first backup", memory("memory ours"), "<= 256 MiB"),
        ("anonymous memory of a restore", memory("restore memory ours"), "<= 256 MiB"),
        ("anonymous memory, 1 TiB that holds 8 GiB", memory("memory of 1 TiB"), "<= 256 MiB"),
    ]
