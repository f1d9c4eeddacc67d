"""The published searches: every reply, figure and choice; and other conversations of the same kind."""

from __future__ import annotations

import json

import pytest

from genius_kit.errors import DataCorrupt, DataMissing, InvalidArchitecture
from genius_kit.prompts.published import RecordedBenchmark, Slip, read_conversation
from genius_kit.records import Proposal, Rejection
from genius_kit.spaces import load_space
from genius_kit.spaces.costs import MacsBound, count_cost, whole_millions

SPACE = load_space("mobilenet-imagenet")
GENIUS_329 = SPACE.decode("100010101110404300430440505550")
GENIUS_401 = SPACE.decode("101011110011440404450505650605")
BIG, SMALL, MIDDLE, OTHER = (SPACE.decode(key * 5) for key in ("666666", "100000", "444000", "511000"))
BOUNDS = (50, 400)


@pytest.fixture(params=["329M", "401M"])
def conversation(request, published):
    """Each published conversation in turn."""
    return read_conversation(published / "chat_history" / f"{request.param}.json")


def _stages(architecture):
    rows = [list(architecture[6 * stage : 6 * stage + 6]) for stage in range(5)]
    return "\n".join(f"Stage {number}: {row}" for number, row in enumerate(rows, start=1))


def _message(role, content):
    return {"role": role, "content": content}


def _opening(*experiments, bounds=BOUNDS):
    """Return a fresh prompt that lists (architecture, MACs, accuracy) triples."""
    listed = "\n\n".join(
        f"- Experiment{number}\n{_stages(architecture)}\nIt meets the limit with a total of {macs} FLOPS. "
        f"We measured an accuracy of {accuracy}%."
        for number, (architecture, macs, accuracy) in enumerate(experiments, start=1)
    )
    problem = f"Choose thirty operations.\n{listed}\n\nKeep the total FLOPS of the network in {list(bounds)}."
    return [_message("system", "You design networks."), _message("user", problem)]


def _reply(architecture):
    return _message("assistant", f"Here is my design.\n{_stages(architecture)}\nIt should fit.")


def _refusal(architecture):
    macs = whole_millions(count_cost(SPACE, architecture).macs)
    excess = macs - BOUNDS[1]
    return _message(
        "user", f"This design has {macs} FLOPS, {excess} FLOPS above the upper bound of {BOUNDS[1]}. Again."
    )


def _told(architecture, accuracy):
    return (architecture, whole_millions(count_cost(SPACE, architecture).macs), accuracy)


def _write(tmp_path, messages, name="synthetic.json"):
    path = tmp_path / name
    path.write_text(json.dumps(messages), encoding="utf-8")
    return path


@pytest.fixture
def search_messages():
    """A search of three iterations: a refusal first, then two results, then an unanswered architecture."""
    first, second = _told(SMALL, 61.5), _told(MIDDLE, 64.25)
    return [
        *_opening(),
        _reply(BIG),
        _refusal(BIG),
        _reply(SMALL),
        *_opening(first),
        _reply(MIDDLE),
        *_opening(first, second),
        _reply(OTHER),
    ]


def test_every_reply_is_read(conversation):
    """All 26 and 17 replies parse; ten architectures are accepted in each search."""
    assert len(conversation.turns) == {"329M.json": 26, "401M.json": 17}[conversation.source]
    assert all(isinstance(turn.outcome, Proposal) for turn in conversation.turns)
    assert [turn.iteration for turn in conversation.turns if turn.accepted] == list(range(1, 11))


def test_accepted_replies_are_the_designs_the_authors_list(conversation):
    """Every accepted reply reads as the architecture that the next prompt lists, but for the authors' own slip."""
    slipped = {slip.iteration for slip in conversation.slips() if slip.kind == "listing"}
    listed = [turn for turn in conversation.turns if turn.listed is not None]
    assert len(listed) == 9
    assert all(turn.listed == turn.architecture for turn in listed if turn.iteration not in slipped)


def test_every_told_figure_is_recomputed(conversation):
    """All MACs that the authors told are ours in whole millions; acceptance is our bound's own judgement."""
    slipped = {slip.iteration for slip in conversation.slips() if slip.kind == "macs"}
    told = [turn for turn in conversation.turns if turn.told_macs_millions is not None]
    assert len(told) == len(conversation.turns) - 1
    for turn in told:
        if not (turn.accepted and turn.iteration in slipped):
            assert turn.told_macs_millions == whole_millions(count_cost(SPACE, turn.architecture).macs)
    for turn in conversation.turns:
        assert turn.accepted == (conversation.bound.refusal(SPACE, turn.architecture) is None)


