"""What a check saw, and what it says of it."""

from dataclasses import dataclass, field

PROBLEMS_MAX = 10_000
"""Sentences that a report keeps; of more it says how many there were."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of a volume."""

    offset_bytes: int
    length_bytes: int


@dataclass(slots=True, kw_only=True)
class CheckReport:
    """What a check saw. ``damaged`` and ``whole`` together are all backups there were when it began."""

    problems: list[str] = field(default_factory=list)
    """What is wrong in the store, one sentence each; a pack or segment can be bad without a backup suffering."""
    problems_more: int = 0
    damaged: dict[str, list[ByteRange]] = field(default_factory=dict)
    """Backup id -> what of its volume cannot be restored. No range at all means that its record cannot be read."""
    whole: list[str] = field(default_factory=list)
    packs_checked: int = 0
    blocks_checked: int = 0
    bytes_checked: int = 0
    """Bytes of packs that were read and verified."""

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return not self.problems and not self.damaged

    def note(self, problem: str) -> None:
        """Keep a sentence about what is wrong."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        else:
            self.problems_more += 1
