"""`reelwork dead-letters`: messages that failed for good on a running server, and sending them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from reelwork.cli import options
from reelwork.cli.exit_code import ExitCode

if TYPE_CHECKING:
    from reelwork.cli.client import Client

LISTED: Final = 100
PAGE_MAX: Final = 1_000
REPLAYS_PER_REQUEST: Final = 200
REFUSALS_SHOWN_MAX: Final = 20

dead_letters = typer.Typer(invoke_without_command=True)

OfJob = Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only those of this job.", show_default=False)]
OfStage = Annotated[
    str | None,
    typer.Option("--stage", metavar="STAGE", help="Only those whose assets this stage counts.", show_default=False),
]
OfQueue = Annotated[
    str | None, typer.Option("--queue", metavar="QUEUE", help="Only those of this queue.", show_default=False)
]
OfError = Annotated[
    str | None,
    typer.Option("--error", metavar="TEXT", help="Only those whose error has TEXT in it.", show_default=False),
]
Replayed = Annotated[
    bool | None,
    typer.Option("--replayed/--not-replayed", help="Only those that were replayed, or were not.", show_default=False),
]
Limit = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many, the newest.")]
AllListed = Annotated[bool, typer.Option("--all", help="However many there are.")]
AllReplayed = Annotated[bool, typer.Option("--all", help="Every one; without it, say which.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be replayed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DeadLetterId = Annotated[int, typer.Argument(metavar="ID", help="Its number in the list.")]
DeadLetterIdIfAny = Annotated[
    int | None, typer.Argument(metavar="ID", help="Its number in the list; else options say which.")
]


@dead_letters.callback()
def dead_letters_by_default(
    context: typer.Context, url: options.ServerUrl = None, as_json: options.Json = False
) -> None:
    """Messages that failed for good: list them, look at one, and replay them once what broke them is mended.

    Example: `reelwork dead-letters list --error timeout`, then `reelwork dead-letters replay --error timeout`.
    """
    if context.invoked_subcommand is None:
        list_dead_letters(url=url, as_json=as_json)


@dead_letters.command("list")
def list_dead_letters(
    job: OfJob = None,
    stage: OfStage = None,
    queue: OfQueue = None,
    error: OfError = None,
    replayed: Replayed = None,
    limit: Limit = LISTED,
    everything: AllListed = False,
    url: options.ServerUrl = None,
    as_json: options.Json = False,
) -> None:
    """List dead letters that fit all that is given, newest first.

    Example: `reelwork dead-letters list --stage video.ranges --error "cannot be decoded" --not-replayed`
    """
    from itertools import islice

    from reelwork.cli.client import server
    from reelwork.cli.job_view import dead_letters_table
    from reelwork.cli.output import tell, tell_aside, tell_json

    filters = {"job_id": job, "stage": stage, "queue": queue, "error": error, "replayed": replayed}
    with server(url) as client:
        found = _letters(client, filters, page=PAGE_MAX if everything else min(limit + 1, PAGE_MAX))
        letters = list(found if everything else islice(found, limit + 1))
    has_more = not everything and len(letters) > limit
    letters = letters[:limit] if has_more else letters
    if as_json:
        tell_json(letters)
    else:
        tell(dead_letters_table(letters) if letters else "There are no such dead letters.")
        if has_more:
            tell_aside(f"There are more than {limit}: --limit N or --all lists them too.")


@dead_letters.command("show")
def show(dead_letter_id: DeadLetterId, url: options.ServerUrl = None, as_json: options.Json = False) -> None:
    """Tell all of a dead letter: its whole error and message, its attempts, when it failed and was replayed.

    Example: `reelwork dead-letters show 7`
    """
    from reelwork.cli.client import server
    from reelwork.cli.job_view import dead_letter_view
    from reelwork.cli.output import tell, tell_json

    with server(url) as client:
        letter = client.dead_letter(dead_letter_id)
    if as_json:
        tell_json(letter)
    else:
        tell(*dead_letter_view(letter))


@dead_letters.command("replay")
def replay(
    dead_letter_id: DeadLetterIdIfAny = None,
    job: OfJob = None,
    stage: OfStage = None,
    queue: OfQueue = None,
    error: OfError = None,
    everything: AllReplayed = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    url: options.ServerUrl = None,
    as_json: options.Json = False,
) -> None:
    """Send dead letters to their own queues again, once what broke them is mended: one by its ID, or all that fit.

    A failed job runs again; an asset of a completed stage is counted late, and nothing fires twice. What was replayed
    before is passed over. Status 1: some could not be replayed, and each is told with its reason.

    Examples: `reelwork dead-letters replay 7`, or first `reelwork dead-letters replay --job JOB --error TEXT --dry-run`
    """
    from reelwork.cli.client import server

    filters = {"job_id": job, "stage": stage, "queue": queue, "error": error}
    chosen = [value for value in filters.values() if value is not None]
    if dead_letter_id is not None and (chosen or everything):
        raise typer.BadParameter("give either an ID, or options that say which")
    if dead_letter_id is None and not chosen and not everything:
        raise typer.BadParameter("say which: an ID, --job, --stage, --queue or --error; or --all for every one")
    with server(url) as client:
        if dead_letter_id is None:
            _replay_many(client, filters, dry_run=dry_run, yes=yes, as_json=as_json)
        else:
            _replay_one(client, dead_letter_id, dry_run=dry_run, as_json=as_json)


def _replay_one(client: Client, dead_letter_id: int, *, dry_run: bool, as_json: bool) -> None:
    from reelwork.cli.job_view import dead_letters_table
    from reelwork.cli.output import tell, tell_json

    if dry_run:
        letter = client.dead_letter(dead_letter_id)
        _tell_dry_run([] if letter["replayed_at"] else [letter], as_json=as_json, table=dead_letters_table)
        return
    replayed = client.replay(dead_letter_id)
    if as_json:
        tell_json(replayed)
    else:
        tell(f"Dead letter {dead_letter_id} is on its way again.")


def _replay_many(client: Client, filters: Mapping[str, Any], *, dry_run: bool, yes: bool, as_json: bool) -> None:
    from reelwork.cli.job_view import dead_letters_table
    from reelwork.cli.output import progress_bar, tell, tell_aside, tell_json

    letters = list(_letters(client, {**filters, "replayed": False}, page=PAGE_MAX))
    if dry_run:
        _tell_dry_run(letters, as_json=as_json, table=dead_letters_table)
        return
    if letters and not yes:
        _ask_first(len(letters), as_json=as_json)
    replayed, refused = 0, []
    # What fails anew meanwhile has a higher number, and is not replayed again.
    before: int | None = letters[0]["dead_letter_id"] + 1 if letters else None
    with progress_bar("replaying", lines_instead=len(letters) > REPLAYS_PER_REQUEST) as report:
        while before is not None:
            order = {**filters, "all": True, "before": before, "limit": REPLAYS_PER_REQUEST}
            batch = client.replay_batch(order)
            replayed, before = replayed + batch["replayed"], batch["next"]
            refused += batch["refused"]
            report(f"{replayed} of {len(letters)}", min((replayed + len(refused)) / len(letters), 1.0))
    if as_json:
        tell_json({"replayed": replayed, "refused": refused})
    else:
        tell(f"{replayed} dead letters are on their way again." if letters else "There is nothing to replay.")
        for one in refused[:REFUSALS_SHOWN_MAX]:
            tell_aside(f"not replayed: {one['dead_letter_id']}: {one['reason']}")
        if len(refused) > REFUSALS_SHOWN_MAX:
            tell_aside(f"not replayed: {len(refused) - REFUSALS_SHOWN_MAX} more; --json tells each")
    if refused:
        raise typer.Exit(ExitCode.FAILED)


def _tell_dry_run(letters: list[dict[str, Any]], *, as_json: bool, table: Any) -> None:
    from reelwork.cli.output import tell, tell_json

    if as_json:
        tell_json({"would_replay": letters})
    else:
        tell(*([table(letters)] if letters else []), f"{len(letters)} would be replayed; nothing was.")


def _ask_first(count: int, *, as_json: bool) -> None:
    """Raises BadParameter where nobody can be asked, Abort for a no."""
    import sys

    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter(f"{count} dead letters would be replayed; give --yes, or look first with --dry-run")
    typer.confirm(f"Replay {count} dead letters?", abort=True, err=True)


def _letters(client: Client, filters: Mapping[str, Any], *, page: int) -> Iterator[dict[str, Any]]:
    """Newest first, page by page."""
    before: int | None = None
    while True:
        answer = client.dead_letters({**filters, "before": before, "limit": page})
        yield from answer["dead_letters"]
        before = answer["next"]
        if before is None:
            return
