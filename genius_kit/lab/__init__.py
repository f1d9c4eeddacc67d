"""The prompt lab: edit a template beside its prompt, ask, search, step through runs, compare, in a notebook cell.

from genius_kit.lab import PromptLab
PromptLab("nas-bench-201-cifar10")
"""

from genius_kit.lab.compare import compare_prompts
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.lab.replies import ask_once

__all__ = [
    "PromptLab",
    "ask_once",
    "compare_prompts",
]
