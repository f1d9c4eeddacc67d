"""Statistics: arrays in, numbers out. No table, journal or study is known here."""

from genius_kit.stats.effects import cost_of_gain, interquartile_mean, performance_profile, probability_of_improvement
from genius_kit.stats.ratios import Estimate, random_worth, rank_ratio, share_difference, share_of

__all__ = [
    "Estimate",
    "cost_of_gain",
    "interquartile_mean",
    "performance_profile",
    "probability_of_improvement",
    "random_worth",
    "rank_ratio",
    "share_difference",
    "share_of",
]
