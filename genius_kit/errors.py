"""Every error this package raises on purpose: one base class, one class per cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any


class GeniusKitError(Exception):
    """Base class: its message says what is wrong and what to do next."""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the known name that is most like `name`, "" where none is like it."""
    found = get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


class UnknownName(GeniusKitError):
    """A benchmark, space, proposer, prompt or notebook that does not exist."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], more: str = "") -> UnknownName:
        """Return the error for something that is not called that, with the known names.

        Parameters
        ----------
        kind
            What was looked for, such as "benchmark".
        name
            The name that is not known.
        known
            The known names.
        more
            Added to the end of the message.
        """
        names = list(known)
        return cls(f"no {kind} is called {name!r}{nearest(name, names)}; the known ones are {', '.join(names)}{more}")


class InvalidArchitecture(GeniusKitError):
    """An architecture of the wrong length, alphabet or form for its space."""


class InvalidParameter(GeniusKitError):
    """A setting or notebook parameter that is misspelt, out of range, or looks like a secret."""


class DataMissing(GeniusKitError):
    """A data file that is not on this machine; the message names both ways to get it."""


class ExtraMissing(GeniusKitError):
    """An optional package that is not installed; the message is the command that installs its extra."""


class DataCorrupt(GeniusKitError):
    """A data file whose SHA-256 or content is not the published one."""


class PromptError(GeniusKitError):
    """A prompt template with missing or unknown placeholders."""


class JournalError(GeniusKitError):
    """A journal that is damaged, locked by another process, or was written with other settings."""


class ReplayMismatch(GeniusKitError):
    """A replay was asked for something other than what was recorded."""


class NotebookFailed(GeniusKitError):
    """A notebook raised while it was executed headlessly."""


class ModelError(GeniusKitError):
    """One attempt to call a language model failed.

    Parameters
    ----------
    message
        What happened, and what to do.
    cause
        A short stable word for the journal.
    retryable
        Whether the same request may succeed later.
    retry_after
        Seconds to wait that the server asked for, if it did.
    parameter
        What the server refused of the request, if that was the cause.
    may_be_billed
        Whether the server may charge for the attempt; None where the cause alone says it.
    instead
        What takes the place of `parameter`, if anything does.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str,
        retryable: bool = False,
        retry_after: float | None = None,
        parameter: str | None = None,
        may_be_billed: bool | None = None,
        instead: str | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.retryable = retryable
        self.retry_after = retry_after
        self.parameter = parameter
        self.may_be_billed = may_be_billed
        self.instead = instead


class BudgetSpent(GeniusKitError):
    """A request or an evaluation that does not fit a limit; it was not made, and the run resumes from there.

    Parameters
    ----------
    message
        What was left, and what to do.
    limit
        Name of the limit ("dollars", "seconds" ...).
    whose
        Whether it is that of the "run" or the "study".
    """

    def __init__(self, message: str, *, limit: str, whose: str) -> None:
        super().__init__(message)
        self.limit = limit
        self.whose = whose

    def __reduce__(self) -> tuple[Callable[..., BudgetSpent], tuple[str, str, str]]:
        return _budget_spent, (str(self), self.limit, self.whose)


def _budget_spent(message: str, limit: str, whose: str) -> BudgetSpent:
    return BudgetSpent(message, limit=limit, whose=whose)


class TrainingFailed(GeniusKitError):
    """A training gave no result, for a reason that lies in what was trained; the message says what to try.

    Parameters
    ----------
    message
        What happened, and what to try.
    cause
        A short stable phrase for the record: "out of memory", "diverged", "time limit" or "process died".
    """

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause

    def __reduce__(self) -> tuple[Callable[..., TrainingFailed], tuple[str, str]]:
        return _training_failed, (str(self), self.cause)


def _training_failed(message: str, cause: str) -> TrainingFailed:
    return TrainingFailed(message, cause=cause)


class WorkerDied(GeniusKitError):
    """A job whose process was killed, and again when it ran alone; what it has on disk is safe."""


class CheckpointError(GeniusKitError):
    """A checkpoint or training folder that is damaged, in use, or belongs to another run."""


class AgentFailed(GeniusKitError):
    """An agent of the user's own that raised an error, or answered with something that is no reply."""


class WriteFailed(GeniusKitError):
    """A file that the disk refused: full, read-only, failing; what was there before still is."""


class VersionMismatch(GeniusKitError):
    """A run was planned by another version of the kit than the one that is to run it."""


class StudyFailed(GeniusKitError):
    """Some runs of a study failed while the others went on; the message says which, and why.

    Parameters
    ----------
    message
        Which runs failed, and why.
    only_model
        Whether every failure is a model that could not be reached.
    only_limits
        Whether each of the runs reached a limit of what it may spend.
    reasons
        Why each failed, by its place in the plan.
    """

    def __init__(
        self,
        message: str,
        *,
        only_model: bool = False,
        only_limits: bool = False,
        reasons: dict[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.only_model = only_model
        self.only_limits = only_limits
        self.reasons = reasons or {}

    def __reduce__(self) -> tuple[Callable[..., StudyFailed], tuple[str, bool, bool, dict[int, str]]]:
        return _study_failed, (str(self), self.only_model, self.only_limits, self.reasons)


def _study_failed(message: str, only_model: bool, only_limits: bool, reasons: dict[int, str]) -> StudyFailed:
    return StudyFailed(message, only_model=only_model, only_limits=only_limits, reasons=reasons)


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return `value` as an int; raises InvalidParameter, which names the setting, for anything else."""
    is_integer = hasattr(value, "__index__") and not isinstance(value, bool)
    if not is_integer or value < least or (most is not None and value > most):
        bounds = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        raise InvalidParameter(f"{name} must be an integer {bounds}, got {value!r}")
    return int(value)
