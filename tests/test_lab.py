"""The lab without a browser: what a template comes to, what is asked, searched, compared, and said when it is wrong."""

import re
import xml.dom.minidom

import pytest

import genius_kit as gk
from genius_kit.benchmarks import load_benchmark
from genius_kit.budget.amounts import Limits
from genius_kit.errors import InvalidParameter, PromptError
from genius_kit.lab.compare import Paired, compare_prompts, paired_svg
from genius_kit.lab.curve import Point, best_so_far, curve_svg, curve_text
from genius_kit.lab.draft import open_draft
from genius_kit.lab.drawing import drawing_svg
from genius_kit.lab.money import TokenCounter, cost_words, dollars, estimate
from genius_kit.lab.replies import ask_once, read_answer
from genius_kit.lab.session import Choices, LabSession, ask_line, search_line, step_line
from genius_kit.spaces import SPACES, load_space
from tests.doubles import QueueClient, ToyBenchmark


@pytest.fixture
def benchmark(no_data):
    """The table that comes with the package."""
    return load_benchmark("nas-bench-201-cifar10")


@pytest.fixture
def session(no_data, tmp_path):
    """A lab with the stand-in."""
    return LabSession(Choices("nas-bench-201-cifar10", budget=3), tmp_path)


def test_every_space_is_drawn_as_sound_svg_with_a_name():
    """Well-formed, small, and described in words."""
    for name in SPACES:
        space = load_space(name)
        for architecture in (space.all_largest, (0,) * space.length):
            svg = drawing_svg(space, architecture)
            xml.dom.minidom.parseString(svg)
            assert 'role="img"' in svg
            assert len(svg) < 20_000


def test_the_curve_says_in_words_what_it_shows():
    """The best, where it came, and the last; failures leave a gap."""
    points = [Point(1, 90.0, "a"), Point(2, None, "b"), Point(3, 91.5, "c", "fallback")]
    assert best_so_far(points) == [90.0, 90.0, 91.5]
    assert curve_text(points).startswith("3 evaluations; the best is 91.50 % at iteration 3 (c)")
    assert "the best is 91.5 kappa at iteration 3 (c); the last, 3, is 91.5 kappa" in curve_text(points, "kappa")
    assert "accuracy (kappa)" in curve_svg(points, unit="kappa")
    xml.dom.minidom.parseString(curve_svg(points))
    assert "no evaluation yet" in curve_svg([])


def test_a_still_curve_of_1000_points_is_small():
    """Some 12 bytes a point, so that an exported page stays far below 1 MB."""
    assert len(curve_svg([Point(i, 90 + i % 7, "x") for i in range(1, 1001)])) < 60_000


def test_a_draft_renders_what_a_variant_renders(benchmark):
    """Unchanged it is the variant itself, with the same sum of its text."""
    draft = open_draft("standard", benchmark)
    assert draft.prompt().messages(()) == draft.origin.messages(())
    assert draft.prompt().sha256 == draft.origin.sha256
    assert not draft.changed
    assert draft.difference() == []


@pytest.mark.parametrize(
    ("source", "said", "marked"),
    [
        (
            "a\n{{ surprise }}\n{{ results }}",
            "Line 2: .*unknown placeholders: surprise.*known placeholders are system",
            "surprise",
        ),
        ("a\n{% if x %}\n{{ results }}", "Line 3: .*cannot be read", None),
        ("a\nb {{ results", "Line 2: ", None),
        ("nothing", "missing placeholders: results", None),
    ],
)
def test_a_wrong_template_is_a_sentence_with_its_line(benchmark, source, said, marked):
    """Unknown placeholders are named with the known ones and marked in place."""
    found = open_draft("standard", benchmark).edited(source).render()
    assert re.search(said, found.problem)
    pieces = [piece for _, parts in found.messages for piece in parts]
    assert (("{{ " + str(marked) + " }}", "unknown") in pieces) == bool(marked)


def test_a_draft_is_saved_under_a_name_that_the_package_accepts(session, benchmark, tmp_path, monkeypatch):
    """The name is a variant everywhere; another text under the same name makes the one before a version."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    session.edit(session.draft.source.replace("# Task", "# The task"))
    path = session.save_variant("mine")
    assert session.choices.variant == path.stem == "mine"
    assert "mine" in gk.list_prompts(benchmark.space)
    assert "# The task" in open_draft("mine", benchmark).prompt().messages(())[-1]["content"]
    assert "# The task" in gk.load_prompt("mine", benchmark.space).messages(())[-1]["content"]
    for word in ("more", "and more"):
        session.edit(session.draft.source + f"\n{word}")
        session.save_variant("mine")
    assert {"mine", "mine.v1", "mine.v2"} <= set(gk.list_prompts(benchmark.space))
    texts = [open_draft(name, benchmark).source for name in ("mine.v1", "mine.v2", "mine")]
    assert [text.rpartition("\n")[2] for text in texts[1:]] == ["more", "and more"]
    assert "more" not in texts[0]
    session.save_variant("mine")
    assert "mine.v3" not in gk.list_prompts(benchmark.space)
    with pytest.raises(InvalidParameter, match="no name"):
        session.save_variant("../mine")
    session.edit("{{ nonsense }}")
    with pytest.raises(PromptError):
        session.save_variant("wrong")


@pytest.mark.parametrize("name", ["minimal", "standard", "reasoned", "Minimal", "published", "minimal.md"])
def test_a_built_in_name_is_refused_and_the_text_stays(session, tmp_path, monkeypatch, name):
    """A file of that name would never be read: saving says so, writes nothing, and the changes stay in the editor."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    session.edit(session.draft.source + "\nMind the width.")
    with pytest.raises(InvalidParameter, match=r"built-in variant.*choose another name"):
        session.save_variant(name)
    assert session.draft.source.endswith("Mind the width.")
    assert not (tmp_path / "prompts").exists()


