"""The lab in a real browser: what a person does in it, on a real JupyterLab server."""

import re
import shutil
import time
from datetime import datetime

import pytest
from browser_lab import NOTEBOOK, LabPage, chromium, lab_server

from genius_kit.journal import read_run
from genius_kit.llm.offline import answer
from genius_kit.prompts.template import variants_folder
from tests.chat_server import ChatServer

pytestmark = pytest.mark.slow


@pytest.fixture
def nothing_left_behind():
    """The kernel keeps its connections to the model's server from one test to the next, and both outlive them."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, embedded_cache):
    """The notebook of the lab, run once in Chromium."""
    path = chromium()
    sync = pytest.importorskip("playwright.sync_api")
    folder = tmp_path_factory.mktemp("jupyter")
    (folder / "notebooks").mkdir()
    shutil.copy(NOTEBOOK, folder / "notebooks")
    with pytest.MonkeyPatch.context() as patch, ChatServer(lambda body, number: answer(body["messages"])) as model:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        patch.setenv("OPENAI_BASE_URL", model.url)
        patch.setenv("OPENAI_API_KEY", "any")
        with lab_server(folder, folder / "server.log") as address, sync.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 1500})
            page.set_default_timeout(20_000)
            opened = LabPage(page, address, f"notebooks/{NOTEBOOK.name}")
            opened.run_all()
            opened.folder, opened.model = folder, model
            yield opened
            browser.close()


def expect(*arguments):
    """Return playwright's assertion, which waits, longer where the machine does other work."""
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)
    return expect(*arguments)


def test_the_lab_shows_curve_and_drawing_of_the_recorded_run(lab):
    """The search that the notebook ran is open when the lab appears."""
    expect(lab.page.locator(".genius-curve")).to_have_attribute("aria-label", re.compile("10 evaluations"))
    expect(lab.page.locator(".genius-drawing svg")).to_have_attribute("aria-label", re.compile("NAS-Bench-201"))


def test_an_edit_shows_in_the_prompt_and_a_wrong_placeholder_in_a_sentence(lab):
    """The prompt follows the keys; an unknown placeholder is marked and named with its line."""
    lab.tab("Prompt")
    field = lab.field("Prompt template")
    text = field.input_value()
    field.fill(text.replace("<!-- user -->\n", "<!-- user -->\nMind the width.\n"))
    expect(lab.page.locator(".genius-prompt")).to_contain_text("Mind the width.")
    expect(lab.page.locator(".genius-difference .genius-added")).to_have_text("+Mind the width.\n")
    field.fill(text + "\n{{ surprise }}")
    expect(lab.page.locator(".genius-problem")).to_contain_text("unknown placeholders: surprise")
    expect(lab.page.locator(".genius-prompt mark")).to_have_text("{{ surprise }}")
    field.fill(text)
    expect(lab.page.locator(".genius-problem")).to_have_text("")


def test_control_and_enter_ask_the_stand_in(lab):
    """The reply comes with its architecture marked, and each rule."""
    lab.tab("Prompt")
    lab.field("Prompt template").press("Control+Enter")
    reply = lab.page.locator(".genius-reply[aria-label=Reply]")
    expect(reply.locator("mark")).to_have_text("[3, 3, 3, 3, 3, 3]")
    expect(reply).to_contain_text("passed: not tried before")
    expect(lab.page.locator(".genius-line code")).to_contain_text("lab.ask_once(")


@pytest.mark.full
def test_a_search_runs_to_its_end_and_another_is_stopped(lab):
    """The curve grows to the budget; a stopped search can go on."""
    lab.tab("Search")
    lab.button("Run a search").click()
    expect(lab.status).to_have_text(re.compile("^Finished: 10 of 10"))
    expect(lab.page.locator(".genius-curve")).to_have_attribute("aria-label", re.compile("^10 evaluations"))
    lab.field("Approve each proposal").check()
    lab.button("Run a search").click()
    expect(lab.status).to_contain_text("Waiting for your decision")
    lab.button("Stop now").click()
    expect(lab.status).to_contain_text("Stopped")
    lab.field("Approve each proposal").uncheck()


