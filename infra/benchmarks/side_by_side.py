"""What the benchmarks share: who is measured when, medians, ratios, and the tables that come of them."""

import platform
import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

Figures = dict[str, float]
Measure = Callable[[], Awaitable[Figures]]
MICROSECONDS = 1_000_000


class GaveUp(Exception):
    """What was to be measured does not do its work; says why."""


@dataclass(frozen=True)
class Table:
    """Figures of things that were measured in turns: a row for each, with the same columns."""

    name: str
    title: str
    told: str
    rows: dict[str, Figures]
    notes: Sequence[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the table as the documents show it."""
        columns = list(dict.fromkeys(column for row in self.rows.values() for column in row))
        head = ["| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
        body = [
            f"| {name} | " + " | ".join(_shown(row.get(column)) for column in columns) + " |"
            for name, row in self.rows.items()
        ]
        notes = [f"- {note}" for note in self.notes]
        blank = [""] if notes else []
        return "\n".join([f"### {self.title}", "", self.told, "", *head, *body, *blank, *notes, ""])

    def data(self) -> dict[str, Any]:
        """Return the table for programs."""
        return asdict(self)


def machine() -> str:
    """Say what the figures were measured on."""
    memory_gib = psutil.virtual_memory().total / 2**30
    load = psutil.getloadavg()[0]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{psutil.cpu_count()} cores, {memory_gib:.0f} GiB, {system}, load average {load:.1f} at the start"


async def in_turns(
    measures: Mapping[str, Measure], rounds: int, notes: list[str] | None = None
) -> dict[str, list[Figures]]:
    """Measure each once a round, behind a first round that warms up; another one begins each round.

    Who gives up has no turn any more and no figures, but a note; where nobody takes notes, it ends everything.
    """
    names, found = list(measures), {name: list[Figures]() for name in measures}
    for number in range(1 + rounds):
        first = number % max(1, len(names))
        for name in [each for each in (*names[first:], *names[:first]) if each in found]:
            try:
                figures = await measures[name]()
            except GaveUp as error:
                if notes is None:
                    raise
                notes.append(f"{name} is not in the table: {error}")
                del found[name]
            else:
                found[name] += [figures] if number else []
    return found


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure over the runs; one that a run lacks counts 0 there."""
    columns = dict.fromkeys(column for run in runs for column in run)
    return {column: statistics.median(run.get(column, 0.0) for run in runs) for column in columns}


def sums(runs: Iterable[Figures]) -> Figures:
    """Return the sum of each figure over the runs: for what must not happen even once."""
    found: Figures = {}
    for run in runs:
        for column, figure in run.items():
            found[column] = found.get(column, 0.0) + figure
    return found


def compared(rows: dict[str, Figures], column: str, reference: str) -> dict[str, Figures]:
    """Put a column behind `column` that tells each row's figure as a multiple of the reference's."""
    if reference not in rows:
        return rows
    base = rows[reference][column]
    return {name: _behind(row, column, {f"x {reference}": row[column] / base}) for name, row in rows.items()}


def _behind(row: Figures, column: str, new: Figures) -> Figures:
    place = list(row).index(column) + 1
    pairs = list(row.items())
    return dict(pairs[:place]) | new | dict(pairs[place:])


def _shown(figure: float | None) -> str:
    if figure is None:
        return ""
    whole = 100
    return f"{figure:,.0f}" if abs(figure) >= whole or figure == int(figure) else f"{figure:.2f}"


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU time that a process has used."""
    used = process.cpu_times()
    return float(used.user + used.system)


def backends_s(database: str) -> float:
    """Return the CPU time that PostgreSQL's connections to a database have used."""
    titles = ((each, " ".join(each.info["cmdline"] or ())) for each in psutil.process_iter(["cmdline"]))
    return sum(cpu_s(each) for each, title in titles if title.startswith("postgres:") and f" {database} " in title)
