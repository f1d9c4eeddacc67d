"""Runs as Optuna studies."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.journal import Event, Run
from genius_kit.proposers.tpe import load_optuna, parameters_of, params_of
from genius_kit.spaces import SearchSpace, recorded_space

if TYPE_CHECKING:
    import optuna


def to_optuna(run: Run, storage: str | Any, name: str | None = None) -> optuna.Study:
    """Write a run into an Optuna storage as a study of its own and return the study.

    Evaluations are complete trials, valued by their feedback in percent; evaluations that failed and replies that were
    refused are failed trials, with the reason among their attributes, in the order in which they came.

    Parameters
    ----------
    run
        The run to write (`read_run`).
    storage
        An address such as "sqlite:///runs.db", or a storage object.
    name
        Name of the study; default the journal's file name.

    Raises
    ------
    InvalidParameter
        A run that has not begun, or a name that the storage has already.
    """
    library = load_optuna()
    if not run.settings:
        raise InvalidParameter("this run holds no run_started event; there is nothing to export")
    name = name or (Path(run.path).stem if run.path is not None else "genius_kit run")
    try:
        study = library.create_study(storage=storage, study_name=name, direction="maximize")
    except library.exceptions.DuplicatedStudyError as error:
        raise InvalidParameter(f"the storage already has a study {name!r}: give another name, or delete it") from error
    study.set_user_attr("run", run.settings)
    space = recorded_space(run.settings)
    for trial in _trials(run, space):
        study.add_trial(trial)
    return study


def _trials(run: Run, space: SearchSpace) -> list[optuna.trial.FrozenTrial]:
    kept: list[optuna.trial.FrozenTrial] = []
    origins = {event["iteration"]: event["origin"] for event in run.of("proposal")}
    reply: Event = {}
    previous = run.events[0]
    for event in run.events:
        if event["event"] == "call":
            reply = event
        elif event["event"] == "rejected":
            told = {"reason": event["reason"], "detail": event["detail"], "reply": reply.get("text")}
            kept.append(_trial(space, previous, event, event["architecture"], None, told))
            previous = event
        elif event["event"] == "evaluation":
            told = {key: event[key] for key in ("validation_accuracy", "test_accuracy", "rank", "source")}
            told |= {"origin": origins[event["iteration"]], "failure": event.get("failure")}
            kept.append(_trial(space, previous, event, event["architecture"], event["feedback"], told))
            previous = event
    return kept


def _trial(
    space: SearchSpace,
    begun: Event,
    ended: Event,
    architecture: list[int] | None,
    value: float | None,
    told: dict[str, Any],
) -> optuna.trial.FrozenTrial:
    """Return one frozen trial that lasted from one event to the next; failed where there is no value."""
    from optuna.trial import FrozenTrial, TrialState

    design = None if architecture is None else tuple(architecture)
    attributes = {"iteration": ended["iteration"], **told}
    if design is not None:
        attributes["architecture"] = space.encode(design)
    return FrozenTrial(
        number=-1,  # the storage numbers it
        trial_id=-1,
        state=TrialState.COMPLETE if value is not None else TrialState.FAIL,
        value=value,
        values=None,
        datetime_start=_local_time(begun["time"]),
        datetime_complete=_local_time(ended["time"]),
        params={} if design is None else dict(params_of(space, design)),
        distributions={} if design is None else parameters_of(space),
        user_attrs={key: value for key, value in attributes.items() if value is not None},
        system_attrs={},
        intermediate_values={},
    )


def _local_time(stamp: str) -> datetime:
    """Return a journal's time in the local zone without its name, as Optuna keeps times."""
    return datetime.fromisoformat(stamp).astimezone().replace(tzinfo=None)
