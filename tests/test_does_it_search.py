"""Any agent judged in one call: `gk.does_it_search`.

GENIUS_KIT_CLIENTS=1 judges each of the six scripted clients of `tests/clients` at the shipped size.
"""

import importlib
import os
import random
import re
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import genius_kit as gk
from genius_kit.chat import Reply
from genius_kit.errors import InvalidParameter, ModelError, StudyFailed, UnknownName
from genius_kit.journal import read_run
from genius_kit.verdicts import NOT_ENOUGH, RECITES, SEARCHES, each_verdict, verdict
from tests.natures import Recites, best_designs, made_table, run_arms, table_of

TABLE = made_table(3)
THREE = ("llm", "shuffled-feedback", "permuted-labels")
RESULT = re.compile(r"^\d+\. \[([\d, ]+)\] -> (\d+\.\d+)$", re.M)


def climber(key, options=4):
    """Make a function of messages that changes one position of the best architecture shown."""
    draws = random.Random(key)

    def answer(messages):
        shown = RESULT.findall("\n".join(one["content"] for one in messages))
        best = max(shown, key=lambda result: float(result[1]))[0].split(", ")
        best[draws.randrange(len(best))] = str(draws.randrange(options))
        return f"Architecture: [{', '.join(best)}]"

    return answer


def reciter(key):
    """Make a chat client that knows the table by heart."""
    return Recites(best_designs(TABLE, 30))


def judge(make, benchmark=TABLE, **given):
    """Return the verdict on an agent, from few small searches unless more is said."""
    return gk.does_it_search(make, benchmark, **{"seeds": 8, "budget": 6, "arms": THREE, "progress": False, **given})


@pytest.mark.parametrize(
    ("make", "name", "right", "size"),
    [
        (climber, "climber", SEARCHES, {"seeds": 12, "budget": 8}),
        (reciter, "recites", RECITES, {"seeds": 30, "budget": 10}),
    ],
)
def test_each_nature_gets_its_verdict(make, name, right, size):
    """A function of messages that climbs, and a chat client that recites; each is called what it calls itself."""
    found = judge(make, **size)
    assert found.kind == right, found.sentence
    assert found.sentence.startswith(f"{name} {right} on Made table made")


def test_the_verdict_is_that_of_the_study():
    """The same searches, run one by one, come to the same sentence: nothing is judged in another way."""
    searches = run_arms(lambda seed: reciter(""), TABLE, THREE, seeds=10, budget=6)
    ours = judge(reciter, seeds=10)
    theirs = verdict(searches, benchmark=TABLE)
    assert (ours.sentence, ours.kind) == (theirs.sentence, theirs.kind)
    assert ours.evidence.drop(columns=["model"]).equals(theirs.evidence.drop(columns=["model"]))


def test_each_search_has_a_key_of_its_own_and_the_same_one_again():
    """Keys differ between arms and seeds, and do not change from call to call."""
    asked = []

    def make(key):
        asked.append(key)
        return climber(key)

    first, second = judge(make, seeds=[3, 5]), judge(make, seeds=[3, 5])
    assert set(Counter(asked).values()) == {2}
    assert len(set(asked)) == 6
    assert first.sentence == second.sentence


def test_more_seeds_go_on_in_a_folder(tmp_path):
    """Nothing is asked twice, the verdict is that of all seeds at once, and the folder reads as a study's."""
    asked = Counter()

    def make(key):
        answer = climber(key)

        def counted(messages):
            asked[key] += 1
            return answer(messages)

        return counted

    judge(make, seeds=3, folder=tmp_path)
    before = dict(asked)
    grown = judge(make, seeds=8, folder=str(tmp_path))
    assert before.items() <= asked.items()
    assert len(asked) == 8 * len(THREE)
    assert grown.sentence == judge(make).sentence
    results = gk.read_results(tmp_path / "does-it-search")
    assert results["arm"].value_counts().to_dict() == dict.fromkeys(THREE, 8)
    assert set(results["model"]) == {"agent:make"}
    assert set(results["model_kind"]) == {"agent"}