def test_a_changed_text_comes_back_with_its_variant_and_after_a_restart(session, tmp_path):
    """Another variant shows its own text; the first has the changes again, in another kernel too, until undone."""
    original = session.draft.source
    session.edit(original + "\nMind the width.")
    session.choose(variant="minimal")
    assert not session.draft.changed
    session.choose(history="dialogue")
    session.choose(variant="standard")
    assert session.draft.source.endswith("Mind the width.")
    again = LabSession(session.choices, tmp_path)
    assert again.draft.source.endswith("Mind the width.")
    again.revert()
    assert not LabSession(session.choices, tmp_path).draft.changed
    again.undo()
    assert again.draft.source.endswith("Mind the width.")
    assert LabSession(session.choices, tmp_path).draft.changed


def test_a_text_that_comes_after_another_variant_was_chosen_is_of_its_own(session):
    """It was on its way: it is kept with the variant over which it was typed, the present one stays."""
    original = session.draft.source
    session.choose(variant="reasoned")
    session.edit(original + "\nMind the width.", "standard")
    assert not session.draft.changed
    session.choose(variant="standard")
    assert session.draft.source.endswith("Mind the width.")


def test_changes_are_undone_and_done_again(session, monkeypatch):
    """What is typed without a pause is one step; after a new change nothing can be done again."""
    clock = iter([10.0, 10.2, 20.0, 30.0])
    monkeypatch.setattr("genius_kit.lab.draft.time.monotonic", lambda: next(clock))
    original = session.draft.source
    for words in ("\nM", "\nMind", "\nMind the width."):
        session.edit(original + words)
    session.undo()
    assert session.draft.source == original + "\nMind"
    session.undo()
    assert session.draft.source == original
    with pytest.raises(InvalidParameter, match="nothing was changed"):
        session.undo()
    session.redo()
    assert session.draft.source == original + "\nMind"
    session.edit(original + "\nElse")
    with pytest.raises(InvalidParameter, match="nothing was undone"):
        session.redo()


def test_a_recorded_step_puts_the_changed_text_aside(session):
    """The step is shown with the text that it had; undoing brings the changes back."""
    live = session.search().live
    live.start()
    run = live.wait(60)
    session.edit(session.draft.source + "\nMind the width.")
    session.open(run.path)
    session.edit_step(1)
    assert not session.draft.changed
    session.undo()
    assert session.draft.source.endswith("Mind the width.")


@pytest.mark.parametrize(
    ("reply", "passed", "kind"),
    [
        ("Architecture: [2, 2, 2, 2, 2, 2, 2, 1]", [True, True, True, True], "design"),
        ("Architecture: [2, 2, 2]", [True, False, None, None], "refused"),
        ("Architecture: [2, 2, 2, 2, 2, 2, 2, 9]", [True, True, False, None], "refused"),
        ("I would rather not.", [False, None, None, None], None),
    ],
)
def test_each_rule_passes_or_fails_and_the_design_is_marked(reply, passed, kind):
    """In the order in which a reply is judged; the marked text is the reply itself."""
    answer = read_answer(reply, ToyBenchmark())
    assert [rule.passed for rule in answer.rules] == passed
    assert "".join(text for text, _ in answer.pieces) == reply
    assert {mark for _, mark in answer.pieces if mark} == ({kind} if kind else set())


def test_asking_once_records_the_call(tmp_path):
    """The journal holds the question, its reply and what was refused."""
    client = QueueClient("Architecture: [2, 2, 2, 2, 2, 2, 2, 1]")
    path = tmp_path / "asked.jsonl"
    answer = ask_once(ToyBenchmark(), client=client, journal=path)
    assert answer.evaluation.feedback == 65.0
    assert answer.accepted
    assert '"event":"call"' in path.read_text()
    assert len(client.sent) == 1


