"""Study files: YAML that says what a study compares. Checked whole before anything runs, never evaluated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genius_kit.benchmarks import TabularBenchmark
from genius_kit.benchmarks.base import OBJECTIVES, Objectives, read_objectives
from genius_kit.benchmarks.catalogue import (
    PROTOCOLS,
    SOURCES,
    check_latency,
    load_tabular,
    own_folder,
    space_of,
    table_names,
)
from genius_kit.benchmarks.own.folder import is_folder
from genius_kit.budget.amounts import RESERVES, Limits
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.files import read_text, write_whole
from genius_kit.llm.agents import Agent, file_agent, is_agent
from genius_kit.llm.settings import STRUCTURED, check_params
from genius_kit.located import Located, read_yaml
from genius_kit.prompts import load_prompt
from genius_kit.prompts.template import PRINCIPLES
from genius_kit.prompts.views import CHANGES, CONTROLS
from genius_kit.proposers.base import PROPOSERS, WEIGHING, make_proposer, proposer_settings
from genius_kit.runs.loop import first_architecture
from genius_kit.spaces import SearchSpace
from genius_kit.studies.plan import Arm, Money, Study

MOST_RUNS, MOST_SETTINGS = 100_000, 2_000
"""The most runs of a study, and the most settings of them beside the seed: arm, model, prompt, benchmark."""

_COUNT = {"type": "integer", "minimum": 1, "maximum": 10**9}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 500}
_SEED = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}

LANGUAGE_SETTINGS: dict[str, Any] = {
    "history": {"enum": ["table", "dialogue"]},
    "temperature": {"type": "number", "minimum": 0},
    "request_seed": {"anyOf": [_SEED, {"const": "run"}]},
    "base_url": {"type": "string", "pattern": r"^https?://[^@?#\s]+$"},
    "max_tokens": _COUNT,
    "params": {"type": "object"},
    "timeout": {"type": "number", "exclusiveMinimum": 0},
    "structured": {"enum": [*STRUCTURED, True, False]},
    "constrained_replies": {"type": "boolean"},
    "rejections_limit": _SEED,
    "on_exhausted": {"enum": ["fallback", "stop"]},
}
"""Settings of the language model that a study file gives once for all arms that ask one, each with its JSON schema."""

_ASIDE = ("control", "change", "principles")
"""Settings by which an arm of the proposer llm is known."""

STUDY_FILE = "study.yaml"
"""The file of a study as it lies in its folder, beside the journals."""

_NOT_IN_FILES = ("client", "conversation")  # objects, and what only a replay has
_APPROVAL = {
    "type": "object",
    "properties": {"above_dollars": {"type": "number", "minimum": 0}, "above_macs": _SEED},
    "minProperties": 1,
    "additionalProperties": False,
}
_AMOUNT = {"type": "number", "minimum": 0}
_LIMITS = {
    "type": "object",
    "properties": {
        "calls": _SEED,
        "tokens": _SEED,
        "dollars": _AMOUNT,
        "gpu_hours": _AMOUNT,
        "seconds": _AMOUNT,
        "reserve": {"enum": list(RESERVES)},
    },
    "minProperties": 1,
    "additionalProperties": False,
}


def load_study(name_or_path: str | Path, **overrides: Any) -> Study:
    """Return the study of a file, or a shipped one.

    Parameters
    ----------
    name_or_path
        A name of `study_names`, or the path of a YAML file.
    **overrides
        Replace what the file says, key by key: `load_study("optimisers", seeds=5, budget=20)`. A budget is then the
        most that any arm has, those with a budget of their own included.

    Raises
    ------
    UnknownName
        No such study.
    InvalidParameter
        Something that a study cannot be; the message names the line.
    """
    path = _find(name_or_path)
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"{path}: not UTF-8 text ({error.reason}); save the file as UTF-8") from None
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read as a study ({error.strerror})") from None
    located = read_yaml(text, str(name_or_path))
    located.override({key: value for key, value in overrides.items() if value is not None})
    named = located.data.get("benchmarks") if isinstance(located.data, dict) else None
    named = named if isinstance(named, list) else []
    located.check(_schema(name for name in named if isinstance(name, str) and is_folder(name)))
    if overrides.get("budget") is not None:
        _cap(located.data["arms"], located.data["budget"])
    return _study(located)


def study_text(name_or_path: str | Path) -> str:
    """Return the text of a study's file; raises UnknownName for no such study."""
    return read_text(_find(name_or_path))