def test_the_folder_of_a_known_table_is_read_by_everything(no_data, tmp_path):
    """By the name of a table: results, verdicts, summary and figures come from the journals."""
    found = gk.does_it_search(lambda key: climber(key, 5), "nas-bench-201-cifar10", seeds=8, budget=4, name="mine",
                              arms=THREE, folder=tmp_path, progress=False)  # fmt: skip
    results = gk.read_results(tmp_path)
    (again,) = each_verdict(results)
    assert (again.kind, again.uses_results, again.needs_names) == (found.kind, found.uses_results, found.needs_names)
    assert again.sentence.startswith("mine ")
    from genius_kit import figures
    from genius_kit.studies import run as studies

    assert set(studies.summary(results)["n"]) == {8}
    assert "mine" in figures.study_conclusion({"agent:mine": results}, "Does it search?").headline


def test_the_arms_are_those_of_the_shipped_study():
    """By default every arm that asks the model, 40 seeds and 10 evaluations."""
    study = gk.load_study("does-it-search")
    found = gk.does_it_search(climber, TABLE, seeds=2, budget=4, progress=False)
    asked = [arm.name for arm in study.arms if arm.proposer == "llm"]
    assert set(found.evidence["kind"]) >= {*asked} - {"llm"}
    assert (len(study.seeds), study.budget, study.first) == (40, 10, "random")


def quizzed(key, knows=False):
    """Make a climber that answers questions on accuracies too: what is shown, else the right letter or always A."""
    search = climber(key)

    def answer(messages):
        said = messages[-1]["content"]
        if "A: " not in said:
            return search(messages)
        letters = dict(re.findall(r"^([A-F]): (.*)$", said, re.M))
        named = re.search(r"for the architecture (.*)\?$", said, re.M)[1]
        shown = re.search(rf"^{re.escape(named)} -> (.*)$", said, re.M)
        true = f"{TABLE.evaluate(TABLE.space.decode(named)).feedback:.2f}"
        wanted = true if knows else shown[1] if shown else letters["A"]
        return f"Answer: {next(letter for letter, value in letters.items() if value == wanted)}"

    return answer


@pytest.mark.parametrize(("knows", "right"), [(True, "knows this table"), (False, "no sign of memory")])
def test_questions_on_the_table_stand_beside_the_verdict(tmp_path, knows, right):
    """They decide no kind, are asked once, and their journal is no search."""
    asked = []

    def make(key):
        asked.append(key)
        return quizzed(key, knows)

    before = judge(make)
    assert before.knows_table is None
    found = judge(make, questions=64, folder=tmp_path)
    assert (found.kind, found.knows_table) == (before.kind, right)
    assert found.sentence.startswith(before.sentence + " make ")
    assert "e-value" in found.sentence
    assert asked.count("memory of made") == 1
    assert judge(make, questions=64, folder=tmp_path).sentence == found.sentence
    assert len(gk.read_results(tmp_path)) == 8 * len(THREE)
    journals = [read_run(path) for path in (tmp_path / "does-it-search").glob("*.jsonl")]
    (quiz,) = [run for run in journals if run.of("question")]
    assert (quiz.reason, len(quiz.of("call"))) == (("found", 4) if knows else ("budget", 64))


def test_limits_hold_for_questions_and_searches_together(tmp_path):
    """A question that does not fit is not asked and no search is made; the sentence says how to go on."""
    with pytest.raises(StudyFailed, match=r"the questions on made failed: .*calls.*the same call with folder="):
        judge(quizzed, questions=64, folder=tmp_path, limits=gk.Limits(calls=5))
    assert [len(read_run(path).of("call")) for path in tmp_path.rglob("*.jsonl")] == [5]
    with pytest.raises(StudyFailed, match="limit"):
        judge(quizzed, questions=64, folder=tmp_path, limits=gk.Limits(calls=70))
    assert sum(len(read_run(path).of("call")) for path in tmp_path.rglob("*.jsonl")) == 70


