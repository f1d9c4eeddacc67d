"""How prompts write down architectures, results, bounds and costs.

What speaks of several objectives is read only where a benchmark weighs them: a plain prompt's text stays.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from genius_kit.benchmarks.base import Objectives, value_of
from genius_kit.errors import InvalidParameter, PromptError
from genius_kit.records import Evaluation
from genius_kit.spaces import Architecture, MacsBound, SearchSpace, count_cost
from genius_kit.spaces.costs import whole_millions

_OPTION_LINE = re.compile(r"^- (\d+): .*$")


def format_design(space: SearchSpace, architecture: Architecture) -> str:
    """Return the architecture as prompts print it: option numbers or channel counts, stages in lists of their own."""
    numbers = [menu[option] for menu, option in zip(_numbers(space), architecture, strict=True)]
    if not space.in_stages:
        return str(numbers)
    return str([[numbers[position] for position in stage] for stage in space.stages])


def option_number(space: SearchSpace, position: int, option: int) -> int:
    """Return the number that prompts print for an option index: the option itself where it is one, else its index."""
    return _numbers(space)[position][option]


@cache
def _numbers(space: SearchSpace) -> list[list[int]]:
    return [
        [choice if isinstance(choice, int) else option for option, choice in enumerate(options)]
        for options in space.choices
    ]


def option_numbers(space: SearchSpace) -> str:
    """Return the numbers of the options at the first position, as a menu: "0, 1, 2"."""
    return ", ".join(str(option_number(space, 0, option)) for option in range(len(space.choices[0])))


def answer_example(space: SearchSpace) -> str:
    """Return the answer format's example: letters in place of numbers, so that an echo of it is no architecture."""
    letters = string.ascii_lowercase
    if space.in_stages:
        size = min(len(space.stages[0]), len(letters) // 2)
        return f"[[{', '.join(letters[:size])}], ..., [{', '.join(letters[-size:])}]]"
    if space.length < 4:
        return f"[{', '.join(letters[: space.length])}]"
    return f"[a, b, ..., {letters[min(space.length, len(letters)) - 1]}]"


def result_text(feedback: float | None, failure: str | None) -> str:
    """Return a result as prompts print it: "92.31", or "not measured (training diverged)" where there is none."""
    text = "not measured" if feedback is None else f"{feedback:.2f}"
    return f"{text} ({failure.partition(': ')[0]})" if failure else text


def bound_words(bound: MacsBound) -> str:
    """Return the bound in words: "at least 270 million and at most 330 million"."""
    lower = f"at least {bound.lower_millions} million and " if bound.lower_millions else ""
    return f"{lower}at most {bound.upper_millions} million"


@lru_cache(maxsize=4_096)  # a prompt tells it of every trial again
def macs_in_millions(space: SearchSpace, architecture: Architecture) -> int:
    """Return the MACs of an architecture in whole millions as the bound judges them: at the image size of the space."""
    return whole_millions(count_cost(space, architecture).macs)


def relisted(text: str, menus: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], name: str) -> str:
    """Return `text` with its menus of options renumbered and listed in another order.

    `menus` holds the new number of each option and the order of the new numbers: one pair for all menus of the text, or
    one for each of them. A menu is a run of lines "- NUMBER: what it is". Raises PromptError, naming the template,
    where there is no menu or one does not have each number once: then some text would keep the old meaning.
    """
    made: list[str] = []
    menu: dict[int, str] = {}
    found = 0
    for line in [*text.split("\n"), ""]:
        option = _OPTION_LINE.match(line)
        if option and int(option[1]) in menu:
            raise PromptError(f"the template {name} describes the option {option[1]} twice in one menu")
        if option:
            menu[int(option[1])] = line
            continue
        if menu:
            labels, order = menus[min(found, len(menus) - 1)]
            if sorted(menu) != list(range(len(labels))):
                raise PromptError(
                    f"a menu of the template {name} describes the options {', '.join(map(str, sorted(menu)))}; to be "
                    f"renumbered it needs a line '- NUMBER: ...' for each number from 0 to {len(labels) - 1}"
                )
            lines = {labels[old]: line.replace(f"- {old}:", f"- {labels[old]}:", 1) for old, line in menu.items()}
            made += [lines[new] for new in order]
            menu, found = {}, found + 1
        made.append(line)
    if not found:
        raise PromptError(f"the template {name} has no lines '- NUMBER: ...', so its options cannot be renumbered")
    if 1 < len(menus) != found:
        raise PromptError(
            f"the template {name} has {found} menus of lines '- NUMBER: ...'; expected one for each of the "
            f"{len(menus)} positions, in their order"
        )
    return "\n".join(made[:-1])


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
    names = _nameless(objectives) if control == NAMELESS else [one.title for one in objectives.costs]
    scales = ["" if control == NAMELESS else f" in {one.scale}" for one in objectives.costs]
    told = [f"its {name}{scale}" for name, scale in zip(names, scales, strict=True)]
    return {"costs": " and ".join(f"its {name}" for name in names), "told_costs": " and ".join(told)}


def weighed_result(
    told: str, evaluation: Evaluation, objectives: Objectives, control: str | None, unit: str = "percent"
) -> str:
    """Return a result with its costs: "93.10 percent, 85.20 million multiply-accumulates".

    `told` is the accuracy as a plain prompt prints it. A cost that was not measured is said to be so.
    """
    shown = [told if evaluation.feedback is None else f"{told} {unit}"]
    for one, name in zip(objectives.costs, _nameless(objectives), strict=True):
        value = value_of(evaluation, one.name)
        words = one.number if control == NAMELESS else one.shown
        cost = f"{one.title} not measured" if value is None else words(value)
        shown.append(f"{name} {cost}" if control == NAMELESS else cost)
    return ", ".join(shown)


def _nameless(objectives: Objectives) -> list[str]:
    return ["cost"] if len(objectives.costs) == 1 else ["first cost", "second cost"]
