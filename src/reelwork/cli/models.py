"""`reelwork models`: which model weights are here, and fetching those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from reelwork.vision import ModelStatus

models = typer.Typer(help="List and fetch the weights that analyzers need.", no_args_is_help=True)

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Models, by their names in `reelwork models list`.")
]


@models.command("list")
def list_models(as_json: options.Json = False) -> None:
    """List every model, its licence, and whether it is here."""
    from reelwork.cli.output import tell, tell_json
    from reelwork.vision import default_models_dir, models_status

    statuses = models_status()
    if as_json:
        tell_json([_document(status) for status in statuses])
    else:
        tell(_table(statuses), f"Folder: {default_models_dir()}")


@models.command("pull")
def pull_models(names: Names, as_json: options.Json = False) -> None:
    """Fetch models and verify them; those that are here already are only verified."""
    from reelwork.cli.output import tell, tell_json
    from reelwork.cli.pull import pull
    from reelwork.vision import pull_model
    from reelwork.vision.models_folder import model_named

    wanted = [model_named(name).name for name in dict.fromkeys(names)]
    paths = {name: str(pull(name, pull_model)) for name in wanted}
    if as_json:
        tell_json(paths)
    else:
        tell(*(f"{name}: {path}" for name, path in paths.items()))


def _document(status: ModelStatus) -> dict[str, Any]:
    model = status.model
    return {
        "name": model.name,
        "status": status.presence,
        "task": model.task,
        "size_bytes": model.size_bytes,
        "sha256": model.sha256,
        "licence": model.licence,
        "path": str(status.path) if status.path else None,
    }


def _table(statuses: list[ModelStatus]) -> Table:
    from rich.filesize import decimal

    from reelwork.cli.tables import plain_table

    table = plain_table("Models", "name", "status", "size", "licence", "task")
    for status in statuses:
        model = status.model
        table.add_row(model.name, status.presence, decimal(model.size_bytes), model.licence, model.task)
    return table
