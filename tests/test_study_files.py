"""Study files: what they may say, and where a mistake is pointed at."""

import pytest

from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.studies.file import load_study, study_names

GOOD = """\
name: small
benchmarks: [nas-bench-macro]
budget: 10
seeds: 3
arms:
  - llm
  - {proposer: gp, name: gp from the symmetric start, start: symmetric}
"""


@pytest.fixture
def write(tmp_path):
    """Write a study file and return its path."""

    def write_text(text):
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


def replaced(before, after):
    """Return the good file with one line replaced."""
    assert before in GOOD
    return GOOD.replace(before, after)


def test_a_study_file_is_read_as_it_says(write):
    """Names of proposers and controls, mappings with settings, and what is left out by default."""
    study = load_study(
        write(GOOD.replace("  - llm\n", "  - llm\n  - permuted-labels\n  - {proposer: gp, budget: 50}\n"))
    )
    assert [arm.name for arm in study.arms] == ["llm", "permuted-labels", "gp", "gp from the symmetric start"]
    assert [arm.proposer for arm in study.arms] == ["llm", "llm", "gp", "gp"]
    assert [arm.settings for arm in study.arms] == [{}, {"control": "permuted-labels"}, {}, {"start": "symmetric"}]
    assert study.arms[2].budget == 50
    assert (study.seeds, study.first, study.models, study.prompts) == ((0, 1, 2), "none", ("offline",), ("standard",))


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("2", (0, 1)), ("[7, 3]", (7, 3)), ("{from: 100, count: 3}", (100, 101, 102))],
)
def test_seeds_are_a_count_a_list_or_a_range(write, seeds, expected):
    """Three ways to say which seeds."""
    assert load_study(write(replaced("seeds: 3", f"seeds: {seeds}"))).seeds == expected


def test_overrides_replace_what_the_file_says(write):
    """Seeds, budget and models given beside the file; what is None leaves the file as it is."""
    study = load_study(write(GOOD), seeds={"from": 5, "count": 2}, budget=4, models=["a", "b"], benchmarks=None)
    assert (study.seeds, study.budget, study.models) == ((5, 6), 4, ("a", "b"))
    assert study.benchmarks == ("nas-bench-macro",)


@pytest.mark.parametrize("name", study_names())
def test_shipped_studies_load_by_name(name):
    """Every study that is shipped is sound."""
    assert name in study_names()
    assert load_study(name).name == name


def test_the_shipped_optimisers_are_the_study_that_was_promised():
    """Eight proposers, six tables, forty seeds; the two Gaussian processes have fifty evaluations."""
    study = load_study("optimisers")
    assert len(study.arms) == 8
    assert len(study.plan()) == 8 * 6 * 40
    assert {arm.name: arm.budget or study.budget for arm in study.arms if arm.name.startswith("gp")} == {
        "gp": 50,
        "gp-hamming": 50,
    }


def test_an_unknown_study_names_the_shipped_ones():
    """Neither a file nor a shipped name."""
    with pytest.raises(UnknownName, match=r"called 'does-it-serach' .*does-it-search, .*optimisers, "):
        load_study("does-it-serach")


