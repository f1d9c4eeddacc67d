"""Tests of the control arms: what each one hides or changes in the messages sent, and that nothing else changes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import genius_kit as gk
from genius_kit.errors import InvalidParameter, PromptError
from genius_kit.journal import Run
from genius_kit.prompts import HISTORIES, VARIANTS, load_prompt
from genius_kit.prompts.base import read_template
from genius_kit.prompts.formatting import relisted
from genius_kit.prompts.views import CONTROLS, SCORE_FACTOR, SCORE_OFFSET, View, dealt, view_of
from genius_kit.records import Evaluation, Message, Proposal, Rejection, Trial
from genius_kit.spaces import SPACES, Architecture, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound, count_cost
from genius_kit.spaces.nas_bench_201 import OPERATIONS
from tests.doubles import QueueClient, ToyBenchmark
from tests.resuming import assert_resumes_alike

MACRO = load_space("nas-bench-macro")
CELL = load_space("nas-bench-201")
CHANNELS = load_space("channel-bench-resnet")
IMAGENET = load_space("mobilenet-imagenet")
TABULAR = ("nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet", "nas-bench-201")
HIDING = ("permuted-labels", "anonymous")
FORMS = [
    (control, history)
    for control in CONTROLS
    for history in HISTORIES
    if (control, history) != ("shuffled-feedback", "dialogue")
]


class AnySpace(ToyBenchmark):
    """The toy benchmark on any space, with the title and data set of a published table; no architectures tie."""

    def __init__(self, space: SearchSpace = MACRO, constraint: MacsBound | None = None) -> None:
        super().__init__()
        self.space, self.constraint, self.title = space, constraint, space.title

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        score = 50.0 + sum((place + 1) * option for place, option in enumerate(architecture)) / 7
        return Evaluation(None, score, score, None, "toy")


def run_of(
    control: str | None, *answers: str, space: SearchSpace = MACRO, seed: int = 0, budget: int = 4, **settings: object
) -> tuple[Run, list[list[Message]]]:
    """A search under a control, by the queued answers or else by the stand-in, and the messages of each call."""
    client = {"client": QueueClient(*answers)} if answers else {}
    made = gk.make_proposer("llm", space, control=control, **client, **settings)
    run = gk.search(AnySpace(space), made, budget, seed, progress=False)
    return run, [call["messages"] for call in run.of("call")]


def text_of(conversations: list[list[Message]]) -> str:
    return "\n".join(message["content"] for messages in conversations for message in messages)


def listed(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """The architecture and the result of each line of a prompt."""
    return re.findall(r"^\d+\. (\[.*\]) -> (.*)$", messages[-1]["content"], re.MULTILINE)


def design(values: Sequence[int]) -> str:
    return f"Architecture: {list(values)}"


def trials_of(space: SearchSpace, scores: Sequence[float | None]) -> list[Trial]:
    neighbours = space.neighbours(space.all_largest)
    return [
        Trial(n, next(neighbours), Evaluation(None, None, score, None, "test")) for n, score in enumerate(scores, 1)
    ]


@pytest.mark.parametrize(("control", "history"), FORMS)
@pytest.mark.parametrize("name", TABULAR)
def test_the_stand_in_runs_every_control(control: str, name: str, history: str) -> None:
    """Four evaluations of the stand-in's own proposals on every tabular space; at most equivalent ones are refused."""
    run, _ = run_of(control, space=load_space(name), history=history)
    assert list(run.frame()["origin"]) == ["model"] * 4
    assert all("equivalent" in event["detail"] for event in run.of("rejected"))


@pytest.mark.parametrize("name", ["mobilenet-imagenet", "vision-transformer"])
@pytest.mark.parametrize("control", HIDING)
def test_the_stand_in_keeps_to_a_bound(control: str, name: str) -> None:
    """Under a control the table of costs is still right: every architecture added up from it is inside the bound."""
    space = load_space(name)
    bound = MacsBound(330, 270) if space.family == "stages" else MacsBound(1300, 900)
    made = gk.make_proposer("llm", space, control=control)
    run = gk.search(AnySpace(space, bound), made, 3, progress=False)
    assert not [event for event in run.of("rejected") if event["reason"] == "constraint"]
    assert list(run.frame()["origin"]) == ["model"] * 3
    assert all(bound.refusal(space, event["architecture"]) is None for event in run.of("evaluation"))