def test_costs_are_told_as_estimates(benchmark):
    """A priced model has a price a call and a search; an unknown one none; the stand-in costs nothing."""
    prompt = open_draft("standard", benchmark).prompt()
    found = estimate(prompt, (), "gpt-4.1", 10, TokenCounter(), 500)
    assert 0 < found.call < found.search < 20 * found.call
    assert "about" in cost_words(found, "gpt-4.1", 10, 500)
    assert estimate(prompt, (), "nobody", 10, TokenCounter()).search is None
    assert estimate(prompt, (), "offline", 10, TokenCounter()).search == 0
    assert (dollars(None), dollars(1234.5), dollars(0.0042)) == ("unknown", "$1,234.50", "$0.0042")


def test_a_token_count_learns_from_the_server():
    """What the server counted replaces the four characters per token."""
    counter = TokenCounter()
    assert counter.words(counter.count("x" * 400)).startswith("about 100 tokens (4 characters per token")
    counter.learn("x" * 400, 200)
    assert counter.count("x" * 400) == 200


def test_the_session_asks_searches_and_replays(session):
    """The whole path with the stand-in: ask, search, open the record, bring a step back with its results."""
    assert session.asking()().accepted
    live = session.search().live
    live.start()
    run = live.wait(60)
    assert run.finished
    recording = session.open(run.path)
    assert [point.iteration for point in recording.points] == [1, 2, 3]
    session.edit_step(2)
    assert len(session.trials) == 2
    assert "2 results in it" in session.facts()
    assert session.draft.prompt().messages(session.trials) == list(recording.steps[2].messages)


def test_changing_the_model_keeps_the_text_and_another_benchmark_forgets_results(session):
    """What one has typed is not lost to a choice that does not touch it."""
    session.edit(session.draft.source + "\nMind the width.")
    session.choose(model="gpt-4.1", temperature=0.5)
    assert session.draft.changed
    session.choose(history="dialogue")
    assert session.draft.source.endswith("Mind the width.")
    session.choose(benchmark="nas-bench-201-cifar100")
    assert session.trials == ()
    assert session.draft.source.endswith("Mind the width.")


def test_pairs_settle_or_say_how_many_more(benchmark, tmp_path):
    """Better, worse and open, in a sentence; the same settings are refused."""
    settings = ({"prompt": "minimal"}, {"prompt": "reasoned"})
    better = Paired(*settings, tuple((seed, 400.0 + seed, 20.0 + 3 * seed) for seed in range(8)), 0.8)
    assert better.verdict().startswith("The variant is better")
    worse = Paired(*settings, tuple((seed, 20.0 + 3 * seed, 400.0) for seed in range(8)))
    assert worse.verdict().startswith("The variant is worse")
    unclear = Paired(*settings, ((0, 100.0, 40.0), (1, 60.0, 90.0), (2, 50.0, 55.0)), 0.3)
    assert re.match(r"Cannot tell, about \d+ more pairs of runs needed \(about \$", unclear.verdict())
    xml.dom.minidom.parseString(paired_svg(unclear))
    assert better.differing == {"prompt": ("minimal", "reasoned")}
    with pytest.raises(InvalidParameter, match="baseline itself"):
        compare_prompts(benchmark, settings[0], settings[0], [0], 2, tmp_path)


def test_a_comparison_runs_both_over_seeds(benchmark, tmp_path):
    """The stand-in does the same with both prompts: every pair is equal."""
    paired = compare_prompts(benchmark, {"prompt": "minimal"}, {"prompt": "reasoned"}, [0, 1], 3, tmp_path)
    assert len(paired.pairs) == 2
    assert all(rank == own for _, rank, own in paired.pairs)
    assert paired.spent == 0
    assert len(list(tmp_path.glob("*.jsonl"))) == 4
    assert paired.comparison is None
    assert (paired.is_fixed, paired.more_needed()) == (True, 0)
    assert paired.verdict().startswith("Cannot tell (n = 1, a fixed rule)")
    assert "needed" not in paired.verdict()


def test_a_search_of_a_comparison_takes_no_more_than_its_limit(benchmark, tmp_path):
    """The comparison fails at the search that needs more, and says which limit it was."""
    limits = Limits(calls=1)
    with pytest.raises(InvalidParameter, match=r"the search with seed 0 failed(.|\n)*calls"):
        compare_prompts(benchmark, {"prompt": "minimal"}, {"prompt": "reasoned"}, [0, 1], 3, tmp_path, limits=limits)
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_actions_are_lines_of_python_without_a_client():
    """Each compiles, and an object of the session is left out."""
    settings = {"model": "offline", "prompt": "standard", "client": object()}
    lines = [ask_line("b", settings, 0, 2), search_line("b", settings, 5, 0, "a.jsonl"), step_line("a.jsonl", 3)]
    lines.append(search_line("b", settings, 5, 0, "a.jsonl", Limits(dollars=0.5)))
    assert "limits=gk.Limits(dollars=0.5))" in lines[-1]
    for line in lines:
        compile(line, "lab", "exec")
        assert "client" not in line
        assert "\n" not in line