UNUSABLE = (InvalidParameter, UnknownName)
BAD = {
    "no list of arms": ({"arms": "llm"}, "list of names, llm, shuffled-feedback"),
    "an arm with settings": ({"arms": [*THREE, {"control": "anonymous", "budget": 3}]}, "all at the one budget"),
    "no reference arm": ({"arms": THREE[1:]}, "nothing is changed is missing; add llm"),
    "no control of feedback": ({"arms": ("llm", "anonymous")}, "add shuffled-feedback or no-feedback"),
    "no control of labels": ({"arms": THREE[:2]}, "add permuted-labels or anonymous"),
    "an arm twice": ({"arms": (*THREE, "llm")}, "twice"),
    "two controls of feedback": ({"arms": (*THREE, "no-feedback")}, "keep shuffled-feedback"),
    "an arm that asks no model": ({"arms": (*THREE, "random")}, "'random' does not ask the model"),
    "an arm that does not count": ({"arms": (*THREE, "relabelled-scores")}, "does not enter this verdict"),
    "an arm that nobody knows": ({"arms": (*THREE, "shuffled")}, "'shuffled' is not known"),
    "questions that are no number": ({"questions": "many"}, "questions must be how many, such as 64"),
    "more questions than the table has": ({"questions": 9_999}, "got 9999"),
    "no seeds": ({"seeds": 0}, "at least 1"),
    "negative seeds": ({"seeds": -3}, "at least 1"),
    "an empty list of seeds": ({"seeds": []}, "one or more whole numbers"),
    "a negative seed": ({"seeds": [1, -1]}, "from 0"),
    "half a seed": ({"seeds": [0.5]}, "whole numbers"),
    "seeds that are text": ({"seeds": "40"}, "a number of searches"),
    "yes or no": ({"seeds": True}, "a number of searches"),
    "repeated seeds": ({"seeds": [4, 4]}, "seed 4 stands in seeds twice"),
    "several budgets": ({"budget": [10, 20]}, "the same for every arm"),
    "a budget that leaves no dealing": ({"budget": 3}, "must be at least 4"),
    "a budget above the table": ({"budget": 10_000}, "only 4,096 architectures"),
    "a name that nobody knows": ({"benchmark": "nas-bench-102"}, "nas-bench-201-cifar10"),
    "no table": ({"benchmark": "proxy"}, "no table"),
    "something else": ({"benchmark": 3}, "no table"),
    "no client": ({"make_client": "gpt-4.1"}, "must be a function that makes a client"),
    "a client itself": ({"make_client": Recites([(0,)])}, "lambda key: client"),
    "a maker of nothing": ({"make_client": lambda key: None}, "returned None; it must return a chat client"),
    "a maker of a class": ({"make_client": lambda key: Recites}, "must return a chat client or a function"),
    "half a client": ({"make_client": lambda key: Half()}, "without kind, settings, without"),
    "settings that are none": ({"make_client": lambda key: Odd([(0,)])}, "settings() of what make_client"),
}


class Half:
    model = "half"

    def send(self, messages, seed=None):
        raise NotImplementedError


class Odd(Recites):
    def settings(self):
        return {"kind": object()}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_sentence_before_anything_is_asked(no_data, name, tmp_path):
    """It says what is wrong, and what would do."""

    def never(key):
        return lambda messages: pytest.fail("it was asked")

    given, told = BAD[name]
    with pytest.raises(UNUSABLE, match=re.escape(told)) as raised:
        judge(**{"make": never, **{{"make_client": "make"}.get(key, key): value for key, value in given.items()}})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("options", [1, 2])
def test_a_table_with_too_few_numberings_is_refused(options):
    """One option cannot be renumbered, and two only in one way."""
    from dataclasses import replace

    space = TABLE.space
    choices = tuple(one[:options] for one in space.choices)
    few = replace(space, options=space.options[:options], choices=choices, largest=options - 1)
    table = table_of(few, np.linspace(50, 60, few.size), "few")
    with pytest.raises(InvalidParameter, match=f"few has {options} option.* needs 3 or more"):
        judge(climber, table)


FAILING = {
    "raises": (lambda messages: 1 / 0, "ZeroDivisionError: division by zero"),
    "ends the program": (lambda messages: sys.exit(3), "SystemExit: 3"),
    "returns nothing": (lambda messages: None, "must answer with text, or with a Reply"),
    "returns a number": (lambda messages: 3, "got 3"),
    "returns a broken reply": (lambda messages: Reply(7, "m", "stop"), "got Reply(text=7"),
}


@pytest.mark.parametrize("name", FAILING)
def test_an_agent_that_fails_ends_in_one_sentence(name):
    """It names the arm and the key of the first search that failed, and how many did."""
    answer, told = FAILING[name]
    with pytest.raises(StudyFailed, match=re.escape(told)) as raised:
        judge(lambda key: answer)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert "the arm llm with the key 'llm on made, standard, seed 0'" in sentence
    assert "23 other searches failed too" in sentence
    assert "no reply was given" in sentence


