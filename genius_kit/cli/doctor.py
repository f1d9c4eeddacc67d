"""What a user's machine has: packages, extras, GPU, data, key, server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from genius_kit import extras
from genius_kit.redaction import mask

PACKAGES = ("genius-kit", "torch", "torchvision", "timm", "openai", "jupyterlab", "ipywidgets", "papermill")


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
    yield "server", _server(url) if url else "none named; give --base-url or OPENAI_BASE_URL to try one"


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


def _server(url: str) -> str:
    import openai

    try:
        client = openai.OpenAI(
            base_url=url, api_key=os.environ.get("OPENAI_API_KEY") or "none", max_retries=0, timeout=5.0
        )
        models = [model.id for model in client.models.list()]
    except Exception as error:  # whatever the server does, this command only reports it
        return f"no usable answer from {_shown(url)} ({type(error).__name__})"
    return mask(f"answers at {_shown(url)}; models: {', '.join(models[:5]) or 'none listed'}")


def _shown(url: str) -> str:
    """Return an address without its user, password and query."""
    return url.partition("?")[0].split("@")[-1]