def test_proposals_are_approved_edited_and_rejected(lab):
    """Each decision waits for its button; the reason goes into the journal."""
    lab.tab("Search")
    lab.field("Approve each proposal").check()
    lab.button("Run a search").click()
    expect(lab.status).to_contain_text("Waiting for your decision: 0 of 10")
    lab.button("Approve").click()
    expect(lab.status).to_contain_text("decision: 1 of 10")
    lab.field("Reason (told to the model on Reject)").fill("too wide")
    lab.button("Reject").click()
    expect(lab.page.locator(".genius-line code")).to_contain_text("decide('reject', reason='too wide')")
    expect(lab.status).to_contain_text("decision: 1 of 10")
    lab.field("Evaluate instead").fill("012340")
    lab.field("Evaluate instead").press("Tab")
    lab.button("Use the edited one").click()
    expect(lab.status).to_contain_text("decision: 2 of 10")
    lab.field("Decided by").fill("ada")
    lab.field("Reason (told to the model on Reject)").fill("enough")
    lab.button("End the search").click()
    expect(lab.status).to_contain_text("Stopped")
    expect(lab.page.locator(".genius-line code")).to_contain_text("decide('end', reason='enough', by='ada')")
    lab.field("Approve each proposal").uncheck()
    journals = sorted(lab.folder.glob("reports/runs/08_prompt_lab/lab/*.jsonl"))
    assert "too wide" in journals[-1].read_text()


def start(lab, delay, budget=10, approve=False):
    """Begin a search that asks the server, which takes `delay` seconds a reply."""
    lab.model.delay = delay
    for name, value in (("Model", "scripted-1"), ("Budget", str(budget))):
        lab.field(name).fill(value)
        lab.field(name).press("Tab")
    lab.tab("Search")
    lab.field("Approve each proposal").set_checked(approve)
    lab.button("Run a search").click()


@pytest.mark.full
def test_a_search_is_paused_resumed_given_more_and_ended_after_this_one(lab):
    """While paused no request goes out; a raised budget shows; the last evaluation is finished."""
    start(lab, 0.8)
    expect(lab.status).to_have_text(re.compile("^Running: [1-9]"))
    lab.button("Pause").click()
    expect(lab.status).to_contain_text("Paused")
    asked = len(lab.model.requests)
    lab.page.wait_for_timeout(2_500)
    assert len(lab.model.requests) <= asked + 1  # the one that was under way
    lab.field("New budget").fill("12")
    lab.field("New budget").press("Tab")
    lab.button("Raise the budget").click()
    lab.button("Resume").click()
    expect(lab.status).to_contain_text("of 12 evaluated")
    lab.button("Stop after this one").click()
    expect(lab.status).to_contain_text("Stopped")
    journal = sorted(lab.folder.glob("reports/runs/08_prompt_lab/lab/*.jsonl"))[-1].read_text()
    for event in ("paused", "resumed", "budget_raised", "stop_requested"):
        assert f'"event":"{event}"' in journal


@pytest.mark.full
def test_a_model_that_never_answers_is_stopped(lab):
    """The age of the call is shown; it is hung up on to pause, asked anew by resuming, and stopped at once."""
    start(lab, 60)
    expect(lab.page.locator(".genius-state")).to_contain_text("waiting for the reply 0:01")
    lab.button("Pause now").click()
    expect(lab.status).to_contain_text("Paused", timeout=2_000)
    asked = len(lab.model.requests)
    lab.button("Resume").click()
    expect(lab.page.locator(".genius-state")).to_contain_text("waiting for the reply 0:01")
    assert len(lab.model.requests) == asked + 1
    lab.button("Stop now").click()
    expect(lab.status).to_contain_text("Stopped", timeout=2_000)
    assert not lab.errors