def test_the_control_is_among_what_decides_a_run() -> None:
    """The setting is there only when it is given, and each control has a prompt hash of its own."""
    runs = {control: run_of(control)[0].settings for control in (None, *CONTROLS)}
    assert "control" not in runs[None]["settings"]
    assert all(runs[control]["settings"]["control"] == control for control in CONTROLS)
    assert len({run["resolved"]["prompt_sha256"] for run in runs.values()}) == len(CONTROLS) + 1


def test_settings_that_do_not_go_together_are_refused() -> None:
    """An unknown control lists the known ones; fixed text, a told result and a table that is none are named."""
    with pytest.raises(InvalidParameter, match=", ".join(CONTROLS)):
        gk.make_proposer("llm", MACRO, control="blindfold")
    with pytest.raises(InvalidParameter, match="fixed"):
        gk.make_proposer("llm", IMAGENET, control="no-feedback", prompt="published")
    with pytest.raises(InvalidParameter, match="cannot change"):
        gk.make_proposer("llm", MACRO, control="shuffled-feedback", history="dialogue")
    trained = AnySpace()
    trained.kind = "train"  # type: ignore[misc]
    with pytest.raises(InvalidParameter, match="published table"):
        gk.make_proposer("llm", MACRO, control="knowledge-probe").load_prompt(trained)  # type: ignore[attr-defined]


@st.composite
def views(draw: st.DrawFn) -> tuple[View, Architecture]:
    space = load_space(draw(st.sampled_from(sorted(SPACES))))
    architecture = tuple(draw(st.integers(0, len(options) - 1)) for options in space.choices)
    return view_of(draw(st.sampled_from(CONTROLS)), space, draw(st.integers(0, 10_000))), architecture


@given(views())
def test_what_is_shown_is_read_back(drawn: tuple[View, Architecture]) -> None:
    """Under every control an architecture as the prompt prints it, given as a reply, is the architecture itself."""
    view, architecture = drawn
    assert view.read(view.show(architecture)) == architecture
    assert view.parse(f"Architecture: {view.design(architecture)}") == Proposal(architecture)


@given(st.sampled_from(sorted(SPACES)), st.integers(0, 10_000))
def test_no_number_keeps_its_meaning(name: str, seed: int) -> None:
    """The labels are a permutation without a fixed point, the same each time for one seed."""
    space = load_space(name)
    labels = view_of("permuted-labels", space, seed).labels
    assert sorted(labels) == list(range(len(space.options)))
    assert all(label != option for option, label in enumerate(labels))
    assert view_of("permuted-labels", space, seed).labels == labels


def test_seeds_have_labels_of_their_own() -> None:
    """Over a few seeds both derangements of three options come up."""
    assert {view_of("permuted-labels", MACRO, seed).labels for seed in range(12)} == {(1, 2, 0), (2, 0, 1)}


def test_a_single_option_cannot_be_renumbered():
    """It has no number but its own: that is said, and not looked for without an end."""
    alone = replace(MACRO, options=MACRO.options[:1], largest=0, choices=((MACRO.choices[0][0],),) * MACRO.length)
    with pytest.raises(InvalidParameter, match="cannot be renumbered"):
        view_of("permuted-labels", alone, 0)


