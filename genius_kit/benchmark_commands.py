"""The commands of private benchmarks: `genius-kit benchmark build`, `reveal` and `check`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from genius_kit import control_commands
from genius_kit.signal_training import SignalRecipe
from genius_kit.signals import KINDS, SignalTask
from genius_kit.spaces import DEFAULT_SIGNAL_OPERATIONS, SIGNAL_OPERATIONS

benchmark_app = typer.Typer(no_args_is_help=True, help="Make a benchmark that no model can have read of.")

Folder = Annotated[Path, typer.Argument(help="Folder of the build.")]
Table = Annotated[Path, typer.Argument(help="A table.json, or the folder of a build.")]


@benchmark_app.command()
def build(
    folder: Folder,
    name: Annotated[str | None, typer.Option(help="What it is called; by default as its folder.")] = None,
    task: Annotated[str | None, typer.Option(help=f"What is told apart: {' (default), '.join(KINDS)}.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=100, help=f"Signals of each part; {SignalTask.samples} by default.")
    ] = None,
    noise: Annotated[float | None, typer.Option(min=0, help="With motif-pairs: deviation of the noise.")] = None,
    operations: Annotated[str | None, typer.Option(help=f"Of {', '.join(SIGNAL_OPERATIONS)}; with commas.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help=f"Trainings of each cell; {SignalRecipe.seeds} by default.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help=f"Passes over the training part; {SignalRecipe.epochs} by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core.")] = None,
) -> None:
    """Train every cell of a small space on signals made from a fresh secret. The same command again goes on."""
    from genius_kit.private_builds import build as build_table
    from genius_kit.private_builds import kept_plan
    from genius_kit.private_tables import PrivatePlan

    called = name or folder.resolve().name
    known = kept_plan(folder) or PrivatePlan(called, SignalTask(), SignalRecipe(), DEFAULT_SIGNAL_OPERATIONS)
    plan = PrivatePlan(
        name or known.name,
        _changed(known.task, kind=task, samples=samples, noise=noise),
        _changed(known.recipe, seeds=seeds, epochs=epochs),
        tuple(word.strip() for word in operations.split(",")) if operations else known.operations,
    )
    with control_commands.ends_at_once("the same command again goes on"):
        table = build_table(plan, folder, workers=workers)
    print(f"{len(plan.cells()):,} cells: {table}")
    print(f"the secret is in {folder / 'secret'}: keep it, and tell it to nobody until you want to prove the table")


def _changed(known: Any, **given: Any) -> Any:
    """Return `known` with the fields that were given."""
    return replace(known, **{name: value for name, value in given.items() if value is not None})


@benchmark_app.command()
def reveal(folder: Folder) -> None:
    """Print the secret of a build: from then on everybody can check its table, and train on its signals."""
    from genius_kit.private_builds import secret_of

    print(secret_of(folder))


@benchmark_app.command()
def check(
    table: Table,
    secret: Annotated[str, typer.Option(help="The secret that was revealed.")],
    cells: Annotated[int, typer.Option(min=0, help="Cells to train again and compare.")] = 4,
) -> None:
    """Check that a table was made with a secret: its commitment, and some cells trained again."""
    from genius_kit.private_builds import check_table

    for line in check_table(table, secret, cells):
        print(line)


@benchmark_app.command()
def card(table: Table) -> None:
    """Print the data card of a table in Markdown: what it is made of, its noise, and what cheap guesses score on it."""
    from genius_kit.private_cards import card_text
    from genius_kit.private_tables import read_table

    print(card_text(read_table(table)))


@benchmark_app.command()
def add(table: Table) -> None:
    """Copy a whole table into the data folder, from where it loads by its name like the published ones."""
    from genius_kit.private_catalogue import add_table

    added = add_table(table)
    print(f"{added}: `genius-kit run {added.stem}` searches it")