@pytest.mark.full
def test_the_most_that_may_be_spent_holds_a_search(lab):
    """Nothing is asked that may cost more; with a higher limit the same search goes on to its end."""
    lab.model.delay, asked = 0.0, len(lab.model.requests)
    for name, value in (("Model", "gpt-4.1"), ("Output limit", "100")):
        lab.field(name).fill(value)
        lab.field(name).press("Tab")
    lab.tab("Search")
    spend = lab.field("Spend at most $ (0: any)")
    spend.fill("0.001")
    spend.press("Tab")
    lab.button("Run a search").click()
    expect(lab.status).to_contain_text("Stopped")
    expect(lab.status).to_contain_text("the run may take $0.001")
    assert len(lab.model.requests) == asked
    spend.fill("5")
    spend.press("Tab")
    expect(lab.page.locator(".genius-line code")).to_contain_text("limit(gk.Limits(dollars=5.0))")
    lab.button("Resume").click()
    expect(lab.status).to_have_text(re.compile("^Finished: 10 of 10"))
    assert {body["max_tokens"] for body in lab.model.bodies[-9:]} == {100}
    for name, value in (("Spend at most $ (0: any)", "0"), ("Output limit", "")):
        lab.field(name).fill(value)
        lab.field(name).press("Tab")


@pytest.mark.full
def test_a_prompt_is_saved_under_a_name(lab):
    """The name is a variant from then on."""
    lab.field("Model").fill("offline")
    lab.field("Model").press("Tab")
    lab.tab("Prompt")
    before = lab.field("Variant or file").input_value()
    lab.field("Save as").fill("of_the_browser")
    lab.field("Save as").press("Tab")
    lab.button("Save").click()
    expect(lab.page.locator(".genius-line code")).to_contain_text("of_the_browser")
    expect(lab.field("Variant or file")).to_have_value("of_the_browser")
    choose(lab, "Variant or file", before)
    (variants_folder() / "of_the_browser.md").unlink()


WATCH_STEPS = """() => {
  const shown = document.querySelector(".genius-step");
  window.watching?.disconnect();
  window.steps = [];
  window.watching = new MutationObserver(() => window.steps.push(parseInt(shown.textContent)));
  window.watching.observe(shown, { childList: true });
}"""


def test_an_arrow_key_is_not_undone_by_what_was_on_its_way(lab):
    """Pressed while the lab still opens the run, or shows the step before: the slider goes one way only."""
    lab.tab("Replay")
    lab.button("Open").click()
    slider = lab.page.locator(".genius-slider input")
    expect(slider).to_have_value("10")
    lab.page.evaluate(WATCH_STEPS)
    lab.hold(1)
    lab.button("Open").click()
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    expect(lab.page.locator(".genius-reply[aria-label=Step]")).to_contain_text("Iteration 7:")
    expect(slider).to_have_value("7")
    assert lab.page.evaluate("window.steps") == [9, 8, 7]


def test_what_is_typed_is_not_undone_by_what_was_on_its_way(lab):
    """Typed right after the variant's text was asked for, or another variant: field, prompt and drafts agree."""
    lab.tab("Prompt")
    field, prompt = lab.field("Prompt template"), lab.page.locator(".genius-prompt")
    original = field.input_value()
    field.fill(f"{original}\nMind the width.")
    expect(prompt).to_contain_text("Mind the width.")
    lab.hold(1)
    lab.button("Back to the variant").click()
    field.fill(f"{original}\nMind the depth.")
    expect(prompt).to_contain_text("Mind the depth.")
    expect(field).to_have_value(f"{original}\nMind the depth.")
    lab.hold(2)
    variant = lab.field("Variant or file").input_value()
    choose(lab, "Variant or file", "reasoned")
    field.fill(f"{original}\nMind both.")
    expect(lab.page.locator(".genius-name")).to_have_text("from reasoned")
    expect(prompt).not_to_contain_text("Mind")
    assert "Mind" not in field.input_value()
    choose(lab, "Variant or file", variant)
    expect(field).to_have_value(f"{original}\nMind both.")
    lab.button("Back to the variant").click()
    expect(field).to_have_value(original)


def choose(lab, name, value):
    """Type a choice."""
    lab.field(name).fill(value)
    lab.field(name).press("Tab")


