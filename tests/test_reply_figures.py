"""What models replied, what it took, and where options stood: counted from journals."""

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter
from genius_kit.llm import Reply, Usage
from tests.doubles import QueueClient, ToyBenchmark, reply


def talk(*answers, budget=3, seed=0):
    """Run a search whose model gives these answers."""
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=QueueClient(*answers))
    return gk.search(ToyBenchmark(), proposer, budget, seed, progress=False)


@pytest.fixture(scope="module")
def spoken():
    """A run with one reply of every kind but an over-large one."""
    return talk(
        "Architecture: 22222222",
        "Architecture: 22222222",  # a duplicate
        "no design at all",
        "Architecture: 22222221",  # after two refusals
        "No improvement possible.",
    )


def test_every_reply_comes_to_one_outcome(spoken):
    """Valid, duplicate, rejected, repaired; the counts are those of the replies."""
    table = figures.reply_table({"m": [spoken]})
    assert len(table) == len(spoken.of("call"))
    assert table["outcome"].tolist()[:4] == ["valid", "duplicate", "rejected", "repaired"]
    assert table["iteration"].tolist()[:4] == [1, 2, 2, 2]


def test_the_published_conversation_is_counted_as_known(published):
    """16 of 26 replies of the first conversation were over the bound."""
    run = gk.replay_conversation(published / "chat_history" / "329M.json")
    counts = figures.reply_table({"GPT-4": [run]})["outcome"].value_counts()
    assert counts.to_dict() == {"over the bound": 16, "repaired": 8, "valid": 2}


def test_the_bar_of_a_method_is_its_replies(spoken):
    """n in the label; shares add up to 100."""
    figure = figures.reply_outcomes({"a model": [spoken], "another": [spoken, spoken]})
    axes = figure.axes[0]
    calls = len(spoken.of("call"))
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"a model (n = {calls} replies)", f"another (n = {2 * calls} replies)"]
    assert sum(patch.get_width() for patch in axes.patches) == pytest.approx(200)


def test_runs_that_ask_no_model_have_no_replies():
    """An error, not an empty picture."""
    runs = {"random": gk.search_many(ToyBenchmark(), "random", [0], 2, progress=False)}
    with pytest.raises(InvalidParameter, match="no run asked a model"):
        figures.reply_outcomes(runs)
    with pytest.raises(InvalidParameter, match="no run asked a model"):
        figures.spending(runs)


def test_each_token_is_counted_once():
    """Cached input is a part of the input, reasoning of the output; an unknown price stays unknown."""
    answer = Reply("Architecture: 22222222", "queue-1", "stop", Usage(100, 60, 30, 20), 0.1)
    table = figures.spending_table({"m": [talk(answer, budget=1)]})
    kinds = ["fresh_input", "cached_input", "visible_output", "reasoning"]
    assert table[kinds].to_numpy().tolist() == [[40, 60, 10, 20]]
    assert table["cost"].isna().all()
    tokens, money = figures.spending({"m": [talk(answer, budget=1)]}).axes
    assert sum(patch.get_width() for patch in tokens.patches) == pytest.approx(0.13)
    assert any("no price is known" in text.get_text() for text in money.texts)


def test_a_run_whose_server_told_no_tokens_is_said_to_be_unknown():
    """Beside one that told them, on its own row."""
    known = talk(reply("Architecture: 22222222"), budget=1)
    unknown = talk(Reply("Architecture: 22222222", "q", "stop", Usage(None, None, None, None), 0.1), budget=1)
    assert figures.spending_table({"m": [known, unknown]})["fresh_input"].isna().tolist() == [False, True]
    tokens = figures.spending({"m": [known, unknown]}).axes[0]
    assert [text.get_text() for text in tokens.texts] == ["not told by the server"]


def test_shares_of_options_add_up_at_every_position():
    """One row per option, 100 percent per position and iteration; n counts the runs."""
    runs = gk.search_many(ToyBenchmark(), "random", range(4), 3, progress=False)
    table = figures.operation_table(runs)
    assert len(table) == 3 * 8 * 3
    assert np.allclose(table.groupby(["iteration", "position"])["share"].sum(), 100)
    assert set(table["runs"]) == {4}
    figure = figures.operation_frequencies(runs, "random")
    assert [axes.get_title() for axes in figure.axes[:2]] == ["layer 2", "layer 3"]
    assert "n = 4 runs" in figure.get_suptitle()


def test_options_of_several_spaces_are_not_mixed():
    """A position means another thing in another space."""
    cell = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
    runs = [
        *gk.search_many(ToyBenchmark(), "random", [0], 1, progress=False),
        *gk.search_many(cell, "random", [0], 1, progress=False),
    ]
    with pytest.raises(InvalidParameter, match="runs of one space"):
        figures.operation_table(runs)


def results():
    """Searches with two prompts, as `studies.results` gives them."""
    rows = [
        {
            "benchmark": "nas-bench-macro", "model": "m", "arm": "llm", "budget": 10, "seed": seed, "prompt": prompt,
            "rank": 10.0 * (seed + 1) * factor, "reason": "budget",
        }
        for prompt, factor in (("standard", 1.0), ("brief", 0.5))
        for seed in range(6)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_prompts_are_compared_seed_by_seed():
    """Each pair is a dot; a search without its partner is left out."""
    frame = results().iloc[:-1]  # the last search of "brief" is missing
    pairs = figures.prompt_pairs(frame)
    assert pairs["ratio"].tolist() == [0.5] * 5
    axes = figures.prompt_comparison(frame).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["brief (n = 5)"]
    assert len(np.asarray(axes.collections[0].get_offsets())) == 5
    assert any(text.get_text() == "p = 0.062" for text in axes.texts)


def test_a_prompt_alone_is_no_comparison():
    """The error names the prompts that are there."""
    with pytest.raises(InvalidParameter, match="the prompts here are standard"):
        figures.prompt_pairs(results().iloc[:6])
