"""Every printed command and block of Python is one that the program reads, and says what it needs."""

import shlex

import pytest

from tests import printed_commands
from tests.printed_commands import Printed, commands_in, faults, needs, pages, parse, printed_in, printed_on, said_on
from tests.test_extras import PROJECT, closure, distributions

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.fixture(scope="module")
def printed():
    return {page: list(printed_on(page)) for page in pages()}


def needed(text):
    """Return what each command of a line needs."""
    return [needs(words, parse(words)) for words in commands_in(Printed("page", 1, text, True))]


@pytest.mark.slow
def test_every_printed_command_is_read(printed):
    """Names, options, arguments, extras, imports and public names are those that there are."""
    wrong = [fault for found in printed.values() for one in found for fault in faults(one, said_on(found))]
    assert wrong == []


def test_the_pages_hold_what_is_looked_for(printed):
    """Commands, blocks of Python and cells of notebooks are found: nothing is right because nothing was read."""
    commands = [words for found in printed.values() for one in found for words in commands_in(one)]
    assert {words[0] for words in commands} == {"genius-kit", "torchrun", "python", "pip"}
    assert len({shlex.join(words) for words in commands}) > 50
    python = [one for found in printed.values() for one in found if one.is_python]
    assert len(python) > 150
    assert {one.page.partition(".")[2] for one in python} == {"md", "ipynb"}


@pytest.mark.slow
def test_data_that_a_command_needs_comes_with_the_command_that_gets_it(printed):
    """A page with a command that needs published files names `genius-kit data fetch`."""
    for page, found in printed.items():
        data = [text for one in found for text in needed(one.text) if text.startswith(printed_commands.DATA)]
        assert not data or "genius-kit data fetch" in {one.text for one in found}, f"{page}: {data}"


def test_blocks_import_only_what_every_installation_has(printed):
    """No block needs an extra: its modules are those of `pip install -e .`."""
    own = closure(PROJECT["dependencies"]) | {"genius-kit"}
    for found in printed.values():
        for one in (one for one in found if one.is_python):
            for module in printed_commands.modules_in(one.text):
                assert module.startswith("genius_kit") or not distributions(module) or distributions(module) & own


def test_the_first_command_runs_every_notebook_that_needs_no_data():
    """It is the one after `pip install -e .`, and leaves an index and a page each."""
    assert printed_commands.first_command() == ["genius-kit", "report"]
    expected = printed_commands.expected_pages()
    assert {"index.html", "00_quickstart.html", "06_optimisers.html"} < expected
    assert "04_imagenet_search.html" not in expected


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("genius-kit report", ""),
        ("genius-kit run nas-bench-201-cifar10 --proposer tpe", ""),
        ("genius-kit run nas-bench-macro --proposer tpe", "the data nas-bench-macro"),
        ("genius-kit run nas-bench-201-cifar10 --model gpt-4.1", "a key"),
        ("genius-kit run nas-bench-201-cifar10 --model reciter:222222", ""),
        ("genius-kit run nas-bench-201-cifar10 --approve", "a person"),
        ("genius-kit study contamination", ""),
        ("genius-kit memory nas-bench-201-cifar10 --model gpt-4.1", "a key"),
        ("genius-kit memory nas-bench-macro", "the data nas-bench-macro"),
        ("genius-kit study contamination --models gpt-4.1,o4-mini", "a key"),
        ("genius-kit study does-it-search", "the data nas-bench-macro"),
        ("genius-kit estimate study contamination --models gpt-4.1", ""),
        ("genius-kit study contamination --dask tcp://10.0.0.1:8786", "the extra dask"),
        ("genius-kit detect evaluate 0 w.pt images a.json", "the extra detection"),
        ("genius-kit replay 329M", "the data chat_history/329M.json"),
        ("genius-kit report 01_search", ""),
        ("genius-kit report 04_imagenet_search", "the data chat_history/329M.json, chat_history/401M.json"),
        ("genius-kit ctl runs/a.jsonl pause", "a run under way"),
        ("genius-kit study FILE", "your FILE"),
        ("python -m tests.speed training", ""),
        ("torchrun --standalone -m genius_kit train nas-bench-201 0 --dataset digits --output a", ""),
    ],
)
def test_what_a_command_needs(text, need):
    """A key, data, an extra, a person: what a machine lacks after `pip install -e .`."""
    assert needed(text) == [need]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("    genius-kit report --al", "--al"),
        ("    genius-kit reports", "no command 'reports'"),
        ("    genius-kit data fetches", "no command 'data fetches'"),
        ("    genius-kit train nas-bench-macro --dataset digits --output a", "lacks an argument"),
        ("    genius-kit run nas-bench-macro --budget many", "many"),
        ("    torchrun --standalon --nproc 2 -m genius_kit train a b --dataset digits --output a", "torchrun"),
        ("    torchrun --standalone -m genius_kit train a b --dataset digits --outpt a", "--outpt"),
        ("    python -m tests.speed trainings", "trainings"),
        ("    pip install -e '.[tpe]' && genius-kit report", "no extra 'tpe'"),
        ("    genius-kit study models --dask tcp://10.0.0.1:8786", "how to get the extra dask"),
        ("Add `--dask ADDRESS` to it.", "how to get the extra dask"),
        ("Add `--dusk ADDRESS` to it.", "no command has the option --dusk"),
        ("Type `genius-kit run --chang` instead.", "--chang"),
        ("See `gk.load_benchmarks`.", "load_benchmarks"),
        ("```python\nfrom genius_kit import nothing\n```", "nothing"),
        ("```python\nrun = = 2\n```", "invalid syntax"),
    ],
)
def test_what_nobody_can_type_is_found(text, told):
    """An unknown name or option, a missing argument, an extra that the page does not say."""
    [found] = printed_in(text, "page.md")
    [fault] = faults(found, set())
    assert fault.startswith(f"page.md:{found.line}")
    assert told in fault


@pytest.mark.parametrize(
    "text",
    [
        "    pip install -e '.[dask]' && genius-kit study models --dask tcp://10.0.0.1:8786  # on a cluster",
        "`genius-kit slurm ... --yes`",
        "`genius-kit run`",
        "    genius-kit slurm optimisers --shards 8 | sbatch",
        "    GENIUS_KIT_SCHEDULES=1000 pytest tests/test_machine.py",
    ],
)
def test_what_can_be_typed_is_left_alone(text):
    """Comments, pipes, parts of commands within a sentence, other programs."""
    found = list(printed_in(text, "page.md"))
    assert [fault for one in found for fault in faults(one, said_on(found))] == []


def test_a_full_environment_is_no_bare_one(tmp_path):
    """The run of the printed commands refuses to start where an extra is installed, as it is here."""
    with pytest.raises(SystemExit, match="only extras bring it"):
        printed_commands.main([str(tmp_path)])


def test_a_page_that_is_not_there_is_named(tmp_path):
    """A check that names a page which was moved does not pass without it."""
    with pytest.raises(SystemExit, match=r"no page docs/moved\.md"):
        printed_commands.main([str(tmp_path), "README.md", "docs/moved.md"])