def study_names() -> list[str]:
    """Return the names of the studies that are shipped."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def _folder() -> Path:
    return Path(__file__).parent.parent / "templates" / "studies"


def _find(name_or_path: str | Path) -> Path:
    path, name = Path(name_or_path), str(name_or_path)
    if path.is_file():
        return path
    if name in study_names():
        return _folder() / f"{name}.yaml"
    raise UnknownName.of("study file", name, study_names())


def _schema(folders: Iterable[str] = ()) -> dict[str, Any]:
    """Return the JSON schema of a study file, with the names that exist now and `folders` of benchmarks."""
    seeds = {"type": "array", "items": _SEED, "minItems": 1, "uniqueItems": True}
    most_seeds = {**_COUNT, "maximum": MOST_RUNS}
    counted = {
        "type": "object",
        "properties": {"from": _SEED, "count": most_seeds},
        "required": ["from", "count"],
        "additionalProperties": False,
    }
    named = {"enum": [*PROPOSERS, *CONTROLS, *CHANGES]}
    arm = {
        "type": "object",
        "properties": {
            "proposer": {"enum": list(PROPOSERS)},
            "control": {"enum": list(CONTROLS)},
            "change": {"enum": list(CHANGES)},
            "principles": {"enum": list(PRINCIPLES)},
            "name": _TEXT,
            "budget": _COUNT,
            "model": _TEXT,
            "prompt": _TEXT,
            **LANGUAGE_SETTINGS,
        },
        "anyOf": [{"required": [key]} for key in ("proposer", *_ASIDE)],
    }
    properties = {
        "name": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 100},
        "benchmarks": _several({"enum": [*table_names(), *folders]}),
        "arms": {
            "type": "array",
            "minItems": 1,
            "items": {"type": ["string", "object"], "if": {"type": "string"}, "then": named, "else": arm},
        },
        "budget": _COUNT,
        "seeds": {
            "type": ["integer", "array", "object"],
            "if": {"type": "integer"},
            "then": most_seeds,
            "else": {"if": {"type": "array"}, "then": seeds, "else": counted},
        },
        "first": _TEXT,
        "models": _several(_TEXT),
        "prompts": _several(_TEXT),
        "protocol": {"enum": list(PROTOCOLS)},
        "fed_run": _SEED,
        "source": {"enum": list(SOURCES)},
        "reference": _TEXT,
        "objectives": _several({"enum": list(OBJECTIVES)}),
        "limits": _LIMITS,
        "run_limits": _LIMITS,
        "approval": _APPROVAL,
        "allow_unpriced": {"type": "boolean"},
        "reuse": {"type": "boolean"},
        **LANGUAGE_SETTINGS,
    }
    required = ["name", "benchmarks", "arms", "budget", "seeds"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _several(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "uniqueItems": True}


def _study(located: Located) -> Study:
    data = located.data
    with located.at("params"):
        check_params(data.get("params"))
    lists = {key: tuple(data[key]) for key in ("models", "prompts") if key in data}
    plain = {key: data[key] for key in ("first", "protocol", "fed_run", "source", "reference") if key in data}
    given: dict[str, Any] = {**lists, **plain}
    tables = _own_tables(located)
    study = Study(
        name=data["name"],
        benchmarks=tuple(tables[name].name if name in tables else name for name in data["benchmarks"]),
        tables={table.name: table for table in tables.values()},
        arms=tuple(_arm(located, place) for place in range(len(data["arms"]))),
        budget=data["budget"],
        seeds=_seeds(data["seeds"]),
        language={key: data[key] for key in LANGUAGE_SETTINGS if data.get(key, {}) != {}},
        money=_money(data),
        approval=dict(data.get("approval", {})),
        objectives=tuple(data.get("objectives", ())),
        **given,
    )
    study = replace(study, agents=_agents(located, study))
    _check_names(located, study)
    _check_size(located, study)
    _check_objectives(located, study)
    _check_spaces(located, study)
    return study


def _own_tables(located: Located) -> dict[str, TabularBenchmark]:
    """Return the benchmarks that are folders of the user's, loaded, by what the file calls them."""
    data, found = located.data, dict[str, TabularBenchmark]()
    for place, name in enumerate(data["benchmarks"]):
        if own_folder(name) is not None:
            told = {"protocol": data.get("protocol", "paper"), "fed_run": data.get("fed_run", 0)}
            with located.at("benchmarks", place):
                found[name] = load_tabular(name, **told)  # it has no other `source`
            with located.at("objectives"):
                weighed = read_objectives(data.get("objectives", ()))
                found[name] = found[name] if weighed is None else found[name].weighing(weighed)
    if len({table.name for table in found.values()}) < len(found):
        raise located.error(("benchmarks",), "two folders have the same name in their space.yaml; change one")
    return found


def _agents(located: Located, study: Study) -> dict[str, Agent]:
    """Return the agents among the models, their files read and not imported."""
    named: dict[str, tuple[str | int, ...]] = {name: ("models", at) for at, name in enumerate(study.models)}
    named |= {str(arm.settings.get("model")): ("arms", at, "model") for at, arm in enumerate(study.arms)}
    found = {}
    for name, place in named.items():
        if is_agent(name):
            with located.at(*place):
                found[name] = file_agent(name)
    return found


def _money(data: dict[str, Any]) -> Money:
    limits, run_limits = (Limits(**data[key]) if key in data else None for key in ("limits", "run_limits"))
    return Money(limits, run_limits, bool(data.get("allow_unpriced")), bool(data.get("reuse")))


def _cap(arms: list[Any], budget: int) -> None:
    """Let no arm have a budget of its own above that of the study."""
    for arm in arms:
        if isinstance(arm, dict) and arm.get("budget", 0) > budget:
            del arm["budget"]


