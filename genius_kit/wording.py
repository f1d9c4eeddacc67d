"""How prompts write down designs, results, bounds and costs."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from genius_kit.errors import PromptError
from genius_kit.holes import fill
from genius_kit.records import Trial
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    from genius_kit.controls import View
    from genius_kit.spaces.costs import MacsBound

_OPTION_LINE = re.compile(r"^- (\d+): .*$")


def format_design(space: SearchSpace, architecture: Architecture) -> str:
    """Return the design as prompts print it: option numbers or channel counts, stages in lists of their own."""
    numbers = [option_number(space, position, value) for position, value in enumerate(architecture)]
    if not space.in_stages:
        return str(numbers)
    return str([[numbers[position] for position in stage] for stage in space.stages])


def option_number(space: SearchSpace, position: int, option: int) -> int:
    """Return the number that prompts print for an option index: the option itself where it is one, else its index."""
    choice = space.choices[position][option]
    return choice if isinstance(choice, int) else option


def option_numbers(space: SearchSpace) -> str:
    """Return the numbers of the options at the first position, as a menu: "0, 1, 2"."""
    return ", ".join(str(option_number(space, 0, option)) for option in range(len(space.choices[0])))


def placeholder(space: SearchSpace) -> str:
    """Return the answer format's example: letters in place of numbers, so that an echo of it is no design."""
    if space.in_stages:
        return "[[a, b, c, d, e, f], ..., [u, v, w, x, y, z]]"
    return f"[a, b, ..., {string.ascii_lowercase[space.length - 1]}]"


def result_text(feedback: float | None, failure: str | None) -> str:
    """Return a result as prompts print it: "92.31", or "not measured (training diverged)" where there is none."""
    text = "not measured" if feedback is None else f"{feedback:.2f}"
    return f"{text} ({failure.partition(': ')[0]})" if failure else text


def bound_words(bound: MacsBound) -> str:
    """Return the bound in words: "at least 270 million and at most 330 million"."""
    lower = f"at least {bound.lower_millions} million and " if bound.lower_millions else ""
    return f"{lower}at most {bound.upper_millions} million"


def trial_millions(space: SearchSpace, trial: Trial) -> int:
    """Return the MACs of a trial in whole millions as the bound judges them: at the image size of the space."""
    from genius_kit.spaces.costs import count_cost, whole_millions

    return whole_millions(count_cost(space, trial.architecture).macs)


def macs_text(template: str, view: View, constraint: MacsBound | None) -> str:
    """Return the MACs of every option at every position, equal neighbours on one line; "" where none are wanted.

    Those of the transformer space stand on a line for each embedding. The options stand in the order of `view`.
    """
    space = view.true_space
    if space.shows_macs == "never" or (constraint is None and space.shows_macs != "always"):
        return ""
    numbers = option_numbers(view.space)
    if by_embedding := space.embedding_table():
        lines = [
            (f"{own / 1e6:.2f}", [f"{count / 1e6:.2f}" for count in view.reordered(block)])
            for own, block in view.reordered(by_embedding)
        ]
        return fill(template, {"rows": lines, "numbers": numbers}, "macs_table.md")
    fixed, table = space.macs_table()
    rows: list[tuple[str, list[str]]] = []
    for position, entries in zip(view.space.positions, table.tolist(), strict=True):
        printed = [f"{count / 1e6:.2f}" for count in view.reordered(entries)]
        if rows and rows[-1][1] == printed:
            rows[-1] = (f"{rows[-1][0].split(' to ')[0]} to {position}", printed)
        else:
            rows.append((position, printed))
    values = {"rows": rows, "numbers": numbers, "fixed": f"{sum(fixed.values()) / 1e6:.2f}"}
    return fill(template, values, "macs_table.md")


def renumbered(text: str, labels: tuple[int, ...], name: str) -> str:
    """Return `text` with its menus of options renumbered by `labels` (the new number of each old one) and sorted."""
    return relisted(text, labels, tuple(range(len(labels))), name)


def relisted(text: str, labels: tuple[int, ...], order: tuple[int, ...], name: str) -> str:
    """Return `text` with its menus of options renumbered by `labels` and listed in the `order` of the new numbers.

    A menu is a run of lines "- NUMBER: what it is". Raises PromptError, naming the template, where there is no menu
    or one does not have each number once: then some text would keep the old meaning.
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
    return "\n".join(made[:-1])
