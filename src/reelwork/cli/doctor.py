"""`reelwork doctor`: looks whether everything that Reelwork needs is in order here, and names the fix where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reelwork.cli import options
from reelwork.cli.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

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

    findings = examine(load_config(data=data), stuck_after_seconds=stuck_after)
    healthy = all(finding.health is not Health.BROKEN for finding in findings)
    if as_json:
        tell_json({"healthy": healthy, "findings": [asdict(finding) for finding in findings]})
    else:
        tell(_table(findings), "All that is needed is in order." if healthy else BROKEN)
    if not healthy:
        raise typer.Exit(ExitCode.FAILED)


def _table(findings: Sequence[Finding]) -> Table:
    from rich.text import Text

    from reelwork.cli.checkup import Health
    from reelwork.cli.tables import plain_table

    styles = {Health.FINE: "green", Health.ABSENT: "yellow", Health.NOTED: "cyan", Health.BROKEN: "red"}
    table = plain_table("", "", "what", "found", "fix")
    for finding in findings:
        mark = Text(finding.health, style=styles[finding.health])
        table.add_row(mark, finding.subject, finding.found, finding.fix or "")
    return table
