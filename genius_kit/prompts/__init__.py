"""What a model is shown: templates filled for a space, views of it, the paper's own text.

`template` makes a prompt of files that `base` fills and `formatting` puts into words, `views` are what an arm changes
in it, `published` reads the paper's conversations and makes its prompt of one.
"""

from genius_kit.prompts.base import HISTORIES, PLACEHOLDERS, Prompt
from genius_kit.prompts.published import read_conversation
from genius_kit.prompts.template import VARIANTS, TemplatePrompt, elicited, list_prompts, load_prompt
from genius_kit.prompts.views import CHANGES, CONTROLS, View, view_of

__all__ = [
    "CHANGES",
    "CONTROLS",
    "HISTORIES",
    "PLACEHOLDERS",
    "VARIANTS",
    "Prompt",
    "TemplatePrompt",
    "View",
    "elicited",
    "list_prompts",
    "load_prompt",
    "read_conversation",
    "view_of",
]
