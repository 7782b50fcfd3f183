"""`reelwork doctor`: looks whether everything that Reelwork needs is in order here, and names the fix where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reelwork.cli import options
from reelwork.cli.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from reelwork.cli.checkup import Finding


BROKEN = "Something that is needed is broken, or a job is stuck."
StuckAfter = Annotated[
    float | None,
    typer.Option("--stuck-after", min=0, metavar="SECONDS", help="Silent for so long, a stage is stuck; default: 60."),
]


def doctor(data: options.DataFolder = None, stuck_after: StuckAfter = None, as_json: options.Json = False) -> None:
    """Check this machine, and look through the jobs of its database for what is stuck and why.

    Everything that is not in order is told with its fix. Status 1: something that is needed is broken, or a job is
    stuck. Example: `reelwork doctor --data reelwork-data --stuck-after 300`
    """
    from dataclasses import asdict

    from reelwork.cli.checkup import Health, examine
    from reelwork.cli.configuration import load_config
    from reelwork.cli.output import tell, tell_json
    from reelwork.cli.stuck_jobs import stuck_jobs

    config = load_config(data=data)
    machine, jobs = examine(config), stuck_jobs(config, stuck_after_seconds=stuck_after)
    findings = [*machine, *jobs]
    healthy = all(finding.health is not Health.BROKEN for finding in findings)
    if as_json:
        tell_json({"healthy": healthy, "findings": [asdict(finding) for finding in findings]})
    else:
        tell(_table(machine), *_lines(jobs), "All that is needed is in order." if healthy else BROKEN)
    if not healthy:
        raise typer.Exit(ExitCode.FAILED)


def _table(findings: Sequence[Finding]) -> Table:
    from reelwork.cli.tables import plain_table

    table = plain_table("", "", "what", "found", "fix")
    for finding in findings:
        table.add_row(_mark(finding), finding.subject, finding.found, finding.fix or "")
    return table


def _lines(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Not in columns, so that ids and commands can be copied whole."""
    from rich.text import Text

    for finding in findings:
        yield Text.assemble(_mark(finding), f"  {finding.subject}: {finding.found}")
        if finding.fix:
            yield f"  -> {finding.fix}"


def _mark(finding: Finding) -> Text:
    from rich.text import Text

    from reelwork.cli.checkup import Health

    styles = {Health.FINE: "green", Health.ABSENT: "yellow", Health.NOTED: "cyan", Health.BROKEN: "red"}
    return Text(finding.health, style=styles[finding.health])
