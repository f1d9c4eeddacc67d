"""Statistics: arrays in, numbers out. No table, journal or study is known here."""

from genius_kit.stats.ratios import Estimate, random_worth, rank_ratio

__all__ = ["Estimate", "random_worth", "rank_ratio"]