def test_a_recorded_run_is_stepped_with_arrow_keys_and_clicks(lab):
    """The slider under the curve steps; a step opens in the editor with the results before it."""
    lab.tab("Replay")
    lab.button("Open").click()
    expect(lab.status).to_contain_text("Recorded run")
    slider = lab.page.locator(".genius-slider input")
    expect(slider).to_have_value("10")
    slider.focus()
    slider.press("ArrowLeft")
    step = lab.page.locator(".genius-reply[aria-label=Step]")
    expect(step).to_contain_text("Iteration 9:")
    lab.page.locator(".genius-curve").scroll_into_view_if_needed()
    box = lab.page.locator(".genius-curve").bounding_box()
    lab.page.mouse.click(box["x"] + box["width"] * (56 + 492 * 0.25) / 560, box["y"] + box["height"] / 2)
    expect(step).to_contain_text("Iteration 3:")
    expect(step).to_contain_text("Difference to iteration")
    lab.button("Open this step in the editor").click()
    expect(lab.page.locator(".genius-facts")).to_contain_text("2 results in it")
    lab.button("Forget results").click()


@pytest.mark.full
def test_a_wrong_path_is_a_sentence(lab):
    """No traceback, and the lab goes on."""
    lab.tab("Replay")
    path = lab.field("Journal")
    before = path.input_value()
    path.fill("nowhere.jsonl")
    path.press("Tab")
    lab.button("Open").click()
    expect(lab.alert).to_contain_text("there is no journal at nowhere.jsonl")
    path.fill(before)
    path.press("Tab")
    lab.button("Open").click()
    expect(lab.alert).to_have_count(0)


@pytest.mark.full
def test_variants_are_compared_over_seeds(lab):
    """The stand-in does the same with both: the verdict says that it is a fixed rule and shows each pair."""
    lab.tab("Compare")
    lab.button("Pin as baseline").click()
    lab.field("Variant or file").fill("reasoned")
    lab.field("Variant or file").press("Tab")
    lab.field("Seeds").fill("2")
    lab.field("Seeds").press("Tab")
    lab.button("Run beside the baseline").click()
    result = lab.page.locator(".genius-part-compare section[aria-label=Comparison]")
    expect(result).to_contain_text("Cannot tell")
    expect(result).to_contain_text("a fixed rule")
    expect(result.locator("svg circle")).to_have_count(2)
    expect(lab.status).to_contain_text("Cannot tell")


@pytest.mark.full
def test_several_rows_are_compared_with_the_baseline(lab):
    """Calls and prompts are told before; each row has its verdict."""
    lab.tab("Compare")
    for variant in ("reasoned", "standard"):
        lab.field("Variant or file").fill(variant)
        lab.field("Variant or file").press("Tab")
        lab.button("Add as a row").click()
    told = lab.page.get_by_label("What is compared")
    expect(told).to_contain_text("3 rows × 2 seeds")
    told.locator("summary", has_text="Row 3").click()
    expect(told.locator("details[open] .diff_add").first).to_be_visible()
    lab.button("Run beside the baseline").click()
    expect(lab.status).to_contain_text("Row 3: Cannot tell")
    expect(lab.page.locator(".genius-part-compare section[aria-label=Comparison] svg")).to_have_count(2)


