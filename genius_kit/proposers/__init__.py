"""What proposes the next architecture: a language model, a baseline, or an optimiser; `base` makes each by its name."""
