"""What a steered process runs: one search against a server, in a process of its own."""

import sys

import genius_kit as gk
from tests.doubles import ToyBenchmark


def run_search(base_url, journal, budget):
    """Search the toy benchmark with the model at `base_url`."""
    benchmark = ToyBenchmark()
    proposer = gk.make_proposer("llm", benchmark.space, model="toy-model", base_url=base_url)
    return gk.search(benchmark, proposer, budget, 1, journal, progress=False, allow_unpriced=True)


if __name__ == "__main__":
    run_search(sys.argv[1], sys.argv[2], int(sys.argv[3]))
