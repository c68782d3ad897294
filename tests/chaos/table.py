"""The table that `make chaos` prints: what was done to runs, and what they lost."""

from dataclasses import dataclass, field

from tests.chaos.oracle import Output, assert_same

_HEADS = ("fault", "injected", "shards", "rows lost", "rows doubled")


@dataclass
class _Line:
    injected: int = 0
    shards: int = 0
    rows_lost: int = 0
    rows_doubled: int = 0


@dataclass
class FaultTable:
    """Faults that were injected, and what became of the shards."""

    lines: dict[str, _Line] = field(default_factory=dict)

    def check(self, fault: str, injected: int, found: Output, wanted: Output) -> None:
        """Enter a run that faults were injected into, and hold it to the undisturbed one."""
        line = self.lines.setdefault(fault, _Line())
        line.injected += injected
        line.shards += len(found.commits)
        line.rows_lost += found.rows_lost(wanted)
        line.rows_doubled += found.rows_doubled(wanted)
        assert_same(found, wanted)

    def text(self) -> list[str]:
        """The lines to print."""
        rows = [
            (name, line.injected, line.shards, line.rows_lost, line.rows_doubled)
            for name, line in self.lines.items()
        ]
        width = max(len(str(row[0])) for row in [_HEADS, *rows])
        return [
            f"{row[0]!s:{width}}" + "".join(f"{cell!s:>14}" for cell in row[1:])
            for row in [_HEADS, *rows]
        ]
