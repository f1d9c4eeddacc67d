"""What worker processes of the tests run."""

import os
import signal
import time
from pathlib import Path


def double(number):
    """Return twice the number."""
    return 2 * number


def die(job):
    """Be killed, as by the system when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path):
    """Be killed at the first call with this path, and answer at the next."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "answered"


def die_or_wait(job):
    """Be killed once the neighbour is under way ("die", folder), or wait for that and answer ("wait", folder)."""
    kind, folder = job
    (Path(folder) / f"{kind}-{os.getpid()}").touch()
    deadline = time.monotonic() + 30
    while kind == "die" and not list(Path(folder).glob("wait-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if len(list(Path(folder).glob("wait-*"))) == 1:
        time.sleep(30)  # the neighbour's death ends this
    return "answered"


def search_digits(journal, cache, changes, budget, kill_at=None):
    """Search the narrow macro networks on digits by training; with `kill_at`, be killed at that optimiser step."""
    import torch

    import genius_kit as gk
    from genius_kit.training import trainer as training

    torch.set_num_threads(1)
    if kill_at is not None:
        train = training.train

        def killed(*arguments, **settings):
            def on_step(step):
                if step >= kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

            return train(*arguments, **settings, on_step=on_step)

        training.train = killed
    benchmark = gk.load_benchmark("train", space="nas-bench-macro-w0.25", changes=changes, cache=cache)
    proposer = gk.make_proposer("coordinate-descent", benchmark.space)
    return gk.search(benchmark, proposer, budget, journal=journal, progress=False)