def test_what_was_answered_before_a_failure_is_not_lost():
    """One search fails on its third reply: the sentence says where the rest is, and the same call there goes on."""
    asked = []

    def make(key):
        answer = climber(key)

        def tired(messages):
            asked.append(key)
            if key.startswith("permuted") and key.endswith("seed 1") and broken and asked.count(key) == 3:
                raise OSError("the model is out")
            return answer(messages)

        return tired

    broken = True
    with pytest.raises(StudyFailed, match=r"arm permuted-labels .*OSError: the model is out") as raised:
        judge(make)
    folder = re.search(r"folder='([^']+)'", str(raised.value))[1]
    broken, before = False, len(asked)
    judge(make, folder=folder)
    assert 0 < len(asked) - before < 12
    assert {*asked[before:]} == {"permuted-labels on made, standard, seed 1"}


def test_a_model_that_cannot_be_reached_is_told_as_such():
    """A chat client may raise ModelError: it is retried where that may help, and named otherwise."""

    class Away(Recites):
        def send(self, messages, seed=None):
            raise ModelError("nobody listens", cause="not-found", retryable=False)

    with pytest.raises(StudyFailed, match=r"arm llm .* nobody listens") as raised:
        judge(lambda key: Away([(0,)]))
    assert raised.value.only_model


def test_other_code_another_budget_and_another_table_do_not_go_on(tmp_path):
    """What would mix two things in one verdict is refused by what it is, and nothing is asked."""
    judge(climber, folder=tmp_path, seeds=1, name="mine")

    def other(key):
        return climber(key)

    for changed, told in (
        ({"make": other}, "are of mine with other code"),
        ({"make": partial(climber, options=3)}, "are of mine with other code"),
        ({"budget": 5}, "have a budget of 6, not 5"),
        ({"benchmark": made_table(4)}, "are of another table called made"),
    ):
        with pytest.raises(InvalidParameter, match=told):
            judge(**{"make": climber, "folder": tmp_path, "seeds": 2, "name": "mine", **changed})
    assert len(list(tmp_path.rglob("*.jsonl"))) == len(THREE)


def test_a_journal_says_who_answered(tmp_path):
    """The model is the agent; its client's settings, the key and the sum of its code decide the run."""
    judge(reciter, folder=tmp_path, seeds=1)
    run = read_run(next(path for path in tmp_path.rglob("*.jsonl")))
    assert run.settings["settings"]["model"] == "agent:recites"
    resolved = run.settings["resolved"]
    assert resolved["client"] == "recites, not a language model"
    assert resolved["search"].endswith("on made, standard, seed 0")
    assert len(resolved["agent_sha256"]) == 64


# The scripted clients

CLIENTS = sorted(path.stem for path in (Path(__file__).parent / "clients").glob("*.py"))


def client_maker(name, table):
    """Return the class of a scripted client, and what makes it of a key."""
    module = importlib.import_module(f"tests.clients.{name}")
    beside = {"known": best_designs(table)} if hasattr(module, "NEEDS_KNOWN") else {}
    beside |= {"order": 1} if hasattr(module, "NEEDS_ORDER") else {}
    return module.CLIENT, lambda key: module.CLIENT(key, **beside)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_chat_client_is_judged_as_it_is(name):
    """It knows nothing of this package but `Reply` and `Usage`, and is called what it calls itself."""
    client, make = client_maker(name, TABLE)
    found = judge(make, seeds=2)
    assert found.kind == NOT_ENOUGH
    assert found.sentence.startswith(f"{client.name} has not enough runs")


@pytest.mark.skipif("GENIUS_KIT_CLIENTS" not in os.environ, reason="takes minutes: set GENIUS_KIT_CLIENTS=1")
@pytest.mark.parametrize("name", CLIENTS)
def test_the_six_clients_at_the_shipped_size(name, data_home):
    """The table of the shipped study, its seeds, evaluations and arms: the verdict is one of those that are right."""
    table = gk.load_benchmark("nas-bench-macro")
    client, make = client_maker(name, table)
    found = gk.does_it_search(make, table, progress=False)
    print(found.sentence)
    assert found.kind in client.honest, found.sentence