def test_the_authors_slips_are_these_two(published):
    """In 329M the second architecture was told as 317 M (312 M), and the fifth is listed as a copy of the fourth."""
    chats = [read_conversation(published / "chat_history" / f"{name}.json") for name in ("329M", "401M")]
    assert chats[0].slips() == [
        Slip(2, "macs", "317", "312"),
        Slip(5, "listing", SPACE.encode(GENIUS_329), "100010101010402220440440404450"),
    ]
    assert chats[1].slips() == []


def test_the_chosen_designs_are_the_papers(published):
    """The best told accuracy inside the bound belongs to GENIUS-329 (72.61) and GENIUS-401 (73.56)."""
    expected = {"329M": (GENIUS_329, 72.61, MacsBound(330, 270)), "401M": (GENIUS_401, 73.56, MacsBound(430, 370))}
    for name, (architecture, accuracy, bound) in expected.items():
        found = read_conversation(published / "chat_history" / f"{name}.json")
        assert (found.chosen, found.accuracies[found.chosen], found.bound) == (architecture, accuracy, bound)


def test_turns_hold_the_whole_record(conversation):
    """Each reply comes with every message since its prompt opened; nothing is lost."""
    pairs = [(turn.messages, turn.reply) for turn in conversation.turns]
    assert [text for _, text in pairs] == [m["content"] for m in conversation.messages if m["role"] == "assistant"]
    assert all(messages[0]["role"] == "system" and messages[-1]["role"] == "user" for messages, _ in pairs)
    openings = sum(len(messages) == 2 for messages, _ in pairs)
    assert openings == 10


def test_recorded_benchmark_answers_what_was_told(conversation):
    """Told architectures have their accuracy, also with a skip moved; others have none; cost and bound are there."""
    benchmark = RecordedBenchmark(conversation)
    for architecture, accuracy in conversation.accuracies.items():
        assert benchmark.evaluate(architecture).feedback == accuracy
        assert benchmark.evaluate(SPACE.canonical(architecture)).feedback is not None
    unknown = benchmark.evaluate(SPACE.all_largest)
    assert (unknown.feedback, unknown.validation_accuracy, unknown.test_accuracy) == (None, None, None)
    assert unknown.cost == count_cost(SPACE, SPACE.all_largest)
    assert benchmark.constraint == conversation.bound
    assert benchmark.rank(conversation.chosen) is None


def test_another_search_is_read(tmp_path, search_messages):
    """Other bounds, accuracies and words give turns, told figures and a choice just the same."""
    found = read_conversation(_write(tmp_path, search_messages))
    assert found.bound == MacsBound(400, 50)
    assert [turn.architecture for turn in found.turns] == [BIG, SMALL, MIDDLE, OTHER]
    assert [turn.iteration for turn in found.turns] == [1, 1, 2, 3]
    assert [turn.accepted for turn in found.turns] == [False, True, True, True]
    assert [turn.told_accuracy for turn in found.turns] == [None, 61.5, 64.25, None]
    assert [len(turn.messages) for turn in found.turns] == [2, 4, 2, 2]
    assert (found.chosen, found.slips()) == (MIDDLE, [])
    assert RecordedBenchmark(found).evaluate(SMALL).feedback == 61.5


def test_a_dialogue_with_results_is_read(tmp_path):
    """A conversation whose follow-ups state each result, without fresh prompts, is read as well."""
    result = _message("user", "A total of 90 FLOPS; we measured an accuracy of 70.5%. Please improve it.")
    messages = [*_opening(), _reply(BIG), _refusal(BIG), _reply(SMALL), result, _reply(MIDDLE)]
    found = read_conversation(_write(tmp_path, messages))
    assert [(turn.iteration, turn.accepted) for turn in found.turns] == [(1, False), (1, True), (2, True)]
    assert [len(turn.messages) for turn in found.turns] == [2, 4, 6]
    assert found.chosen == SMALL
    assert [slip.kind for slip in found.slips()] == ["macs"]


