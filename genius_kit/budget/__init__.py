"""What calls cost: prices of models, and the most that a request may cost before it is sent."""

from genius_kit.budget.prices import Price, Prices, load_prices

__all__ = ["Price", "Prices", "load_prices"]
