"""The `genius-kit` command: `main` puts it together, `options` are what commands share, the others groups of them."""

from genius_kit.cli.main import app, main

__all__ = ["app", "main"]
