"""Torch networks of every search space, with the attribute `classifier` last.

`base` builds the network of an architecture, loads weights, and holds what all have in common; each other file holds
the networks of one or more spaces.
"""

from genius_kit.networks.base import Network, NetworkSettings, build_network, build_seeded, load_weights

__all__ = ["Network", "NetworkSettings", "build_network", "build_seeded", "load_weights"]