@pytest.mark.full
def test_axe_finds_nothing_serious_in_the_lab(lab):
    """No serious or critical finding in our part of the page, in any of its tabs."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for tab in ("Prompt", "Search", "Replay", "Compare"):
        lab.tab(tab)
        found = axe.run(
            lab.page,
            context={
                "include": [
                    [".genius-lab"],
                    [".jp-OutputArea-output .jp-RenderedWidget, .jp-OutputArea-output .widget-vbox"],
                ]
            },
        )
        serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert not serious, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in serious]


def test_a_script_in_a_reply_does_not_run(lab):
    """Scripts and handlers in a reply stand in the answer as text."""
    attack = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'><svg onload='window.ran = 3'></svg>"
    lab.model.delay = 0.0
    script, lab.model.script = lab.model.script, lambda body, number: f"{attack}\n\n{answer(body['messages'])}"
    try:
        lab.field("Model").fill("scripted-1")
        lab.field("Model").press("Tab")
        lab.tab("Prompt")
        lab.field("Prompt template").press("Control+Enter")
        reply = lab.page.locator(".genius-reply[aria-label=Reply]")
        expect(reply).to_contain_text("<script>window.ran = 1</script>")
        lab.page.wait_for_timeout(500)
        assert lab.page.evaluate("window.ran") is None
    finally:
        lab.model.script = script


# Two things at once


def test_a_reload_shows_all_of_a_search_that_runs_and_can_stop_it(lab):
    """Every dot, the right best line, parts that turn, buttons that act."""
    start(lab, 0.3, 40)
    expect(lab.status).to_have_text(re.compile("^Running: [3-9]"))
    lab.save_and_reload()
    expect(lab.status).to_have_text(re.compile("^Running: [0-9]+ of 40"))
    expect(lab.page.locator(".genius-chat mark").last).to_be_visible()
    drawn, told = lab.curve
    assert drawn == told >= 3
    lab.tab("Replay")
    expect(lab.status).to_contain_text("Recorded run")
    assert lab.curve == (10, 10)
    lab.tab("Search")
    lab.button("Stop now").click()
    expect(lab.status).to_contain_text("Stopped")
    asked = len(lab.model.requests)
    lab.page.wait_for_timeout(1_000)
    assert len(lab.model.requests) == asked


def test_a_recorded_run_opened_in_mid_search_keeps_its_points(lab):
    """The curve of the recorded run has ten points for as long as it is looked at; the search has its own."""
    start(lab, 0.3, 40)
    lab.tab("Replay")
    lab.button("Open").click()
    expect(lab.status).to_contain_text("Recorded run")
    for _ in range(5):
        lab.page.wait_for_timeout(300)
        assert lab.curve == (10, 10)
    expect(lab.page.get_by_text("Under Search:")).to_contain_text("running")
    lab.tab("Search")
    expect(lab.status).to_have_text(re.compile("^Running: "))
    lab.page.locator(".genius-tools select").select_option("rank")
    expect(lab.page.locator(".genius-axes")).to_contain_text("rank (1 is best)")
    lab.button("Stop now").click()
    expect(lab.status).to_contain_text("Stopped")
    lab.page.locator(".genius-tools select").select_option("accuracy")


def test_a_point_tells_what_it_is_when_it_is_pointed_at(lab):
    """Key, accuracy, rank, multiply-accumulates, parameters."""
    lab.tab("Replay")
    expect(lab.page.locator(".genius-caption")).to_contain_text("nas-bench-201-cifar10")
    curve = lab.page.locator(".genius-curve")
    box = curve.bounding_box()
    curve.hover(position={"x": box["width"] * (56 + 492 * 0.05) / 560, "y": box["height"] / 2})  # once it lies still
    tip = lab.page.locator(".genius-tip")
    for text in ("333333: 6 times 3×3 conv", "validation accuracy 90.20 %", "rank 685", "220,119,690", "1,531,546"):
        expect(tip).to_contain_text(text)
    expect(lab.page.locator(".genius-held").first).to_have_text("best of the table")


def test_a_cell_that_is_run_again_has_the_search_with_its_buttons(lab):
    """While it waits for a decision too; the choices of the new cell are not those of the search."""
    start(lab, 0.3, 40, True)
    expect(lab.status).to_contain_text("Waiting for your decision: 0 of 40")
    lab.field("Benchmark").select_option("nas-bench-201-cifar100")
    expect(lab.page.locator(".genius-caption")).to_contain_text("nas-bench-201-cifar10,")
    lab.run_the_cell()
    expect(lab.status).to_contain_text("Waiting for your decision: 0 of 40")
    expect(lab.field("Model")).to_have_value("offline")
    expect(lab.page.locator(".genius-caption")).to_contain_text("scripted-1")
    lab.button("Approve").click()
    expect(lab.status).to_contain_text("decision: 1 of 40")
    lab.button("Stop now").click()
    expect(lab.status).to_contain_text("Stopped")
    lab.field("Approve each proposal").uncheck()


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("situation", ["idle", "running", "waiting for approval", "in replay"])
def test_reloads_come_back_true(lab, situation):
    """Five times in each situation: all points, the words of the state, and buttons that act."""
    for number in range(5):
        if situation in ("running", "waiting for approval"):
            start(lab, 0.3, 40, situation != "running")
            wanted = re.compile("^Running: [2-9]" if situation == "running" else "^Waiting for your decision")
            expect(lab.status).to_have_text(wanted)
        else:
            lab.tab("Prompt" if situation == "idle" else "Replay")
        if situation == "in replay":
            lab.page.locator(".genius-slider input").fill(str(number + 2))
        lab.save_and_reload()
        lab.page.wait_for_timeout(500)
        if situation == "in replay":
            expect(lab.page.locator(".genius-reply[aria-label=Step]")).to_contain_text(f"Iteration {number + 2}:")
            assert lab.curve == (10, 10)
        elif situation == "idle":
            lab.tab("Replay")
            expect(lab.status).to_contain_text("Recorded run")
            assert lab.curve == (10, 10)
        else:
            expect(lab.status).to_contain_text("Running" if situation == "running" else "Waiting for your decision")
            if situation != "running":
                lab.button("Approve").click()
                expect(lab.status).to_contain_text("decision: 1 of 40")
            drawn, told = lab.curve
            assert drawn == told
            lab.button("Stop now").click()
            expect(lab.status).to_contain_text("Stopped")
        print(f"reload {number + 1} of 5, {situation}: as it was, and its buttons act")
    assert lab.errors == []


WATCH = """() => {
  const curve = document.querySelector(".genius-curve");
  window.drawn = [];
  new MutationObserver(() => window.drawn.push([Date.now(), curve.getAttribute("aria-label")]))
    .observe(curve, { attributes: true, attributeFilter: ["aria-label"] });
}"""


def percentile(values, share):
    """Return the value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_point_is_drawn_soon_after_its_evaluation(lab):
    """From the time of its line in the journal to the change of the page, in milliseconds."""
    late = []
    for _ in range(3):
        start(lab, 0.05, 40)
        expect(lab.status).to_have_text(re.compile("^Running: [0-9] of 40"))
        lab.page.evaluate(WATCH)
        expect(lab.status).to_have_text(re.compile("^Finished: 40 of 40"), timeout=120_000)
        journal = sorted(lab.folder.glob("reports/runs/08_prompt_lab/lab/*.jsonl"))[-1]
        done = [datetime.fromisoformat(event["time"]).timestamp() for event in read_run(journal).of("evaluation")]
        seen = {}
        for when, text in lab.page.evaluate("window.drawn"):
            seen.setdefault(int(re.match(r"\d+", text)[0]), when)
        late += [when - 1000 * done[number - 1] for number, when in seen.items()]
    print(f"point drawn: n={len(late)}, p50 {percentile(late, 0.5):.0f} ms, p95 {percentile(late, 0.95):.0f} ms")
    assert len(late) >= 60
    assert percentile(late, 0.5) < 1_000  # on a loaded machine; the goal is 100 ms for 95 % on idle cores


