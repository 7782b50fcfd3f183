"""The command `reelwork`: its commands, and what becomes of the errors that they raise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from reelwork.cli.analyze import analyze
from reelwork.cli.cancel import cancel
from reelwork.cli.dead_letters import dead_letters
from reelwork.cli.demo import demo
from reelwork.cli.doctor import doctor
from reelwork.cli.exit_code import EXIT_CODES_HELP, ExitCode, exit_code_of
from reelwork.cli.import_data import import_data
from reelwork.cli.match import match
from reelwork.cli.migrate import migrate
from reelwork.cli.missing_package import missing_package_fix
from reelwork.cli.models import models
from reelwork.cli.prune import prune
from reelwork.cli.results import results
from reelwork.cli.serve import serve
from reelwork.cli.status import stages, status
from reelwork.cli.stereo import stereo
from reelwork.cli.submit import submit
from reelwork.cli.wait import wait
from reelwork.cli.worker import worker
from reelwork.errors import ReelworkError

UsageError: type[typer.BadParameter] = typer.BadParameter.__bases__[0]
"""Of the command line parser inside Typer, which exports only its children."""

Version = Annotated[bool, typer.Option("--version", help="Print the version of Reelwork.")]

app = typer.Typer(
    name="reelwork",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for panel, commands in {
    "On this machine": (demo, analyze, match, stereo, doctor),
    "A server": (serve, worker, migrate, prune),
    "Jobs on a server": (submit, status, wait, results, cancel, stages),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.command(name="import", rich_help_panel="A server")(import_data)
app.add_typer(models, name="models", rich_help_panel="On this machine")
app.add_typer(dead_letters, name="dead-letters", rich_help_panel="Jobs on a server")


@app.callback()
def reelwork(version: Version = False) -> None:
    """Media jobs that fan out over many workers, and finish once."""
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"reelwork {installed_version('reelwork')}")
        raise typer.Exit()


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs a command; its exit status. An error of ours is one sentence, never a traceback."""
    as_json = "--json" in arguments
    command = get_command(app)
    try:
        if as_json:
            return command.main(args=list(arguments), prog_name="reelwork", standalone_mode=False) or ExitCode.OK
        command.main(args=list(arguments), prog_name="reelwork")
    except UsageError as error:
        return _told(error.format_message(), ExitCode.BAD_INPUT, as_json=as_json)
    except ReelworkError as error:
        fix = missing_package_fix(error.__cause__)
        return _told(fix or str(error), exit_code_of(error), as_json=as_json)
    except ModuleNotFoundError as error:
        fix = missing_package_fix(error)
        if fix is None:
            raise
        return _told(fix, ExitCode.BAD_INPUT, as_json=as_json)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.FAILED
    return ExitCode.OK


def _told(sentence: str, code: ExitCode, *, as_json: bool) -> ExitCode:
    from reelwork.cli.output import tell_error

    tell_error(sentence, as_json=as_json)
    return code