def test_slips_of_others_are_found(tmp_path):
    """A wrong figure and a wrong listing are each reported with what was told and what holds."""
    macs = whole_millions(count_cost(SPACE, SMALL).macs)
    messages = [*_opening(), _reply(SMALL), *_opening((MIDDLE, macs + 5, 61.0)), _reply(OTHER)]
    assert read_conversation(_write(tmp_path, messages)).slips() == [
        Slip(1, "macs", str(macs + 5), str(macs)),
        Slip(1, "listing", SPACE.encode(MIDDLE), SPACE.encode(SMALL)),
    ]


def test_best_design_outside_the_bound_is_not_chosen(tmp_path):
    """An accuracy told of an architecture over the bound does not make it the choice."""
    first, second = _told(BIG, 99.0), _told(MIDDLE, 60.0)
    messages = [*_opening(), _reply(BIG), *_opening(first), _reply(MIDDLE), *_opening(first, second), _reply(OTHER)]
    assert read_conversation(_write(tmp_path, messages)).chosen == MIDDLE


def test_unusable_replies_stay_in_the_record(tmp_path):
    """A reply without an architecture is a turn with a Rejection, neither accepted nor counted as an iteration."""
    messages = [
        *_opening(),
        _message("assistant", "I cannot decide."),
        _message("user", "Please give five lists."),
        _reply(SMALL),
    ]
    first, second = read_conversation(_write(tmp_path, messages)).turns
    assert isinstance(first.outcome, Rejection)
    assert (first.architecture, first.accepted, first.iteration, second.iteration) == (None, False, 1, 1)
    assert second.accepted


def test_a_search_without_results_has_no_choice(tmp_path):
    """A conversation that tells no accuracy is read, and asking for its choice says why there is none."""
    found = read_conversation(_write(tmp_path, [*_opening(), _reply(SMALL)]))
    with pytest.raises(DataCorrupt, match="tells no accuracy"):
        _ = found.chosen


def test_absurd_numbers_do_not_stop_the_reading(tmp_path):
    """Numbers of thousands of digits in lists, figures and experiment numbers are no figures of ours, and no crash."""
    huge = "9" * 5_000
    noise = _message("user", f"Experiment {huge}:\n[{huge}, 1] {huge} FLOPS, accuracy of {huge}%")
    found = read_conversation(_write(tmp_path, [*_opening(), _reply(BIG), noise, _reply(SMALL)]))
    assert [turn.told_accuracy for turn in found.turns] == [None, None]
    assert found.slips() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"messages": []}, "holds dict: it needs a list"),
        ([], "holds an empty list: it needs a list"),
        (["hello"], "message 0 is a str"),
        ([_message("tool", "x")], "message 0 must have the role .* got 'tool'"),
        ([{"role": ["user"], "content": "x"}], "message 0 must have the role"),
        ([{"role": "user"}], "message 0 must have text as content, got NoneType"),
        (_opening(), "has no reply to a prompt"),
        ([_reply(SMALL)], "has no reply to a prompt"),
        ([_message("user", "Design a network."), _reply(SMALL)], "found none"),
        ([*_opening(), _reply(SMALL), *_opening(bounds=(1, 2)), _reply(SMALL)], r"found \[1, 2\], \[50, 400\]"),
        ([*_opening(bounds=(9, 2)), _reply(SMALL)], r"the bound \[9, 2\] is empty"),
        ([*_opening(), _reply(SMALL), *_opening(_told(SMALL, 171.2)), _reply(SMALL)], "at most 100 %, got 171.2"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    """A file of another form raises DataCorrupt, which names what it holds."""
    with pytest.raises(DataCorrupt, match=message):
        read_conversation(_write(tmp_path, content))


def test_unreadable_files_are_refused(tmp_path):
    """Broken JSON, bytes that are no text, and a folder raise DataCorrupt; a missing file names both ways to get it."""
    (tmp_path / "cut.json").write_text('[{"role": "us')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name in ("cut.json", "bytes.json", "deep.json", "."):
        with pytest.raises(DataCorrupt, match="not readable as JSON"):
            read_conversation(tmp_path / name)
    with pytest.raises(DataMissing, match=r"data fetch.*data import DIR"):
        read_conversation(tmp_path / "absent.json")


def test_recorded_benchmark_refuses_other_architectures(tmp_path, search_messages):
    """An architecture of another space raises InvalidArchitecture."""
    benchmark = RecordedBenchmark(read_conversation(_write(tmp_path, search_messages)))
    with pytest.raises(InvalidArchitecture, match="30 positions"):
        benchmark.evaluate((1, 2, 3))
