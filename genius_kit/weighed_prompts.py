"""What the prompt of a search with several objectives says beside that of a plain one: the aims, the costs of designs.

The text of a plain prompt does not change by a byte: these parts are read only where a benchmark weighs objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter

if TYPE_CHECKING:
    from genius_kit.objectives import Objectives
    from genius_kit.records import Evaluation

NAMELESS = "anonymous"
"""The control under which costs have no names and no units."""

_REPLACED = {"results": ("shared", "tradeoff_results"), "dialogue_results": ("shared", "tradeoff_dialogue_results")}


def check_weighed(objectives: Objectives | None, control: str | None, change: str | None, prompt: str) -> None:
    """Raise InvalidParameter for a prompt, a control or a change that cannot speak of several objectives."""
    if objectives is None:
        return
    wrong = None
    if prompt == "published":
        wrong = "the published prompt asks for accuracy alone, and its text is fixed; take another variant"
    elif control == "knowledge-probe":
        wrong = "the control knowledge-probe asks for the most accurate design that is known; leave it out"
    elif change is not None and change.startswith("reworded"):
        wrong = f"the change {change} has words for accuracy alone; leave it out"
    if wrong is not None:
        raise InvalidParameter(f"the benchmark weighs {objectives}: {wrong}")


def weighed_texts(objectives: Objectives | None, control: str | None) -> dict[str, tuple[str, str]]:
    """Return which shared parts of the prompt objectives replace; results that are withheld stay withheld."""
    return {} if objectives is None or control == "no-feedback" else dict(_REPLACED)


def weighed_facts(objectives: Objectives | None, control: str | None) -> dict[str, Any]:
    """Return what fills the parts that speak of costs; nothing without objectives."""
    if objectives is None:
        return {}
    if control == NAMELESS:
        names = ["its cost"] if len(objectives.costs) == 1 else ["its first cost", "its second cost"]
        return {"costs": " and ".join(names), "told_costs": " and ".join(names)}
    plain = [f"its {one.title}" for one in objectives.costs]
    told = [f"its {one.title} in {one.scale}" for one in objectives.costs]
    return {"costs": " and ".join(plain), "told_costs": " and ".join(told)}


def weighed_result(
    told: str, evaluation: Evaluation, objectives: Objectives, control: str | None, unit: str = "percent"
) -> str:
    """Return a result with its costs: "93.10 percent, 85.20 million multiply-accumulates".

    `told` is the accuracy as a plain prompt prints it. A cost that was not measured is said to be so.
    """
    from genius_kit.objectives import value_of

    costs: Sequence[str] = [
        f"{one.title} not measured" if value is None else one.number(value) if control == NAMELESS else one.shown(value)
        for one in objectives.costs
        for value in [value_of(evaluation, one.name)]
    ]
    named = [f"{title} {cost}" for title, cost in zip(_titles(len(costs)), costs, strict=True)]
    return ", ".join(
        [told if evaluation.feedback is None else f"{told} {unit}", *(named if control == NAMELESS else costs)]
    )


def _titles(count: int) -> list[str]:
    return ["cost"] if count == 1 else ["first cost", "second cost"]
