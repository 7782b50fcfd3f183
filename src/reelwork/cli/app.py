"""The command `reelwork`: its commands, and what becomes of the errors that they raise."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from reelwork.cli.analyze import analyze
from reelwork.cli.exit_code import EXIT_CODES_HELP, ExitCode, exit_code_of
from reelwork.cli.serve import serve
from reelwork.cli.worker import worker
from reelwork.errors import ReelworkError

app = typer.Typer(
    name="reelwork",
    help="Media jobs that fan out over many workers and complete each stage exactly once.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(worker)
app.command()(analyze)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs a command; its exit status. An error of ours is one sentence, never a traceback."""
    from reelwork.cli.output import tell_error

    as_json = "--json" in arguments
    try:
        status = get_command(app).main(args=list(arguments), prog_name="reelwork", standalone_mode=False)
    except ReelworkError as error:
        tell_error(str(error), as_json=as_json)
        return exit_code_of(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    return int(status or 0)