KEYS = """async (count) => {
  const field = document.querySelector(".genius-template textarea");
  const prompt = document.querySelector(".genius-prompt");
  const facts = document.querySelector(".genius-facts");
  const seen = (text) => prompt.textContent.includes(text) && facts.textContent.includes("$");
  const text = field.value;
  const late = [];
  for (let number = 0; number < count; number += 1) {
    const mark = `Mark ${number}.`;
    const began = performance.now();
    field.value = `${text}\\n${mark}`;
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    while (!seen(mark) && performance.now() - began < 20000) await new Promise(requestAnimationFrame);
    late.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return late;
}"""


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_keystroke_is_rendered_soon_with_its_cost(lab):
    """From the change of the field to the prompt that holds it, drawn, with a price shown, in milliseconds."""
    choose(lab, "Model", "gpt-4.1")
    lab.tab("Prompt")
    expect(lab.page.locator(".genius-facts")).to_contain_text("$")
    late = lab.page.evaluate(KEYS, 100)
    lab.button("Back to the variant").click()
    choose(lab, "Model", "offline")
    print(f"keystroke: n={len(late)}, p50 {percentile(late, 0.5):.0f} ms, p95 {percentile(late, 0.95):.0f} ms")
    assert percentile(late, 0.5) < 1_000  # on a loaded machine; the goal is 100 ms for 95 % on idle cores