def menu_of(text: str) -> dict[int, str]:
    return {int(number): words for number, words in re.findall(r"^- (\d): (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("name", ["nas-bench-macro", "nas-bench-201", "mobilenet-imagenet"])
def test_permuted_operations_are_described_by_their_new_numbers(name: str) -> None:
    """Every description stands beside the number that a reply must use for it, in rising order."""
    space = load_space(name)
    view = view_of("permuted-labels", space, 3)
    plain = load_prompt("standard", space).messages(())[-1]["content"]
    shown = load_prompt("standard", space, control="permuted-labels").seen(view).messages(())[-1]["content"]
    menu = menu_of(shown)
    assert list(menu) == sorted(menu)
    assert {option: menu[view.labels[option]] for option in menu} == menu_of(plain)


def test_permuted_costs_follow_the_new_numbers() -> None:
    """The columns of the table of costs stand in the order of the new numbers."""
    view = view_of("permuted-labels", IMAGENET, 3)
    prompt = load_prompt("standard", IMAGENET, control="permuted-labels", constraint=MacsBound(330)).seen(view)
    row = re.search(r"- layer 20: \[(.*)\]", prompt.messages(())[-1]["content"])
    assert row is not None
    entries = row[1].split(", ")
    plain = ["1.58", "12.23", "13.23", "14.74", "18.35", "19.85", "22.11"]
    assert [entries[label] for label in view.labels] == plain


@pytest.mark.parametrize("name", ["channel-bench-resnet", "channel-bench-mobilenet"])
def test_permuted_channels_are_listed_for_each_width(name: str) -> None:
    """The prompt says for each width which number means how many channels, and counts are not read as numbers."""
    space = load_space(name)
    view = view_of("permuted-labels", space, 5)
    text = load_prompt("standard", space, control="permuted-labels").seen(view).messages(())[-1]["content"]
    for position, place in enumerate(space.positions):
        line = re.search(rf"^- {place}: (.*)$", text, re.MULTILINE)
        assert line is not None
        counts = {int(number): int(count) for number, count in re.findall(r"(\d+) = (\d+)", line[1])}
        assert {o: counts[view.labels[o]] for o in range(4)} == dict(enumerate(space.choices[position]))
    assert isinstance(view.parse(f"Architecture: [{space.encode(space.all_largest)}]"), Rejection)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 0: a\n- 1: b", "options 0, 1;"),
        ("- 0: a\n- 1: b\n- 1: c", "option 1 twice"),
        ("- 0: a\n- 1: b\n- 3: c", "options 0, 1, 3;"),
        ("0: a\n1: b\n2: c", "no lines"),
    ],
)
def test_menus_that_cannot_be_renumbered_are_refused(text: str, message: str) -> None:
    """A template whose menu lacks a number, or has one twice, fails before anything is sent."""
    with pytest.raises(PromptError, match=message):
        relisted(text, [((1, 2, 0), (0, 1, 2))], "operations.md")


def test_renumbering_moves_only_the_menu() -> None:
    """Text around the menu stays where it is, and digits inside a description stay as they are."""
    text = "Some 0: text.\n\n- 0: none. 0 paths.\n- 1: 3x3.\n- 2: pool.\n\n- a: 1"
    assert (
        relisted(text, [((1, 2, 0), (0, 1, 2))], "x")
        == "Some 0: text.\n\n- 0: pool.\n- 1: none. 0 paths.\n- 2: 3x3.\n\n- a: 1"
    )


def test_a_template_with_text_of_its_own_is_refused(tmp_path: Path) -> None:
    """Operations that a file describes by itself would keep their numbers: the placeholders are asked for."""
    path = tmp_path / "mine.md"
    path.write_text("- 0: identity {{ results }} {{ answer_format }}", encoding="utf-8")
    assert load_prompt(path, MACRO)
    with pytest.raises(PromptError, match="missing placeholders: operations"):
        load_prompt(path, MACRO, control="permuted-labels")


def test_a_recited_answer_is_another_design() -> None:
    """Who answers 12222222 whatever is asked evaluates what these numbers stand for now; the record has both."""
    recited = (1, 2, 2, 2, 2, 2, 2, 2)
    run, sent = run_of("permuted-labels", design(recited), budget=1)
    view = view_of("permuted-labels", MACRO, 0)
    evaluated = tuple(run.of("proposal")[0]["architecture"])
    assert evaluated == view.read(recited) != recited
    assert tuple(run.of("evaluation")[0]["architecture"]) == evaluated
    assert run.of("call")[0]["text"] == design(recited)
    assert menu_of(sent[0][-1]["content"])[1] == menu_of(read_template(MACRO.name, "operations"))[evaluated[0]]


