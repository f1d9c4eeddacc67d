"""A benchmark that no model can have read of: signals, rules and a table of trained cells, all made from a secret.

`signals` are the data, `tables` what a table holds and proves, `draws` what the secret decides, `training` trains a
cell, `builds` builds, seals and checks a table, `cards` is its data card. `benchmarks.private` loads one by its name.
"""
