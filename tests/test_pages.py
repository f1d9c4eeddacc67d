"""What the pages of docs/ show of the package, compared with the package."""

import dataclasses
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit import studies
from genius_kit.benchmarks import downloads
from genius_kit.benchmarks.base import Objectives
from genius_kit.cli import app
from genius_kit.errors import InvalidParameter, PromptError
from genius_kit.prompts.base import PLACEHOLDERS, read_template
from genius_kit.prompts.views import CHANGES, CONTROLS
from genius_kit.spaces import MacsBound

DOCS = Path(gk.__file__).resolve().parent.parent / "docs"
SETTINGS = {
    "constraint": {"constraint": MacsBound(upper_millions=100)},
    "objectives": {"objectives": Objectives("accuracy", "macs")},
    **{name: {"control": name} for name in CONTROLS},
    **{name: {"change": name} for name in CHANGES},
}


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def placeholder_rows():
    """The rows of the table of placeholders: name -> cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page("prompts.md").splitlines()]
    return {row[0].strip("`"): row for row in rows if len(row) == 3 and row[0].strip("`") in PLACEHOLDERS}


def is_refused(placeholder, settings, folder):
    """Whether a template with every placeholder but this one is refused."""
    template = folder / "own.md"
    template.write_text(
        "\n".join(f"{{{{ {name} }}}}" for name in PLACEHOLDERS if name != placeholder), encoding="utf-8"
    )
    try:
        gk.load_prompt(template, gk.load_space("nas-bench-macro"), **settings)
    except PromptError as error:
        return f"missing placeholders: {placeholder}" in str(error)
    except InvalidParameter:  # a control with a text of its own takes no template
        return False
    return False


def test_the_page_on_money_shows_what_the_estimate_prints(no_data):
    """Its command prints this table; dollars are compared where the list of prices has the price of the page."""
    (shown,) = re.findall(r"```text\n(.*?)```", page("money.md"), re.DOTALL)
    (command,) = re.findall(r"^genius-kit (estimate run .*)$", page("money.md"), re.MULTILINE)
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    printed = done.stdout
    tables, price = [text.split("price of")[0] for text in (printed, shown)], "$2 in, $10 out per million tokens"
    assert price in shown
    if price not in printed:
        tables = [re.sub(r"\s+\$\S+", "", text) for text in tables]
    assert tables[0] == tables[1]


def test_the_page_on_prompts_shows_a_whole_template():
    """The one it shows is the file of the variant `minimal`."""
    (shown,) = re.findall(r"```jinja\n(.*?)```", page("prompts.md"), re.DOTALL)
    assert shown == read_template("variants", "minimal")


def test_the_page_on_prompts_lists_every_placeholder():
    """Each with what fills it."""
    assert list(placeholder_rows()) == list(PLACEHOLDERS)


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_template_lacks_a_placeholder_only_where_the_page_says_so(placeholder, tmp_path):
    """A template without it is refused with the settings of its row, and with no other one."""
    told = set(re.findall(r"`([^`]+)`", placeholder_rows()[placeholder][2]))
    if is_refused(placeholder, {}, tmp_path):
        refused = set() if is_refused(placeholder, {"history": "dialogue"}, tmp_path) else {'history="table"'}
    else:
        refused = {name for name, settings in SETTINGS.items() if is_refused(placeholder, settings, tmp_path)}
    assert refused == told


def test_the_page_on_studies_counts_the_requests_of_does_it_search(tmp_path, no_data):
    """Arms that ask x seeds x evaluations after the first one, as the file has them and as a search sends them."""
    study = studies.load_study("does-it-search", benchmarks=["nas-bench-201-cifar10"])
    asking = [arm for arm in study.arms if arm.proposer == "llm"]
    text = " ".join(page("studies.md").split())
    assert f"{len(asking)} of its {len(study.arms)} arms ask the model" in text
    seeds, requests = len(study.seeds), study.budget - 1
    total = len(asking) * seeds * requests
    assert f"{len(asking)} arms x {seeds} seeds x {requests} = {total:,} requests" in text
    results = studies.run_study(dataclasses.replace(study, seeds=(0,)), tmp_path, progress=False)
    assert (results["calls"] - results["reused"] - results["rejections"]).sum() == total / seeds


def test_the_page_on_data_tells_the_size_of_the_download():
    """The sum of the published files."""
    size = sum(file.bytes for file in downloads.FILES.values())
    assert f"genius-kit data fetch           # {size / 1e6:.0f} MB" in (DOCS.parent / "data" / "README.md").read_text()


@pytest.mark.parametrize("name", ["reproducibility", "prompt-sensitivity", "principles"])
def test_the_page_on_limitations_counts_the_requests_of_a_study(name):
    """Arms x searches x evaluations after the first one, as the study file has them."""
    study = studies.load_study(name)
    asking, seeds, each = len(study.arms), len(study.seeds), study.budget - 1
    text = " ".join(page("limitations.md").split())
    assert f"{asking} arms x {seeds} searches x {each} requests = {asking * seeds * each:,} requests" in text
    if principles := sum("principles" in arm.settings for arm in study.arms):
        assert f"{principles * seeds} more for the principles (one per search in {principles} arms)" in text