@pytest.mark.parametrize("name", TABULAR)
@pytest.mark.parametrize("control", [*HIDING, "knowledge-probe"])
def test_refusals_speak_the_shown_labels(control: str, name: str) -> None:
    """An architecture that comes again is refused as it was written, and is on record as what it is."""
    space = load_space(name)
    view = view_of(control, space, 0)
    shown = view.design(space.all_largest)
    answer = f"Architecture: {shown}"
    off_menu = f"Architecture: {re.sub('[0-9]+', '9', shown)}"
    other = f"Architecture: {view.design((0,) * space.length)}"
    run, sent = run_of(control, answer, answer, off_menu, other, space=space, budget=2)
    duplicate, unknown = run.of("rejected")
    assert duplicate["reason"] == "duplicate"
    assert duplicate["detail"].startswith(f"{shown} was already evaluated")
    assert tuple(duplicate["architecture"]) == space.all_largest
    assert unknown["reason"] == "off-menu"
    for event in (duplicate, unknown):
        assert event["detail"] in text_of(sent)
        assert not [word for word in OPERATIONS if word in event["detail"]]
    assert [tuple(event["architecture"]) for event in run.of("evaluation")] == [space.all_largest, (0,) * space.length]


@pytest.mark.parametrize("control", HIDING)
def test_names_and_channel_counts_are_not_read(control: str) -> None:
    """Under plain numbers an arch string, operation names and channel counts name no architecture."""
    cell, channels = view_of(control, CELL, 1), view_of(control, CHANNELS, 1)
    for text in (CELL.encode((3,) * 6), "[nor_conv_3x3, none, none, none, none, none]"):
        assert isinstance(cell.parse(f"Architecture: {text}"), Rejection)
    assert isinstance(channels.parse("Architecture: [256, 256, 256, 512, 512, 512, 512]"), Rejection)


@pytest.mark.parametrize("history", HISTORIES)
def test_no_feedback_shows_no_result(history: str) -> None:
    """The architectures are listed, no message holds a result, and the model is told so once."""
    run, sent = run_of("no-feedback", history=history)
    text = text_of(sent[-1:])
    assert all(f"{score:.2f}" not in text for score in run.frame()["feedback"])
    assert not re.search(r"\] -> \d", text)
    assert text.count("-> not shown") == 3
    assert text.count("results are withheld") == 1


def test_shuffled_results_are_the_same_results() -> None:
    """Each prompt lists the architectures in order and their results in another, drawn anew at each step."""
    _, plain = run_of(None, *map(design, sequence(6)), budget=6)
    _, shuffled = run_of("shuffled-feedback", *map(design, sequence(6)), budget=6)
    for messages, shown in zip(map(listed, plain), map(listed, shuffled), strict=True):
        assert [line[0] for line in shown] == [line[0] for line in messages]
        assert sorted(line[1] for line in shown) == sorted(line[1] for line in messages)
    assert listed(shuffled[-1]) != listed(plain[-1])
    assert listed(shuffled[-1])[:4] != listed(shuffled[-2])[:4]
    _, again = run_of("shuffled-feedback", *map(design, sequence(6)), budget=6)
    _, other = run_of("shuffled-feedback", *map(design, sequence(6)), budget=6, seed=1)
    assert again == shuffled != other


@given(st.integers(2, 12), st.integers(0, 10_000))
def test_no_shuffled_result_keeps_its_design(count: int, seed: int) -> None:
    """The results are dealt out without a fixed point, the same each time for one seed and step."""
    places = dealt(count, seed)
    assert sorted(places) == list(range(count))
    assert all(place != number for number, place in enumerate(places))
    assert dealt(count, seed) == places


