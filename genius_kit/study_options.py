"""The options that replace what a study file says, as the commands share them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genius_kit.errors import InvalidParameter
from genius_kit.study_files import study_names

StudyFile = Annotated[str, typer.Argument(help=f"A study file (YAML), or a shipped one: {', '.join(study_names())}.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="That many seeds in place of the file's.")]
FromSeed = Annotated[int | None, typer.Option(min=0, help="With --seeds: the first of them; 0 by default.")]
Budget = Annotated[int | None, typer.Option(min=1, help="Evaluations a run, of arms without their own.")]
Benchmarks = Annotated[str | None, typer.Option(help="Names, with commas between, in place of the file's.")]
Models = Annotated[str | None, typer.Option(help="Models, with commas between, in place of the file's.")]
Prompts = Annotated[str | None, typer.Option(help="Prompts, with commas between, in place of the file's.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Output limit of a request, in place of the file's.")]


def overrides(
    seeds: int | None,
    from_seed: int | None,
    budget: int | None,
    benchmarks: str | None,
    models: str | None,
    prompts: str | None,
    max_tokens: int | None,
) -> dict[str, Any]:
    """Return what the options say as the keys of a study file; None where an option was not given."""
    if from_seed is not None and seeds is None:
        raise InvalidParameter("--from-seed came without --seeds: say how many, such as --from-seed 100 --seeds 40")
    return {
        "seeds": seeds if not from_seed else {"from": from_seed, "count": seeds},
        "budget": budget,
        "benchmarks": _listed(benchmarks),
        "models": _listed(models),
        "prompts": _listed(prompts),
        "max_tokens": max_tokens,
    }


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]
