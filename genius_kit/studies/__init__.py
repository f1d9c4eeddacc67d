"""Studies: many runs - arms x models x prompts x benchmarks x seeds - on any executor, and their results."""

from genius_kit.studies.models import model_table
from genius_kit.studies.run import (
    Arm,
    Study,
    Task,
    curves,
    load_study,
    places,
    results,
    run_study,
    study_names,
    summary,
)
from genius_kit.studies.tradeoffs import share_curves

__all__ = [
    "Arm",
    "Study",
    "Task",
    "curves",
    "load_study",
    "model_table",
    "places",
    "results",
    "run_study",
    "share_curves",
    "study_names",
    "summary",
]
