"""Speed of this machine: `python -m tests.speed training` (see `training_speed`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genius_kit.files import write_whole
from tests.training_speed import AUTHORS, COMPILED, DEFAULT, measure_training

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure how fast this machine trains.")


@app.callback()
def speed() -> None:
    """Measure how fast this machine trains."""


@app.command()
def training(
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 32,
    image_size: Annotated[int, typer.Option(help="Pixels per side.")] = 224,
    repeats: Annotated[int, typer.Option(help="Measured steps per form.")] = 10,
    warmup: Annotated[int, typer.Option(help="Steps before them.")] = 2,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")] = None,
    compiles: Annotated[bool, typer.Option("--compile", help="Measure torch.compile too (minutes to start).")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the table here as CSV.")] = None,
) -> None:
    """One training step of GENIUS-329: the default configuration against the authors' form."""
    forms = (AUTHORS, DEFAULT, COMPILED) if compiles else None
    table = measure_training(
        batch_size=batch_size, image_size=image_size, repeats=repeats, warmup=warmup, device=device, forms=forms
    )
    print(table.round(3).to_string(index=False))
    if output is not None:
        write_whole(output, table.to_csv(index=False))


if __name__ == "__main__":
    app()
