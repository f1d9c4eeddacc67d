"""Connections end with the searches that use them: a kernel that stays open makes thousands of searches."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chat_server import MODEL, ChatServer
from doubles import ToyBenchmark
from test_servers import reply

import genius_kit as gk
from genius_kit.lab.replies import ask_once
from genius_kit.llm import OpenAIClient

SEARCHES = 2_000 if os.environ.get("GENIUS_KIT_FULL_CLOSING") == "1" else 12


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")


def answer(body: dict[str, Any], number: int) -> dict[str, Any]:
    return reply(body)


def held() -> tuple[int, int]:
    """Return how many descriptors and threads of clients this process has, once the server has let go of its own."""
    time.sleep(0.1)
    clients = [one for one in threading.enumerate() if one.name.startswith(("genius-kit-calls", "asyncio"))]
    return len(os.listdir("/proc/self/fd")), len(clients)


def test_many_searches_leave_no_descriptor_and_no_thread() -> None:
    """Also where every proposer is kept, as a notebook keeps what a cell has made."""
    kept = []
    with ChatServer(answer) as server:
        before = held()
        for seed in range(SEARCHES):
            kept.append(gk.make_proposer("llm", ToyBenchmark().space, model=MODEL, base_url=server.url))
            gk.search(ToyBenchmark(), kept[-1], 1, seed=seed, progress=False)
        kept.append(ask_once(ToyBenchmark(), model=MODEL, base_url=server.url))
        assert held() == before
        assert server.count >= SEARCHES


def test_searches_with_one_client_end_it_together() -> None:
    """The first that ends hangs up on nobody; the last one closes; a request after that opens it anew."""
    with ChatServer(answer, delay=0.02) as server:
        client, before = OpenAIClient(MODEL, server.url), held()

        def search(budget: int) -> Any:
            made = gk.make_proposer("llm", ToyBenchmark().space, client=client)
            return gk.search(ToyBenchmark(), made, budget, seed=budget, progress=False)

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(search, (1, 2, 3, 6)))
        assert all(run.finished and not run.of("call_failed") for run in done)
        assert held() == before
        assert client.send([{"role": "user", "content": "Again."}]).text
        assert held()[1] > before[1]
        client.close()


def test_a_batch_of_searches_keeps_its_connection() -> None:
    """Searches one after the other share one connection, which ends with the batch."""
    with ChatServer(answer) as server:
        before = held()
        gk.search_many(ToyBenchmark(), "llm", range(4), 2, 1, progress=False, model=MODEL, base_url=server.url)
        assert held() == before
        assert server.connections == 1
