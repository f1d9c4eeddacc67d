"""The prompt lab: edit a template beside its prompt, ask, search, step through runs, compare, in a notebook cell.

from genius_kit.lab import PromptLab
PromptLab("nas-bench-201-cifar10")
"""

from genius_kit.lab.ask import ask_once
from genius_kit.lab.compare import compare_prompts
from genius_kit.lab.panels import PromptLab

__all__ = [
    "PromptLab",
    "ask_once",
    "compare_prompts",
]