SOON = """async ([name, words]) => {
  const all = (selector) => [...document.querySelectorAll(`.jp-OutputArea-output ${selector}`)];
  const button = all(".widget-button").find((one) => one.textContent === name);
  const shown = () => all("[role=status]").some((one) => one.checkVisibility() && words.test(one.textContent));
  words = new RegExp(`^(${words})`);
  let changed = false;
  const root = button.closest(".jp-OutputArea");
  const watch = new MutationObserver(() => (changed = true));
  watch.observe(root, { subtree: true, childList: true, characterData: true });
  const began = performance.now();
  button.click();
  while (!(changed && shown()) && performance.now() - began < 20000) await new Promise(requestAnimationFrame);
  watch.disconnect();
  return performance.now() - began;
}"""


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("part", "button", "words", "stop"),
    [
        ("Search", "Run a search", "Starting|Running", "Stop now"),
        ("Compare", "Run beside the baseline", "Comparing over|Starting|Running", "Stop comparing"),
        ("Prompt", "Ask once", "Asking", "Give up waiting"),
        ("Replay", "Open", "Recorded run", None),
    ],
)
def test_something_is_seen_soon_after_each_start(lab, part, button, words, stop):
    """From the press to the first words of what was begun, in milliseconds, while the server takes its time."""
    start(lab, 5)
    lab.button("Stop now").click()
    expect(lab.status).to_contain_text("Stopped")
    lab.tab(part)
    if part == "Compare":
        lab.button("Pin as baseline").click()
        choose(lab, "Variant or file", "reasoned")
    late = []
    for number in range(12):
        if part == "Compare":
            choose(lab, "Seed", str(100 + number))
        if part == "Replay":
            lab.tab("Prompt")
            lab.tab("Replay")
        late.append(lab.page.evaluate(SOON, [button, words]))
        if stop is not None:
            lab.button(stop).click()
            expect(lab.button(button)).to_be_enabled()
    told = f"n={len(late)}, p50 {percentile(late, 0.5):.0f} ms, p95 {percentile(late, 0.95):.0f} ms"
    print(f"seen after {button!r}: {told}, longest {max(late):.0f} ms")
    assert percentile(late, 0.5) < 1_000


@pytest.mark.full
@pytest.mark.timeout(600)
def test_no_request_goes_out_after_a_stop(lab):
    """From the click to the last request that the server saw, in milliseconds; none later than a second."""
    late = []
    lab.page.evaluate("document.addEventListener('click', () => (window.clicked = Date.now()), true)")
    for _ in range(20):
        start(lab, 0.05, 40)
        expect(lab.status).to_have_text(re.compile("^Running: [2-9]"))
        arrived, script = [], lab.model.script
        lab.model.script = lambda body, number, arrived=arrived, script=script: (
            arrived.append(time.time()) or script(body, number)
        )
        lab.button("Stop now").click()
        expect(lab.status).to_contain_text("Stopped")
        lab.page.wait_for_timeout(500)
        lab.model.script = script
        clicked = lab.page.evaluate("window.clicked") / 1000
        late.append(max([0.0, *(when - clicked for when in arrived)]) * 1000)
    print(f"stop: n={len(late)}, last request p50 {percentile(late, 0.5):.0f} ms, p95 {percentile(late, 0.95):.0f} ms")
    assert percentile(late, 0.5) < 1_000  # on a loaded machine; the goal is 200 ms for 95 % on idle cores


def test_the_console_holds_no_error_of_ours(lab):
    """Everything above went by without one."""
    assert lab.errors == []


def test_a_search_ends_with_its_kernel(lab):
    """Runs last: nothing asks once the kernel is gone, and the page says so."""
    start(lab, 0.3, 40)
    expect(lab.status).to_have_text(re.compile("^Running: [1-9]"))
    lab.page.evaluate("async () => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    expect(lab.status).to_contain_text("The kernel of this cell is gone")
    lab.page.wait_for_timeout(1_500)
    asked = len(lab.model.requests)
    lab.page.wait_for_timeout(2_000)
    assert len(lab.model.requests) == asked
