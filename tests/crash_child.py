"""What a killed process runs: one search against a server, in a process of its own."""

import genius_kit.llm
import genius_kit.offline
import genius_kit.prompts
import genius_kit.replies  # noqa: F401 - imported before the fork server forks, so that a start is quick


def run_search(base_url, journal, budget, ready=None):
    """Search the toy benchmark with the model at `base_url`; `ready` is set once the imports are done."""
    import genius_kit as gk
    from tests.doubles import ToyBenchmark

    if ready is not None:
        ready.set()
    benchmark = ToyBenchmark()
    proposer = gk.make_proposer("llm", benchmark.space, model="toy-model", base_url=base_url)
    return gk.search(benchmark, proposer, budget, seed=1, journal=journal, progress=False)
