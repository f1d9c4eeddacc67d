"""Tables whose secret draws task, operations and rules: built in miniature, sealed, proved, altered and refused."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.benchmarks.private import private_folders
from genius_kit.cli import app
from genius_kit.errors import DataCorrupt, InvalidParameter
from genius_kit.figures.drawings import draw_architecture
from genius_kit.private.builds import build, check_seal, check_table, stamp
from genius_kit.private.cards import agreement_of, card_text
from genius_kit.private.draws import (
    FREE,
    LEAST_SPREAD,
    NOISES,
    WEIGHTED,
    Pilot,
    drawn_plan,
    pilot,
    promising_secret,
    spread_of_the_best,
)
from genius_kit.private.signals import CLASSES, FAMILIES, SignalTask, generator, make_signals, seal
from genius_kit.private.tables import PrivateTable, read_table
from genius_kit.private.training import SignalRecipe, train_cell
from genius_kit.spaces import load_space
from genius_kit.spaces.signal_cell import CONVOLUTIONS, LIBRARY, drawn_rules, signal_space
from tests.private_doubles import SECRET, drawn_table, write_table

OTHER = "ffeeddccbbaa99887766554433221100"  # pragma: allowlist secret
SECRETS = [f"{number:032x}" for number in range(60)]
TINY = SignalRecipe(seeds=1, epochs=1, batch=64, rate=0.01)


@pytest.fixture
def path(tmp_path):
    """A table of a drawn plan whose scores follow from the cell."""
    return write_table(drawn_table(), tmp_path)


def altered(path, change):
    """Write the table after `change` and return its path."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_secrets_draw_plans_of_every_kind():
    """The same secret draws the same plan; many draw all families, joins, readouts, and orders of the operations."""
    plans = [drawn_plan("a", secret) for secret in SECRETS]
    assert plans == [drawn_plan("a", secret) for secret in SECRETS]
    assert {plan.task.kind for plan in plans} == set(NOISES) == set(FAMILIES)
    assert {(plan.rules.join, plan.rules.readout) for plan in plans} == {
        (join, readout) for join in ("sum", "maximum", "product") for readout in ("mean", "maximum")
    }
    assert {name for plan in plans for name in plan.operations} == {"skip_connect", *WEIGHTED, *FREE}
    assert {plan.space.all_largest[0] for plan in plans} == {0, 1, 2}
    assert len({plan.space.name for plan in plans}) > 50


def test_a_drawn_space_is_loaded_by_its_name():
    """The name holds operations and rules: the same space, with its counts, comes from it alone."""
    for secret in SECRETS[:20]:
        space = drawn_plan("a", secret).space
        assert load_space(space.name) == space
        assert space.sizes() == (CLASSES, 48)
        assert gk.count_cost(load_space(space.name), space.all_largest) == gk.count_cost(space, space.all_largest)
    with pytest.raises(InvalidParameter, match="join"):
        load_space("signal-cell-dbma-average-mean-120")


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_has_signals_that_a_network_learns(kind):
    """The secret alone decides them; all labels come; a cell of two convolutions is better than chance by far."""
    task = SignalTask(kind, 1000, noise=NOISES[kind][0])
    first, again, other = (make_signals(task, secret) for secret in (SECRET, SECRET, OTHER))
    assert first.signals["train"].tobytes() == again.signals["train"].tobytes()
    assert not np.array_equal(first.signals["train"], other.signals["train"])
    assert set(first.labels["train"]) == set(range(CLASSES))
    plan = drawn_plan("a", SECRET)
    recipe = SignalRecipe(seeds=1, epochs=6, batch=32, rate=0.01)
    rules = dataclasses.replace(plan.rules, join="maximum")
    trained = train_cell((1, 0, 1, 0, 0, 1), ("shift_9", "conv_3"), task, first, recipe, rules)
    assert trained.test[0] > 1.7 * 1000 / CLASSES


