"""The networks of the private benchmarks: what a cell is, what it costs, many seeds at once."""

import itertools

import pytest
import torch
from torch import nn

from genius_kit.networks.signal import SeededCells
from genius_kit.private.signals import SignalTask, make_signals
from genius_kit.private.training import SignalRecipe, train_cell
from genius_kit.spaces import count_cost
from genius_kit.spaces.signal_cell import active_edges, cell_classes, channels_of, signal_expression, signal_space

FOUR = ("none", "skip_connect", "conv_3", "shift_6")
FIVE = ("none", "skip_connect", "conv_1", "conv_3", "shift_6")
CELLS = list(itertools.product(range(4), repeat=6))
SECRET = "00112233445566778899aabbccddeeff"  # pragma: allowlist secret


class PlainCell(nn.Module):
    """The network of one seed, written with torch's own layers."""

    def __init__(self, cells, operations, architecture, seed):
        super().__init__()
        width = cells.stem.shape[1]
        self.edges = active_edges(architecture, operations)
        self.stem = nn.Conv1d(1, width, 5, stride=2, padding=2, bias=False)
        self.stem.weight.data = cells.stem[seed].unsqueeze(1)
        self.convolutions = nn.ModuleDict()
        for edge in self.edges:
            if edge.kernel:
                layer = nn.Conv1d(width, width, edge.kernel, padding=edge.kernel // 2, bias=False)
                weight = cells.convolutions[f"{edge.source}-{edge.target}"][seed]
                layer.weight.data = weight.view(width, edge.kernel, width).transpose(1, 2).contiguous()
                self.convolutions[f"{edge.source}-{edge.target}"] = layer
        self.norms = nn.ModuleDict({node: nn.BatchNorm1d(width) for node in cells.norms})
        self.classifier = nn.Linear(width, cells.bias.shape[1])
        self.classifier.weight.data, self.classifier.bias.data = cells.classifier[seed], cells.bias[seed, :, 0]

    def norm(self, node, values):
        return self.norms[str(node)](values) if str(node) in self.norms else values

    def forward(self, signals):
        nodes = {0: self.norm(0, self.stem(signals.unsqueeze(1)))}
        for target in (1, 2, 3):
            terms = []
            for edge in [edge for edge in self.edges if edge.target == target]:
                values = nodes[edge.source]
                if edge.kernel:
                    values = self.convolutions[f"{edge.source}-{edge.target}"](torch.relu(values))
                elif edge.operation == "shift_6":
                    values = torch.cat([torch.zeros_like(values[..., :6]), values[..., :-6]], dim=-1)
                terms.append(values)
            if terms:
                nodes[target] = self.norm(target, sum(terms))
        return self.classifier(torch.relu(nodes[3]).mean(dim=2))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("cell", [(2, 2, 2, 2, 2, 2), (3, 2, 0, 1, 2, 3), (1, 3, 2, 0, 0, 2), (2, 1, 3, 3, 2, 1)])
def test_each_seed_is_a_network_of_its_own(cell, training):
    """The logits of every seed are those of a network of torch's own layers with its weights."""
    torch.manual_seed(0)
    cells = SeededCells(cell, FOUR, 25, range(3)).train(training)
    signals = torch.randn(3, 16, 48)
    logits = cells(signals)
    for seed in range(3):
        plain = PlainCell(cells, FOUR, cell, seed).train(training)
        torch.testing.assert_close(logits[seed].T, plain(signals[seed]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("operations", [FOUR, FIVE])
def test_counts_are_those_of_the_modules(operations):
    """Parameters are those of the module; MACs those that torch counts, of 100 cells."""
    from torch.utils.flop_counter import FlopCounterMode

    space = list(itertools.product(range(len(operations)), repeat=6))
    for cell in space[:: len(space) // 100]:
        if not active_edges(cell, operations):
            continue
        cells = SeededCells(cell, operations, 25, range(2)).eval()
        cost = count_cost(signal_space(operations), cell)
        assert sum(parameter.numel() for parameter in cells.parameters()) == 2 * cost.parameters
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            cells(torch.zeros(2, 1, 48))
        assert counter.get_total_flops() == 2 * 2 * cost.macs


def test_equal_cells_have_equal_networks():
    """Cells of one class have the same counts; the 4,096 cells are 1,107 classes, each named by its first cell."""
    classes = cell_classes(FOUR)
    assert len(set(classes.values())) == 1107
    for cell in CELLS:
        first = classes[cell]
        assert first <= cell
        assert count_cost(signal_space(FOUR), cell) == count_cost(signal_space(FOUR), first)


def test_a_cell_that_passes_nothing_on_is_the_empty_sum():
    """Its expression is empty exactly where no edge is on a way through, and it is not trained."""
    for cell in CELLS:
        assert (signal_expression(cell, FOUR) == "") == (not active_edges(cell, FOUR))
    task = SignalTask(samples=200)
    result = train_cell((0,) * 6, FOUR, task, make_signals(task, SECRET), SignalRecipe(epochs=1))
    assert result.seconds == 0
    assert 0 < result.test[0] < 40


def test_more_convolutions_make_a_narrower_network():
    """The width keeps the parameters near 3,000, but for cells with so few convolutions that 24 channels are fewer."""
    widths = [channels_of(active_edges(cell, FOUR), 25) for cell in [(2, 2, 2, 2, 2, 2), (2, 0, 2, 1, 0, 2)]]
    assert widths[0] < widths[1] <= 24
    for cell in CELLS:
        assert count_cost(signal_space(FOUR), cell).parameters < 3300


def test_training_is_repeatable_and_learns():
    """The same call gives the same counts, each seed its own, and two epochs are better than chance by far."""
    task = SignalTask(samples=1000, noise=0.1)
    signals = make_signals(task, SECRET)
    recipe = SignalRecipe(epochs=4, batch=64)
    first, again = (train_cell((2, 3, 2, 0, 0, 2), FOUR, task, signals, recipe) for _ in range(2))
    assert (first.validation, first.test) == (again.validation, again.test)
    assert len(set(first.validation)) > 1
    assert min(first.test) > 120  # chance is 40
