"""What proposes the next architecture; `base` says what a proposer may know and makes each by its name.

`llm` asks a language model and `hybrids` pair one with an optimiser; `baselines`, `bayesian`, `tpe` and
`multi_objective` ask none.
"""

from genius_kit.proposers.base import PROPOSERS, Proposer, Situation, Stop, Suggestion, make_proposer, proposer_settings

__all__ = [
    "PROPOSERS",
    "Proposer",
    "Situation",
    "Stop",
    "Suggestion",
    "make_proposer",
    "proposer_settings",
]
