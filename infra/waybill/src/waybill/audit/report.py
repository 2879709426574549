"""The audit's report: one line an invariant, with counts and the offending ids."""

from collections.abc import Sequence

from pydantic import BaseModel
from rich.console import Console

from waybill.audit.finding import Finding

MOST_VIOLATIONS = 50  # listed of one invariant; their total is told


class Offence(BaseModel, frozen=True):
    """One violation: the order, event, record or sku, and what is wrong with it."""

    id: str
    what: str


class Line(BaseModel, frozen=True):
    """The verdict on one invariant; `ok` is None where one reading can't tell."""

    id: str
    name: str
    ok: bool | None
    checked: int
    violations: list[Offence]
    violations_total: int
    note: str

    @classmethod
    def of(cls, finding: Finding) -> "Line":
        """Return a finding's line, its violations bounded."""
        listed = [Offence(id=each.subject, what=each.what) for each in finding.violations[:MOST_VIOLATIONS]]
        return cls(
            id=finding.id,
            name=finding.name,
            ok=finding.ok,
            checked=finding.checked,
            violations=listed,
            violations_total=len(finding.violations),
            note=finding.note,
        )


class Report(BaseModel, frozen=True):
    """What an audit says: `ok` when no invariant was violated."""

    ok: bool
    settled: bool
    orders: int
    records: int
    seconds: float
    invariants: list[Line]

    @property
    def failed(self) -> list[str]:
        """The ids of the invariants that do not hold."""
        return [line.id for line in self.invariants if line.ok is False]


def lines_of(findings: Sequence[Finding]) -> list[Line]:
    """Return the lines of all findings."""
    return [Line.of(finding) for finding in findings]


def render(report: Report, console: Console) -> None:
    """Print a report for people: a line an invariant, then what is wrong."""
    for line in report.invariants:
        counts = ", ".join(filter(None, [f"{line.checked} checked" if line.checked else "", line.note]))
        console.print(
            _verdict(line), f"[bold]{line.id:>2}[/bold] {line.name} ({counts})", soft_wrap=True, highlight=False
        )
    for line in report.invariants:
        for offence in line.violations:
            sentence = f"{line.id}: {offence.id}: {offence.what}"
            console.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
        if line.violations_total > len(line.violations):
            console.print(f"{line.id}: and {line.violations_total - len(line.violations)} more", style="red")
    verdict = (
        "every invariant that one reading can show holds" if report.ok else f"violated: {', '.join(report.failed)}"
    )
    console.print(
        f"{verdict}; {report.orders} orders, {report.records} records, {report.seconds:.1f} s",
        style="bold green" if report.ok else "bold red",
        highlight=False,
        soft_wrap=True,
    )


def _verdict(line: Line) -> str:
    if line.ok is None:
        return "[yellow]?       [/yellow]"
    return "[green]ok      [/green]" if line.ok else "[red]VIOLATED[/red]"