def _seeds(given: Any) -> tuple[int, ...]:
    if isinstance(given, dict):
        return tuple(range(given["from"], given["from"] + given["count"]))
    return tuple(range(given) if isinstance(given, int) else given)


def _arm(located: Located, place: int) -> Arm:
    """Return one arm: a name of a proposer or a control, or a mapping with the settings of its proposer."""
    given = located.data["arms"][place]
    given = _named(given) if isinstance(given, str) else dict(given)
    proposer, own, budget = given.pop("proposer", "llm"), given.pop("name", None), given.pop("budget", None)
    known = [name for name in proposer_settings(proposer) if name not in _NOT_IN_FILES]
    for name in given:
        if name not in known:
            raise located.error(
                ("arms", place, name),
                f"{proposer} has no setting {name!r}; it has {', '.join(known) or 'none'} (beside name and budget)",
            )
    told = [str(given[key]) if key != "principles" else f"principles {given[key]}" for key in _ASIDE if given.get(key)]
    shown = own or " ".join([*([proposer] if proposer != "llm" else []), *told])
    return Arm(shown or proposer, proposer, given, budget)


def _named(name: str) -> dict[str, Any]:
    """Return an arm that is given by its name: a proposer, a control or a change of the prompt."""
    return {"control" if name in CONTROLS else "change" if name in CHANGES else "proposer": name}


def _check_names(located: Located, study: Study) -> None:
    names = [arm.name for arm in study.arms]
    for place, name in enumerate(names):
        if name in names[:place]:
            line = located.line(("arms", names.index(name)))
            raise located.error(
                ("arms", place), f"an arm called {name!r} stands on line {line} already; give one of them another name"
            )
    if study.reference is not None and study.reference not in names:
        raise located.error(("reference",), f"no arm is called {study.reference!r}; the arms are {', '.join(names)}")


def _check_size(located: Located, study: Study) -> None:
    """Refuse a study of more runs or settings than anybody can run, before they are made."""
    asked = len(study.models) * len(study.prompts)
    settings = len(study.benchmarks) * sum(asked if arm.talks else 1 for arm in study.arms)
    if settings > MOST_SETTINGS or settings * len(study.seeds) > MOST_RUNS:
        raise located.error(
            ("arms",),
            f"the study has {settings:,} settings and {settings * len(study.seeds):,} runs; at most {MOST_SETTINGS:,} "
            f"and {MOST_RUNS:,} are taken: write several studies",
        )


def _check_objectives(located: Located, study: Study) -> None:
    """Refuse objectives that do not go together, a latency that a table does not tell, arms that need objectives."""
    with located.at("objectives"):
        objectives = read_objectives(study.objectives)
        if objectives is not None and "latency" in objectives.names:
            for benchmark in (name for name in study.benchmarks if name not in study.tables):
                check_latency(benchmark)
    for place, arm in enumerate(study.arms):
        if objectives is None and arm.proposer in WEIGHING:
            raise located.error(
                ("arms", place),
                f"{arm.proposer} weighs several objectives; add a line such as `objectives: [accuracy, macs]`",
            )


def _check_spaces(located: Located, study: Study) -> None:
    """Refuse what some benchmark of the study cannot do: a first architecture, a budget, an arm's setting, a prompt."""
    for benchmark in study.benchmarks:
        table = study.tables.get(benchmark)
        space = space_of(benchmark) if table is None else table.space
        _check_budgets(located, study, benchmark, space.size if table is None else table.count)
        with located.at("first"):
            first_architecture(study.first, space, 0)
        for place, prompt in enumerate(study.prompts if any(arm.talks for arm in study.arms) else ()):
            with located.at("prompts", place):
                load_prompt(prompt, space)
        for place, arm in enumerate(study.arms):
            with located.at("arms", place):
                for settings in study.variants(arm):
                    _check_arm(arm, settings, space, read_objectives(study.objectives))


def _check_arm(arm: Arm, settings: dict[str, Any], space: SearchSpace, objectives: Objectives | None) -> None:
    """Make what the arm would run; raises an error of this package where that cannot be."""
    made = make_proposer(arm.proposer, space, **settings)
    if arm.talks:
        load_prompt(
            made.settings["prompt"],
            space,
            history=made.settings["history"],
            control=made.settings.get("control"),
            change=made.settings.get("change"),
            objectives=objectives,
        )


def _check_budgets(located: Located, study: Study, benchmark: str, size: int) -> None:
    budgets = [(("budget",), study.budget), *((("arms", i), arm.budget) for i, arm in enumerate(study.arms))]
    for path, budget in budgets:
        if budget is not None and budget > size:
            raise located.error(path, f"budget is {budget:,}, but {benchmark} has only {size:,} architectures")


def keep_study_file(file: str | Path, folder: Path, overrides: Mapping[str, Any]) -> None:
    """Write a study's file into its folder as study.yaml, with what was said in its place as comments before it."""
    said = [f"# {key}: {json.dumps(value)}" for key, value in overrides.items() if value is not None]
    head = ["# run with these in place of what stands below:", *said] if said else []
    write_whole(folder / STUDY_FILE, "".join(f"{line}\n" for line in head) + study_text(file), private=True)
