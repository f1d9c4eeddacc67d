"""What a user's machine has: packages, extras, GPU, data, key, server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from genius_kit import extras
from genius_kit.errors import InvalidParameter, ModelError
from genius_kit.redaction import mask

PACKAGES = ("genius-kit", "torch", "torchvision", "timm", "openai", "jupyterlab", "ipywidgets", "papermill")
SERVER_SECONDS = 5.0


def findings(base_url: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (what was looked at, what was found). A key is only ever said to be set or not."""
    for name in PACKAGES:
        yield name, _installed(name)
    from genius_kit.budget.prices import edition

    yield "prices", "{file} {version} of {as_of}".format(**edition())
    yield "GPU", _gpu()
    for extra, packages in extras.extras().items():
        missing = [name for name, is_here in packages.items() if not is_here]
        lacking = f"missing ({', '.join(missing)}); {extras.how_to_get(extra)}" if missing else "available"
        yield f"extra {extra}", f"{extras.PURPOSES.get(extra, 'not used any more')}: {lacking}"
    from genius_kit.benchmarks import list_benchmarks

    for row in list_benchmarks().itertuples(index=False):
        yield str(row.name), "available" if row.available else f"missing; {row.how_to_get}"
    yield "OPENAI_API_KEY", "set" if os.environ.get("OPENAI_API_KEY") else "not set (needed for OpenAI's server only)"
    url = base_url or os.environ.get("OPENAI_BASE_URL")
    yield "server", server_finding(url) if url else "none named; give --base-url or OPENAI_BASE_URL to try one"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none (a CPU suffices for every tabular benchmark)"
    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def server_finding(url: str) -> str:
    """Return what the server says when it is asked for its models, over the connection that runs have."""
    from genius_kit.llm.connection import Connection

    try:
        connection = Connection(url, SERVER_SECONDS)
    except InvalidParameter as error:
        return str(error)
    try:
        models = connection.models()
    except ModelError as error:
        return f"no usable answer: {error}"
    finally:
        connection.close()
    return mask(f"answers at {connection.shown_url}; models: {', '.join(models[:5]) or 'none listed'}")