def test_every_way_of_dealing_out_is_as_likely() -> None:
    """Four results have nine derangements; over 1,800 seeds each comes up about 200 times."""
    found = Counter(tuple(dealt(4, seed)) for seed in range(1_800))
    assert len(found) == 9
    assert all(150 < times < 250 for times in found.values())


def test_a_run_of_before_the_rule_goes_on_as_it_began(tmp_path: Path) -> None:
    """Its record says nothing of the rule: results may stand beside their own architectures, and do at this seed."""
    before = gk.make_proposer("llm", MACRO, control="shuffled-feedback")
    del before.resolved["shuffle"]
    old = gk.search(AnySpace(), before, 6, 4, tmp_path / "whole.jsonl", progress=False)
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    made = gk.make_proposer("llm", MACRO, control="shuffled-feedback")
    resumed = gk.search(AnySpace(), made, 6, 4, tmp_path / "cut.jsonl", progress=False)
    assert resumed.settings == old.settings
    assert [call["messages"] for call in resumed.of("call")] == [call["messages"] for call in old.of("call")]
    new = gk.make_proposer("llm", MACRO, control="shuffled-feedback")
    fresh = gk.search(AnySpace(), new, 6, 4, progress=False)
    assert fresh.settings["resolved"]["shuffle"] == "derangement"
    assert fresh.of("call")[-1]["messages"] != old.of("call")[-1]["messages"]


def sequence(count: int) -> list[Architecture]:
    return [MACRO.at(row) for row in range(0, 6000, 1000)][:count]


def test_shuffled_costs_stay_with_their_designs() -> None:
    """Where a bound is shown, the multiply-accumulates of a line are its own design's."""
    prompt = load_prompt("minimal", IMAGENET, control="shuffled-feedback", constraint=MacsBound(900))
    trials = trials_of(IMAGENET, [90.0 + n for n in range(6)])
    lines = prompt.seen(view_of("shuffled-feedback", IMAGENET, 1)).messages(trials)[-1]["content"].split("\n")[-6:]
    costs = [round(count_cost(IMAGENET, trial.architecture).macs / 1e6) for trial in trials]
    assert [int(line.split(", ")[-1].split()[0]) for line in lines] == costs
    assert [f"{90 + n}.00" in line for n, line in enumerate(lines)] != [True] * 6


@given(st.lists(st.floats(10, 100), min_size=2, max_size=6))
def test_relabelled_scores_keep_order_and_ties(scores: list[float]) -> None:
    """The points rank and tie as the printed percentages do, and each is the affine image of its percentage."""
    trials = trials_of(MACRO, scores)
    plain = [float(text or "") for text in view_of(None, MACRO).results(trials)]
    points = [float(text or "") for text in view_of("relabelled-scores", MACRO).results(trials)]
    assert points == pytest.approx([SCORE_FACTOR * score + SCORE_OFFSET for score in plain])
    for first in range(len(plain)):
        for second in range(len(plain)):
            assert (plain[first] < plain[second]) == (points[first] < points[second])


@pytest.mark.parametrize("history", HISTORIES)
def test_relabelled_scores_are_points(history: str) -> None:
    """No message speaks of percent or accuracy; a result that is missing stays missing."""
    _, sent = run_of("relabelled-scores", history=history)
    text = text_of(sent)
    assert "percent" not in text
    assert "accuracy" not in text
    assert "score in points" in text
    assert view_of("relabelled-scores", MACRO).results(trials_of(MACRO, [None])) == ["not measured"]


NAMES = re.compile(
    r"conv(?!inced|ersation)|cifar|imagenet|nas-|bench|macro|residual|identity|skip|kernel|pool|edge|block|network",
    re.I,
)