@pytest.mark.parametrize("operation", LIBRARY)
def test_every_operation_counts_as_its_network_does(operation):
    """Parameters and MACs of cells with it are those that torch counts, whatever joins the nodes."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    operations = tuple(dict.fromkeys((operation, "conv_3", "skip_connect")))
    for join in ("sum", "maximum", "product"):
        space = signal_space(operations, drawn_rules(join, "maximum", 90))
        architecture = (1, 0, 1, 0, 0, 1)
        network = gk.build_network(space, architecture).eval()
        cost = gk.count_cost(space, architecture)
        assert sum(parameter.numel() for parameter in network.parameters()) == cost.parameters
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            assert network(torch.randn(1, 48)).isfinite().all()
        assert counter.get_total_flops() == 2 * cost.macs


def test_more_convolutions_make_a_network_narrower_and_smaller():
    """By the drawn rule channels times kernels are bounded, so the largest option everywhere has few weights."""
    space = load_space("signal-cell-dbi-sum-mean-200")
    sizes = [gk.count_cost(space, (0,) * count + (1,) * (6 - count)).parameters for count in range(1, 7)]
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert CONVOLUTIONS[space.options[space.largest]][0] == 3


def test_joins_and_operations_make_what_they_say():
    """Each operation without weights, on values that can be checked by eye."""
    torch = pytest.importorskip("torch")
    from genius_kit.networks.signal import carried

    values = torch.tensor([1.0, -2.0, 4.0, 0.0, 3.0])
    expected = {
        "skip_connect": [1, -2, 4, 0, 3],
        "absolute": [1, 2, 4, 0, 3],
        "reverse": [3, 0, 4, -2, 1],
        "shift_3": [0, 0, 0, 1, -2],
        "difference_2": [1, -2, 3, 2, -1],
        "maximum_3": [1, 4, 4, 4, 3],
        "mean_5": [0.6, 0.6, 1.2, 1.0, 1.4],
    }
    for name, wanted in expected.items():
        torch.testing.assert_close(carried(name, values), torch.tensor(wanted, dtype=torch.float32))


def test_a_drawn_table_is_built_and_proved(tmp_path):
    """It is read and sealed, and its secret draws the plan; the two cells that are checked are trained here."""
    plan = drawn_plan("tiny", SECRET, 100, TINY)
    checked = set(generator(SECRET, "check").permutation(len(plan.cells()))[:2])
    (tmp_path / "tiny" / "cells").mkdir(parents=True)
    for place, cell in enumerate(plan.cells()):  # a build goes on: what is kept is not trained
        if place not in checked:
            kept = {"validation": [place % 50], "test": [place % 40], "seconds": 1.0}
            (tmp_path / "tiny" / "cells" / f"{plan.key(cell)}.json").write_text(json.dumps(kept))
    few = dataclasses.replace(plan, operations=plan.operations[:2])
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(DataCorrupt, match="draws other operations"):
            build(few, tmp_path / "few", secret=SECRET, executor=pool, progress=False)
        table = build(plan, tmp_path / "tiny", secret=SECRET, executor=pool, progress=False)
    told = [*check_seal(table), *check_table(table, SECRET, 2)]
    assert f"all {len(plan.cells())} cells are as they were sealed" in told[0]
    assert "draws this task" in told[2]
    assert sum("the same counts" in line for line in told) == 2
    assert f"Seal: `{read_table(table).seal}`" in card_text(read_table(table))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["cells"]["000001"]["test"].__setitem__(0, content["cells"]["000001"]["test"][0] + 1),
        lambda content: content["cells"]["222222"].update(parameters=7),
        lambda content: content["cells"]["012012"].update(seconds=0.5),
        lambda content: content.update(commitment="0" * 64),
        lambda content: content["rules"].update(join="sum" if content["rules"]["join"] != "sum" else "maximum"),
        lambda content: content.pop("seal"),
        lambda content: content.update(format=1),
    ],
)
def test_one_altered_field_is_always_found_without_the_secret(path, change):
    """A count, a cost, a setting, or the seal itself taken away: the table is not read."""
    result = CliRunner().invoke(app, ["benchmark", "check", str(path)])
    assert result.exit_code == 0, result.output
    altered(path, change)
    with pytest.raises(DataCorrupt, match="seal"):
        list(check_seal(path))


def test_every_single_altered_cell_is_found(path):
    """Each of 729 cells, one at a time, by one count: the seal is another."""
    content = json.loads(path.read_text())
    for cell in content["cells"].values():
        cell["validation"][1] += 1
        assert seal(content) != content["seal"]
        cell["validation"][1] -= 1
    assert seal(content) == content["seal"]


def test_a_table_that_was_sealed_again_is_not_the_published_one(path):
    """Whoever alters a cell and the seal too is found by the seal that was shown elsewhere, and by a stored run."""
    published = read_table(path).seal

    def change(content):
        content["cells"]["000001"]["test"][0] += 1
        content["seal"] = seal(content)

    altered(path, change)
    list(check_seal(path))
    with pytest.raises(DataCorrupt, match="the published one"):
        list(check_seal(path, published))


def test_a_secret_that_draws_another_plan_is_refused(path):
    """A builder who chose the operations by hand cannot say that the secret drew them."""
    from genius_kit.private.signals import commitment

    content = json.loads(path.read_text())
    content["rules"]["target"] += 1
    settings = {name: content[name] for name in ("name", "task", "recipe", "operations", "draw", "rules")}
    content["commitment"] = commitment(SECRET, settings)
    content["seal"] = seal(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataCorrupt, match="draws other operations or rules"):
        list(check_table(path, SECRET, 0))


def test_a_timestamp_is_kept_beside_the_seal(path, tmp_path):
    """Anybody reads where the seal was shown; it changes no seal; a text of many lines is refused."""
    before = read_table(path).seal
    assert CliRunner().invoke(app, ["benchmark", "stamp", str(path), "commit 1234abcd of example.org/a"]).exit_code == 0
    assert read_table(path).seal == before
    assert "commit 1234abcd" in list(check_seal(path))[1]
    with pytest.raises(InvalidParameter, match="one line"):
        stamp(path, "two\nlines")
    with pytest.raises(DataCorrupt, match="timestamp"):
        read_table(altered(path, lambda content: content.update(timestamp=["a"])))


def test_tables_of_the_first_format_load_and_say_that_they_have_no_seal(tmp_path):
    """The shipped table from before is read; a check says what can be known of it, and no timestamp is put on it."""
    first = private_folders()[1] / "private-motif-pairs.json"
    assert read_table(first).seal == ""
    assert "no seal" in next(check_seal(first))
    with pytest.raises(DataCorrupt, match=r"\(none\)"):
        list(check_seal(first, "0" * 64))
    with pytest.raises(InvalidParameter, match="no seal"):
        stamp(first, "today")


def test_a_drawn_table_is_searched_and_its_prompt_says_its_rules(path, tmp_path, monkeypatch):
    """It loads by its name; the prompt names its operations, its join and its width rule, and nothing of the secret."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    benchmark = gk.load_benchmark("drawn")
    assert benchmark.space.size == 729
    run = gk.search(benchmark, gk.make_proposer("evolution", benchmark.space), budget=5, seed=0)
    assert run.frame()["feedback"].notna().all()
    rules = benchmark.space.rules
    shown = gk.load_prompt("standard", benchmark.space).messages([])[-1]["content"]
    assert all(f"- {number}: {name}. " in shown for number, name in enumerate(benchmark.space.options))
    assert f"a node is the {rules.join}" in shown
    assert f"are at most {rules.target}" in shown
    assert SECRET not in shown
    draw_architecture(benchmark.space, benchmark.space.all_largest)


