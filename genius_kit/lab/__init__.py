"""The prompt lab: edit a template beside its prompt, ask, search, step through runs, compare, in a notebook cell.

from genius_kit.lab import PromptLab
PromptLab("nas-bench-201-cifar10")
"""

from genius_kit.lab.panels import (
    PromptLab,
    ask_once,
    compare_prompts,
)

__all__ = [
    "PromptLab",
    "ask_once",
    "compare_prompts",
]