@pytest.mark.parametrize("name", SPACES)
def test_anonymous_prompts_name_nothing(name: str) -> None:
    """In no variant and no history is an operation, a data set, a position or the benchmark named."""
    space = load_space(name)
    for variant in VARIANTS:
        for history in HISTORIES:
            prompt = load_prompt(variant, space, history=history, control="anonymous")
            text = text_of([prompt.messages(trials_of(space, [90.0, 91.0]))])
            assert not NAMES.findall(text)
            assert not [place for place in space.positions if place in text]
            assert f"place {space.length}" in text


@pytest.mark.parametrize("name", TABULAR)
def test_an_anonymous_run_names_nothing(name: str) -> None:
    """Refusals included, nothing that is sent over a whole run has a name in it."""
    space = load_space(name)
    view = view_of("anonymous", space)
    largest = f"Architecture: {view.design(space.all_largest)}"
    answers = (
        "?",
        "[9]",
        largest,
        largest,
        f"Architecture: {[9] * space.length}",
        f"Architecture: {[0] * space.length}",
    )
    run, sent = run_of("anonymous", *answers, space=space, budget=2)
    assert len(run.of("rejected")) == 4
    assert not NAMES.findall(text_of(sent))


@pytest.mark.parametrize("name", TABULAR)
def test_the_probe_has_no_problem_text(name: str) -> None:
    """It names the benchmark and the data, lists what was named without results, and describes nothing."""
    space = load_space(name)
    run, sent = run_of("knowledge-probe", space=space)
    text = text_of(sent[-1:])
    assert space.title in text
    assert "CIFAR-10" in text
    for part in ("problem", "operations", "skeleton"):
        lines = [line for line in read_template(space.name, part).splitlines() if len(line) > 40]
        assert not [line for line in lines if line[:40] in text]
    assert not [word for word in ("conv", "kernel", "identity", "skip", "pool", "->") if word in text.lower()]
    view = view_of("knowledge-probe", space)
    for event in run.of("evaluation")[:3]:
        assert f". {view.design(tuple(event['architecture']))}\n" in f"{text}\n"
        assert f"{event['feedback']:.2f}" not in text


def test_the_probe_takes_the_benchmarks_own_strings() -> None:
    """Who recalls a cell as an arch string, or widths as channel counts, is understood."""
    assert view_of("knowledge-probe", CELL).parse(f"Architecture: {CELL.encode((3, 1, 3, 0, 4, 2))}") == Proposal(
        (3, 1, 3, 0, 4, 2)
    )
    counts = f"Architecture: [{CHANNELS.encode((3, 2, 3, 0, 1, 2, 3))}]"
    assert view_of("knowledge-probe", CHANNELS).parse(counts) == Proposal((3, 2, 3, 0, 1, 2, 3))
    assert view_of("knowledge-probe", CHANNELS).parse("Architecture: 4344424") == Proposal((3, 2, 3, 3, 3, 1, 3))


@pytest.mark.parametrize("control", [*HIDING, "knowledge-probe"])
def test_structured_replies_are_shown_numbers(control: str) -> None:
    """The schema that a server may enforce has the numbers of the prompt and no names."""
    made = gk.make_proposer("llm", CELL, model="any", control=control)
    sent = made.client.settings()["parameters"]["response_format"]  # type: ignore[attr-defined]
    form = sent["json_schema"]["schema"]["properties"]["architecture"]
    assert form["items"]["enum"] == [0, 1, 2, 3, 4]
    assert form["minItems"] == form["maxItems"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_cut_after_any_event_resumes_to_the_same_run(tmp_path: Path, control: str) -> None:
    """However much had reached the disk, the resumed run sends and records what the uninterrupted one does."""
    answers = [design((2,) * 8), "?", design((2,) * 8), design((1,) * 8), design((2, 1) * 4), design((1, 2) * 4)]

    def start(path: Path, answered: int) -> Run:
        made = gk.make_proposer("llm", MACRO, control=control, client=QueueClient(*answers[answered:]))
        return gk.search(AnySpace(), made, 4, seed=4, journal=path, progress=False)

    whole = assert_resumes_alike(tmp_path, start)
    assert len(whole.of("rejected")) == 2