def test_a_pilot_says_whether_a_secret_is_worth_building():
    """It repeats for a secret; its bounds are on seeds, largest option, parameters and the best rows' spread."""
    plan = drawn_plan("a", SECRET, 200, dataclasses.replace(TINY, seeds=2))
    found = pilot(plan, SECRET, 4)
    assert found == pilot(plan, SECRET, 4)
    assert 0 <= found.above <= 1
    good = Pilot(40, 0.96, 0.5, 0.1, 3.0)
    assert good.passes
    for change in ({"seeds": 0.5}, {"above": 0.1}, {"parameters": -0.6}, {"spread": 1.5}):
        poor = dataclasses.replace(good, **change)
        assert not poor.passes
        assert "another secret" in str(poor)
    with pytest.raises(InvalidParameter, match="at least 2"):
        next(promising_secret("a", recipe=TINY))


@pytest.mark.parametrize(("noise", "passes"), [(0.2, True), (1.0, False)])
def test_the_spread_of_the_best_tells_a_table_whose_best_rows_are_ordered(noise, passes):
    """Rows that differ by more than trainings do pass; those whose upper half is at one ceiling do not."""
    draw = np.random.default_rng(0)
    true = np.sort(draw.exponential(size=40))
    runs = true[:, None] + noise * draw.normal(size=(40, 3))
    assert (spread_of_the_best(runs) >= LEAST_SPREAD) == passes
    flat = np.minimum(true, np.quantile(true, 0.5))[:, None] + noise * draw.normal(size=(40, 3))
    assert spread_of_the_best(flat) < LEAST_SPREAD


def test_tables_are_compared_by_key_and_by_operation(path, tmp_path):
    """The same networks in another order of operations: they agree by operation, less by key; no shared menu is NaN."""
    table = read_table(path)
    turned = dataclasses.replace(table.plan, operations=table.plan.operations[::-1])
    flip = str.maketrans("012", "210")
    same = PrivateTable(turned, "0" * 64, {key.translate(flip): one for key, one in table.results.items()})
    found = agreement_of(table, same)
    assert (found.keys, found.meanings) == (729, 729)
    assert found.by_meaning == pytest.approx(1)
    assert abs(found.by_key) < 0.9
    others = [name for name in ("conv_1", "conv_7", "none") if name not in table.plan.operations]
    strange = dataclasses.replace(table.plan, operations=tuple(others))
    results = dict(zip(map(strange.key, strange.cells()), table.results.values(), strict=False))
    far = agreement_of(table, PrivateTable(strange, "0" * 64, results))
    assert np.isnan(far.by_meaning)
    shown = CliRunner().invoke(app, ["benchmark", "compare", str(path), str(path)])
    assert "by key: Spearman 1.000 (n = 729 rows)" in shown.output
