"""`reelwork dead-letters`: messages that failed for good on a running server, and sending them again."""

from __future__ import annotations

from typing import Annotated

import typer

from reelwork.cli import options

dead_letters = typer.Typer(help="List messages that failed for good, and replay them.", invoke_without_command=True)

OfJob = Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only those of this job.", show_default=False)]
DeadLetterId = Annotated[int, typer.Argument(metavar="ID", help="Its number in the list.")]


@dead_letters.callback()
def dead_letters_by_default(
    context: typer.Context, url: options.ServerUrl = None, as_json: options.Json = False
) -> None:
    """List messages that failed for good, and replay them."""
    if context.invoked_subcommand is None:
        list_dead_letters(url=url, as_json=as_json)


@dead_letters.command("list")
def list_dead_letters(job: OfJob = None, url: options.ServerUrl = None, as_json: options.Json = False) -> None:
    """List dead letters, newest first."""
    from reelwork.cli.client import server
    from reelwork.cli.job_view import dead_letters_table
    from reelwork.cli.output import tell, tell_json

    with server(url) as client:
        letters = client.dead_letters(job)["dead_letters"]
    if as_json:
        tell_json(letters)
    else:
        tell(dead_letters_table(letters) if letters else "There are no dead letters.")


@dead_letters.command("replay")
def replay(dead_letter_id: DeadLetterId, url: options.ServerUrl = None, as_json: options.Json = False) -> None:
    """Send a dead letter to its own queue again, once what broke it is mended; a failed job runs again."""
    from reelwork.cli.client import server
    from reelwork.cli.output import tell, tell_json

    with server(url) as client:
        replayed = client.replay(dead_letter_id)
    if as_json:
        tell_json(replayed)
    else:
        tell(f"Dead letter {dead_letter_id} is on its way again.")
