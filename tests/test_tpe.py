"""Optuna's sampler as a proposer, and a run as an Optuna study."""

import optuna
import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.tpe import architecture_of, params_of
from genius_kit.studies.export import to_optuna
from tests.doubles import QueueClient, ToyBenchmark
from tests.test_bayesian import FailingToy


def test_parameters_and_architectures_translate_both_ways():
    """Each position is a parameter named like it."""
    space = gk.load_space("nas-bench-201")
    design = (0, 1, 2, 3, 4, 3)
    assert params_of(space, design)["edge 1-2"] == 2
    assert architecture_of(space, params_of(space, design)) == design


def test_the_installed_version_is_on_record():
    """The settings are the library's defaults, so its version says which."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("tpe", ToyBenchmark().space), 3, progress=False)
    assert run.settings["resolved"] == {"optuna": optuna.__version__}


def test_it_learns_and_repeats_nothing():
    """On a sum it gets better than its random start; no architecture comes twice; a seed gives the same run."""
    runs = [gk.search(ToyBenchmark(), gk.make_proposer("tpe", ToyBenchmark().space), 60, progress=False) for _ in "ab"]
    frame = runs[0].frame()
    assert len(set(frame["key"])) == 60
    assert frame["feedback"][30:].mean() > frame["feedback"][:10].mean() + 2
    assert list(frame["key"]) == list(runs[1].frame()["key"])


def design(key):
    return "Architecture: [" + ", ".join(key) + "]"


def test_a_run_opens_as_an_optuna_study(tmp_path):
    """Evaluations are complete trials and refused replies failed ones, in order, with reasons and the raw reply."""
    space = ToyBenchmark().space
    client = QueueClient(design("22222222"), "no idea", design("22222222"), design("11111111"))
    run = gk.search(ToyBenchmark(), gk.make_proposer("llm", space, client=client), 2, journal=tmp_path / "a.jsonl")
    storage = f"sqlite:///{tmp_path}/runs.db"
    to_optuna(run, storage)
    study = optuna.load_study(study_name="a", storage=storage)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert study.best_value == 66.0
    assert study.best_trial.user_attrs["architecture"] == "22222222"
    assert study.trials[1].user_attrs["reason"] == "no design"
    assert study.trials[1].user_attrs["reply"] == "no idea"
    assert study.trials[2].params == study.trials[0].params  # the duplicate, by its architecture
    assert study.user_attrs["run"]["budget"] == 2
    assert all(trial.datetime_start <= trial.datetime_complete for trial in study.trials)


def test_an_evaluation_that_failed_is_a_failed_trial():
    """It keeps its architecture and the reason."""
    run = gk.search(FailingToy(), gk.make_proposer("random", ToyBenchmark().space), 8, progress=False)
    study = to_optuna(run, optuna.storages.InMemoryStorage())
    failed = [trial for trial in study.trials if trial.state.name == "FAIL"]
    assert len(failed) == run.frame()["feedback"].isna().sum() > 0
    assert all(trial.user_attrs["failure"] == "diverged: at step 3" and trial.params for trial in failed)


def test_a_name_that_is_taken_is_refused():
    """Nothing is overwritten."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("prior", ToyBenchmark().space), 1, progress=False)
    storage = optuna.storages.InMemoryStorage()
    to_optuna(run, storage, name="b")
    with pytest.raises(InvalidParameter, match="already has a study 'b'"):
        to_optuna(run, storage, name="b")