BAD = {
    "unknown key": (replaced("budget: 10", "budgt: 10"), 3, ["'budgt'", "budget"]),
    "unknown benchmark": (replaced("[nas-bench-macro]", "[nas-bench-999]"), 2, ["'nas-bench-999'", "nas-bench-macro"]),
    "unknown arm": (replaced("- llm", "- lm"), 6, ["'lm'", "coordinate-descent", "permuted-labels"]),
    "unknown proposer": (replaced("proposer: gp", "proposer: pg"), 7, ["'pg'", "gp-hamming"]),
    "unknown control": (replaced("- llm", "- {control: no-feed}"), 6, ["'no-feed'", "no-feedback"]),
    "unknown setting": (replaced("start: symmetric", "begin: symmetric"), 7, ["gp", "'begin'", "initial, start"]),
    "bad setting": (replaced("start: symmetric", "start: middle"), 7, ["'middle'", "symmetric"]),
    "setting of another kind": (replaced("start: symmetric", "initial: five"), 7, ["line 7"]),
    "arm without proposer": (replaced("- llm", "- {name: a}"), 6, ["proposer or control"]),
    "unknown objective": (
        replaced("budget: 10", "budget: 10\nobjectives: [accuracy, flops]"),
        4,
        ["'flops'", "latency"],
    ),
    "objectives without accuracy": (
        replaced("budget: 10", "budget: 10\nobjectives: [macs, parameters]"),
        4,
        ["accuracy first"],
    ),
    "latency that the table does not tell": (
        replaced("budget: 10", "budget: 10\nobjectives: [accuracy, latency]"),
        4,
        ["nas-bench-macro records no latency", "nas-bench-201-cifar10"],
    ),
    "arm that needs objectives": (replaced("- llm", "- nsga2"), 6, ["objectives: [accuracy, macs]"]),
    "control that asks for accuracy alone": (
        replaced("budget: 10", "budget: 10\nobjectives: [accuracy, macs]").replace("- llm", "- knowledge-probe"),
        7,
        ["knowledge-probe", "leave it out"],
    ),
    "arm of the wrong type": (replaced("- llm", "- 7"), 6, ["7", "text or a mapping"]),
    "temperature of an arm that does not talk": (replaced("start: symmetric", "temperature: 1"), 7, ["'temperature'"]),
    "two arms of one name": (replaced("- llm", "- llm\n  - llm"), 7, ["'llm'", "line 6", "another name"]),
    "two arms of one name by default": (
        replaced("- llm", "- gp\n  - {proposer: gp, budget: 50}"),
        7,
        ["'gp'", "another name"],
    ),
    "key twice": (replaced("budget: 10", "budget: 10\nbudget: 20"), 4, ["'budget'", "line 3"]),
    "key twice inside": (replaced("start: symmetric", "start: prior, start: random"), 7, ["'start'", "once"]),
    "budget over the space": (replaced("budget: 10", "budget: 7000"), 3, ["7,000", "6,561"]),
    "budget of an arm over the space": (replaced("start: symmetric", "budget: 7000"), 7, ["7,000", "6,561"]),
    "budget zero": (replaced("budget: 10", "budget: 0"), 3, ["0", "at least 1"]),
    "budget as text": (replaced("budget: 10", "budget: ten"), 3, ["'ten'", "whole number"]),
    "no seeds": (replaced("seeds: 3", "seeds: []"), 4, ["at least one"]),
    "seed twice": (replaced("seeds: 3", "seeds: [1, 1]"), 4, ["once"]),
    "negative seed": (replaced("seeds: 3", "seeds: [1, -1]"), 4, ["-1", "at least 0"]),
    "half a range": (replaced("seeds: 3", "seeds: {from: 3}"), 4, ["count"]),
    "missing key": (replaced("budget: 10\n", ""), 1, ["lacks budget"]),
    "secret": (replaced("budget: 10", "budget: 10\napi_key: sk-123"), 4, ["'api_key'", "OPENAI_API_KEY"]),
    "secret in an arm": (replaced("start: symmetric", "token: abc"), 7, ["'token'", "OPENAI_API_KEY"]),
    "secret in an address": (
        replaced("budget: 10", "budget: 10\nbase_url: http://me:pw@host/v1"),  # pragma: allowlist secret
        4,
        ["base_url"],
    ),  # pragma: allowlist secret
    "object tag": (replaced("seeds: 3", "seeds: !!python/object/apply:os.getpid []"), 4, ["not plain YAML"]),
    "alias": (replaced("seeds: 3", "seeds: &a [1]\nprompts: *a"), 4, ["anchors and aliases"]),
    "no YAML": (replaced("seeds: 3", "seeds: [3"), 5, ["not plain YAML"]),
    "a second document": (GOOD + "---\nname: b\n", 8, ["not plain YAML"]),
    "number as a key": (replaced("seeds: 3", "3: seeds"), 4, ["'3'", "plain text"]),
    "first of another space": (replaced("seeds: 3", "seeds: 3\nfirst: '333133'"), 5, ["'333133'", "8 digits"]),
    "first as a number": (replaced("seeds: 3", "seeds: 3\nfirst: 22222222"), 5, ["22222222", "quotes"]),
    "unknown prompt": (replaced("seeds: 3", "seeds: 3\nprompts: [standrad]"), 5, ["standrad", "reasoned"]),
    "control that a history does not bear": (
        replaced("- llm", "- {control: shuffled-feedback, history: dialogue}"),
        6,
        ["shuffled-feedback", "table"],
    ),
    "unknown reference": (replaced("seeds: 3", "seeds: 3\nreference: random"), 5, ["'random'", "llm"]),
    "unknown protocol": (replaced("seeds: 3", "seeds: 3\nprotocol: test"), 5, ["'test'", "held-out"]),
    "name that is no folder": (replaced("name: small", "name: ../small"), 1, ["'../small'"]),
    "a list": ("- llm\n", 1, ["mapping"]),
    "nothing": ("", 1, ["mapping"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_pointed_at(write, case):
    """The message names the line, what is wrong and what may stand there."""
    text, line, words = BAD[case]
    with pytest.raises(InvalidParameter) as raised:
        load_study(write(text))
    assert f"study.yaml, line {line}: " in str(raised.value)
    for word in words:
        assert word in str(raised.value)


def test_a_mistake_beside_the_file_is_told_as_such(write):
    """An override is not on any line."""
    with pytest.raises(InvalidParameter, match="budget as given beside the file: budget is 7,000"):
        load_study(write(GOOD), budget=7000)


def test_deep_nesting_is_refused(write):
    """Text that would exhaust the reader is an error of this package."""
    with pytest.raises(InvalidParameter, match="not plain YAML"):
        load_study(write("a: " + "[" * 20_000))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    """A file that is not UTF-8."""
    path = tmp_path / "study.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(InvalidParameter, match="UTF-8"):
        load_study(path)


def test_no_key_is_a_secret_only_for_counting_tokens(write):
    """max_tokens is a setting, not a secret."""
    assert load_study(write(replaced("seeds: 3", "seeds: 3\nmax_tokens: 300"))).language == {"max_tokens": 300}


def test_a_budget_given_beside_the_file_caps_every_arm(write):
    """An arm with a larger budget of its own gets that of the study, one with a smaller keeps it."""
    study = load_study(
        write(
            GOOD.replace("  - llm\n", "  - llm\n  - {proposer: gp, budget: 50}\n  - {proposer: linear, budget: 3}\n")
        ),
        budget=8,
    )
    assert {task.arm: task.budget for task in study.plan() if task.arm in ("llm", "gp", "linear")} == {
        "llm": 8,
        "gp": 8,
        "linear": 3,
    }
