"""A process that runs convolutions forward and backward, to be watched by the allocator's own checks.

Each line of the input is a shape (inputs, outputs, kernel, stride, groups, pixels per side) and a memory format. A
shape is printed before it runs, so that the last line names the one that killed the process: a damaged block is found
when it is freed, and all blocks of a shape are freed before the next.
"""

import json
import sys

import torch
from torch import nn


def run(inputs, outputs, kernel, stride, groups, side, layout):
    """Run one convolution forward and backward on two images."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups).to(memory_format=layout)
    images = torch.randn(2, inputs, side, side).contiguous(memory_format=layout).requires_grad_()
    convolution(images).square().sum().backward()


if __name__ == "__main__":
    for line in sys.stdin:
        print(line.strip(), flush=True)
        *shape, layout = json.loads(line)
        run(*shape, getattr(torch, layout))
    print("whole", flush=True)
