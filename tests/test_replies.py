"""Replies: every seen and likely form of a valid design is read, everything else is refused with its reason."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genius_kit.records import Outcome, Proposal, Rejection
from genius_kit.replies import LONGEST_REPLY, find_designs, parse_reply
from genius_kit.spaces import SPACES, Architecture, SearchSpace, load_space

MACRO = load_space("nas-bench-macro")
RESNET = load_space("channel-bench-resnet")
MOBILENET = load_space("channel-bench-mobilenet")
CELL = load_space("nas-bench-201")
IMAGENET = load_space("mobilenet-imagenet")
TRANSFORMER = load_space("vision-transformer")
SIGNAL = load_space("signal-cell")
ALL = [MACRO, RESNET, MOBILENET, CELL, IMAGENET, TRANSFORMER, SIGNAL]
A, B = (2, 2, 2, 1, 2, 2, 2, 0), (2, 2, 2, 1, 1, 2, 2, 0)
STAGES = ((1, 0, 0, 0, 1, 0), (1, 0, 1, 1, 0, 0), (4, 0, 4, 4, 0, 0), (5, 5, 0, 5, 5, 0), (6, 0, 6, 6, 6, 6))
FIVE = tuple(value for stage in STAGES for value in stage)
OTHER = (1, 1, *FIVE[2:])


def stage_lines(architecture: Architecture, line: str = "Stage {k} (Layer {a} to Layer {b}): {list}") -> str:
    """Return the five stage lines of an ImageNet design."""
    return "\n".join(
        line.format(k=k + 1, a=6 * k + 2, b=6 * k + 7, list=list(architecture[6 * k : 6 * k + 6])) for k in range(5)
    )


def plain(outcome: Outcome) -> object:
    """Return the architecture, the reason of a rejection, or "no improvement"."""
    if isinstance(outcome, Proposal):
        return outcome.architecture
    return outcome.reason if isinstance(outcome, Rejection) else "no improvement"


MACRO_CASES = {
    f"{list(A)}": A,
    "2,2,2,1,2,2,2,0": A,
    "2 2 2 1 2 2 2 0": A,
    "2-2-2-1-2-2-2-0": A,
    "22212220": A,
    "[22212220]": A,
    "Final answer: [22212220].": A,
    "`22212220`": A,
    "**22212220**": A,
    "(2, 2, 2, 1, 2, 2, 2, 0)": A,
    "[[2, 2], [2, 1, 2], [2, 2, 0]]": A,
    "[2, 2,  # stage 1\n 2, 1, 2,  # stage 2\n 2, 2, 0]  # stage 3": A,
    "# Stage 1\n[2, 2]\n# Stage 2\n[2, 1, 2]\n# Stage 3\n[2, 2, 0]": A,
    "Previous design:\n[2, 2]\n[2, 2, 2]\n[2, 2, 2]\n\nNew design:\n[2, 2]\n[2, 1, 2]\n[2, 2, 0]": A,
    "Final answer: 22212220": A,
    "**Final answer:** `[2, 2, 2, 1, 2, 2, 2, 0]`": A,
    "Architecture: 2, 2, 2, 1, 2, 2, 2, 0.": A,
    "I propose 22212220 because larger kernels help.": A,
    "I suggest the list [2, 2, 2, 1, 2, 2, 2, 0].": A,
    "I think 2, 2, 2, 1, 2, 2, 2, 0 is best.": A,
    '{"architecture": [2, 2, 2, 1, 2, 2, 2, 0]}': A,
    '```json\n{"operations": [2, 2, 2, 1, 2, 2, 2, 0]}\n```': A,
    '{"op_list": "22212220"}': A,
    '{"reasoning": "not [2,2,2,2,2,2,2,2]", "answer": {"architecture": [2,2,2,1,2,2,2,0]}}': A,
    '{"stage1": [2, 2], "stage2": [2, 1, 2], "stage3": [2, 2, 0]}': A,
    "{'architecture': [2, 2, 2, 1, 2, 2, 2, 0]}": A,
    "```python\narchitecture = [2, 2, 2, 1, 2, 2, 2, 0]\n```": A,
    f"<think>maybe {list(B)}</think>{list(A)}": A,
    f"maybe {list(B)}</think>\n{list(A)}": A,
    f"First try:\n{list(B)}\n\nOn reflection the middle is too small, so:\n{list(A)}": A,
    f"{list(A)}\n\nAgain: {list(A)}": A,
    f"Instead of {list(B)}, I propose {list(A)}.": A,
    f"I propose {list(A)} instead of {list(B)}.": A,
    f"Changed from {list(B)} to {list(A)}.": A,
    f"{list(B)} -> {list(A)}": A,
    f"Replace {list(B)} with {list(A)}": A,
    f"Previous design: {list(B)}\nNew design: {list(A)}": A,
    f"New design: {list(A)}\nPrevious design: {list(B)}": A,
    f"Experiment 1: {list(B)} accuracy 92.1\nExperiment 2: [1,1,1,1,1,1,1,1] accuracy 90.0\n\nNext: {list(A)}": A,
    f"The design {list(B)} reached 92.3 %. I would now try {list(A)}.": A,
    f"Final answer: {list(A)}\n\nIt differs from {list(B)} in layer 6.": A,
    f"Answer in the format [1, 2, ..., 0].\n{list(A)}": A,
    f"Improving on the previous design: {list(A)}": A,
    f"My initial design:\n{list(A)}": A,
    f"Layers per stage are [2, 3, 3].\nDesign: {list(A)}\nThe bound is [270, 330].": A,
    f"Accuracies so far [93.1, 92.0, 91.0, 90.2, 90.1, 90.0, 89.9, 88.0]. Next design: {list(A)}": A,
    f"The current architecture cannot be improved much, but {list(A)} may help": A,
    "No improvement is possible.": "no improvement",
    "NO IMPROVEMENT": "no improvement",
    "The design cannot be improved further.": "no improvement",
    "The architecture is already optimal.": "no improvement",
    f"The previous best {list(A)} is already optimal; no further improvement is possible.": "no improvement",
    "No improvement is possible within [270, 330].": "no improvement",
    f"So far {list(A)} had 92.1 %. No further improvement is possible.": "no improvement",
    "I propose [2, 2, 2, 1, 2, 2, 2]: no further improvement is possible.": "wrong length",
    "If no improvement is possible, say so.": "no design",
    "I do not think that no improvement is possible.": "no design",
    "The early stages cannot be improved further; layer 7 should be larger.": "no design",
    f"No improvement is possible with small kernels, so I propose {list(A)}.": A,
    f"{list(A)}\r\n\r\nBecause larger kernels help.\r\n": A,
    f"The best design is not {list(B)} but {list(A)}.": A,
    f"I considered {list(B)}. I then settled on {list(A)}.": A,
    f"I considered wide layers and I could use {list(B)}. The design {list(A)} is similar.": "ambiguous",
    f'{{"architecture": {list(A)}, "previous_architecture": {list(B)}}}': A,
    f'{{"architecture": {list(A)}, "history": [{{"architecture": {list(B)}}}]}}': A,
    f'[{{"architecture": {list(A)}}}, {{"architecture": {list(B)}}}]': "ambiguous",
    f'{{"designs": [{{"architecture": {list(A)}}}, {{"architecture": {list(B)}}}]}}': "ambiguous",
    f'New: {{"architecture": {list(A)}}}\nPrevious: {{"architecture": {list(B)}}}': A,
    f'{{"architecture": {list(A)}': A,
    f"{list(A)}{list(B)}": "ambiguous",
    f"Mine: {list(A)} <think>or {list(B)}</think> it is.": A,
    f"<think>{list(B)} <think> </think>{list(A)}": A,
    "It has 22212220 parameters.": "no design",
    f"The best so far is {list(B)}. Increasing layer 5 gives {list(A)}.": A,
    f"Starting from {list(B)}, mutate layer 5: {list(A)}": A,
    f"I recommend {list(A)} over {list(B)}.": A,
    "| 1 | 22211220 | 93.05 |\n\nMy next proposal: 22212220": A,
    "Answer: \\boxed{22212220}": A,
    f"Trial 11: {list(A)}": A,
    f"{list(A)} (expected accuracy: 93.2%)": A,
    f"{list(B)}\nNo wait, that has too few layers.\n{list(A)}": A,
    f"Design 1: {list(A)}\nDesign 2: {list(B)}\nFinal answer: Design 2": "ambiguous",
    f"My choice:\n{list(A)}\n\nThis keeps most of {list(B)}.": "ambiguous",
    "I would set layer 5 to 1 and keep the others at 2.": "no design",
    "0: identity\n1: kernel 3\n2: kernel 5": "no design",
    '{"architecture": null}': "no design",
    '{"architecture": [2, 2]}': "wrong length",
    'Say {"architecture": [2, 2]} then.': "wrong length",
    '{"architecture": [2, 2, 2, 1, 2, 2, 2]}': "wrong length",
    "The stem (layers 1 and 2) stays.": "no design",
    "": "empty",
    " \n\t": "empty",
    "<think>[2,2,2,1,2,2,2,0]": "empty",
    "I cannot help with that.": "no design",
    f"Instead of {list(A)}, something deeper would be better.": "no design",
    "[2, 2, 2, 1, 2, 2, 2]": "wrong length",
    "[2, 2, 2, 1, 2, 2, 2, 0, 0]": "wrong length",
    "[2, 2]": "wrong length",
    "2221222": "wrong length",
    "Final answer: 2221222": "wrong length",
    f"{list(B)}\nFinal answer: [2, 2, 2, 1, 2, 2, 2]": "wrong length",
    "[270, 330]": "wrong length",
    "[" + "1, " * 5000 + "1]": "wrong length",
    "[2, 2, 2, 3, 2, 2, 2, 0]": "off-menu",
    "22232220": "off-menu",
    "[2, 2, 2, -1, 2, 2, 2, 0]": "off-menu",
    "[2, 2, 2, 1.0, 2, 2, 2, 0]": "off-menu",
    "[2, 2, 2, nan, 2, 2, 2, 0]": "off-menu",
    "[2, 2, 2, True, 2, 2, 2, 0]": "off-menu",
    "[2, 2, 2, 1e0, 2, 2, 2, 0]": "off-menu",
    "[２, 2, 2, 1, 2, 2, 2, 0]": "off-menu",
    "[" + ", ".join(["9" * 5000] * 8) + "]": "off-menu",
    '{"architecture": [2, 2, 2, true, 2, 2, 2, 0]}': "off-menu",
    '{"architecture": [2, 2, 2, 1.0, 2, 2, 2, 0]}': "off-menu",
    '{"architecture": [2, 2, 2, NaN, 2, 2, 2, 0]}': "off-menu",
    '{"architecture": [2,2,2,1,2,2,2,0], "architecture": [2,2,2,1,1,2,2,0]}': "duplicate key",
    "[1, 2, ..., 0]": "placeholder",
    "Final answer: [1, 2, ..., 0]": "placeholder",
    f"either {list(A)} or {list(B)}": "ambiguous",
    f"Use {list(A)} or {list(B)}.": "ambiguous",
    f"Option A: {list(A)}\nOption B: {list(B)}": "ambiguous",
    f"1. {list(A)}\n2. {list(B)}": "ambiguous",
    f"{list(A)}, {list(B)}": "ambiguous",
    f"[{list(A)}, {list(B)}]": "ambiguous",
    f"Final answer: {list(A)} or {list(B)}": "ambiguous",
    f"Good: {list(A)}\n\nAlternatively: {list(B)}": "ambiguous",
    f"The best so far is {list(B)}.\n\nLet us go with {list(A[:7])} now.": "wrong length",
    f"Let us go with {list(A[:7])} now. The best so far is {list(B)}.": "wrong length",
    f"Experiment 3: {list(B)} accuracy 92.1\n\nLet us go with 22292220 now.": "off-menu",
    f"The best so far is {list(B)}.\n\nDesign: `2221222`\n\nThis keeps the cost low.": "wrong length",
    f"The best so far is {list(B)}.\n\nMy final design is:\n\n# Stage 1\n[2, 2]\n# Stage 2\n[2, 1, 2]": "incomplete",
    f"The best so far is {list(B)}. So {list(A)} it is.": A,
    f"The best so far is {list(B)}. So ({str(list(A))[1:-1]}) it is.": A,
    f"{list(B)} -> {list(A[:7])}": "wrong length",
    f"Final answer:\n1. {list(A)}\n2. {list(B)}": "ambiguous",
    f"Final answer: Option A: {list(A)}\nOption B: {list(B)}": "ambiguous",
    f"Final answer: {list(A)}\n\nAlternative:\n{list(B)}": A,
    f"Final answer: {list(A)}\n\nNew design:\n{list(B)}": "ambiguous",
    f"Final answer: {list(A)}\n\nDesign:\n{list(B)}": A,
    f"Final answer: {list(A)}\n\nI would next try {list(B)} then.": A,
    f"Final answer: {list(A)}\n\nOr rather {list(A)} then, or {list(B)}.": A,
    f"Final answer: {list(B)}\nFinal answer: {list(A)}": A,
    f"Final answer: {list(B)}\nOption 2, the final answer: {list(A)}": "ambiguous",
    f"{list(B)}\nOption 2, the final answer: {list(A)}": A,
    f"{list(B)}\nOption 2:\n{list(A)}": "ambiguous",
    f"{list(B)}\nso {list(A)} it is": A,
    f"{list(B)}\nhere {list(A)} is": "ambiguous",
    f"{list(A)}\n\nValues like [9, 9, 9, 9, 9, 9, 9, 9] are not on the menu.": A,
    f"{list(A)}\n\n[9, 9, 9, 9, 9, 9, 9, 9]": "off-menu",
    f"{list(A)}\n\nso [9, 9, 9, 9, 9, 9, 9, 9] it is": "off-menu",
    f"{list(A)}\nThe format is:\n[1, 2, 1, ..., 0, 1, 2, 1]": A,
    f"{list(A)}\nFinal answer: [1, 2, 1, ..., 0, 1, 2, 1]": "placeholder",
    f"Final answer: {list(A[:7])}\nFinal answer: {list(A[:7])}": "wrong length",
    "Here [9, 9, 9, 9, 9, 9, 9, 9] is one.": "off-menu",
    f"{list(A)}\n\nIts list {list(A[:7])} is short.": A,
    f"{list(A)}\n\nValues such as [9, 9, 9, 9, 9, 9, 9, 9] are off.": A,
    f"Experiment 1: [9, 9, 9, 9, 9, 9, 9, 9] accuracy 92\nExperiment 2: {list(A)} accuracy 93": A,
    "Well. If you wish. No improvement is possible.": "no improvement",
    "If neither XL nor XS will do, no improvement is possible.": "no design",
    "I see. No improvement is possible.": "no improvement",
    "I see! No improvement is possible.": "no improvement",
    "Do I see? No improvement is possible.": "no improvement",
    "If you wish\nNo improvement is possible.": "no improvement",
    "If you wish. No improvement is possible.": "no improvement",
    "If you wish! No improvement is possible.": "no improvement",
    "If you wish? No improvement is possible.": "no improvement",
    "If you wish, no improvement is possible. Now no improvement is possible.": "no improvement",
    "If " + "x" * 300 + " no improvement is possible.": "no improvement",
    "If " + "x" * 200 + " no improvement is possible.": "no design",
    "Accuracies [270, 330] and no improvement is possible.": "no improvement",
    "[2, 2, 2, 1] + [2, 2, 2, 0]": "malformed",
    "[2] * 8": "malformed",
}
CHANNEL_CASES = {
    "[256, 192, 256, 512, 512, 256, 512]": (3, 2, 3, 3, 3, 1, 3),
    "256,192,256,512,512,256,512": (3, 2, 3, 3, 3, 1, 3),
    '{"channels": [256, 192, 256, 512, 512, 256, 512]}': (3, 2, 3, 3, 3, 1, 3),
    "Channels: 256, 192, 256, 512, 512, 256, 512": (3, 2, 3, 3, 3, 1, 3),
    "4344424": (3, 2, 3, 3, 3, 1, 3),
    "[4, 3, 4, 4, 4, 2, 4]": (3, 2, 3, 3, 3, 1, 3),
    "[100, 192, 256, 512, 512, 256, 512]": "off-menu",
    "[0, 3, 4, 4, 4, 2, 4]": "off-menu",
    "[4, 192, 256, 512, 512, 256, 512]": "off-menu",
    "[256, 192, 256, 256, 512, 256]": "wrong length",
    "[256.0, 192, 256, 256, 512, 256, 512]": "off-menu",
    "No better configuration exists.": "no improvement",
}
CELL_CASES = {
    "333133": (3, 3, 3, 1, 3, 3),
    "[3, 3, 3, 1, 3, 3]": (3, 3, 3, 1, 3, 3),
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|": (
        3,
        3,
        3,
        1,
        3,
        3,
    ),
    "Try `|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|` now.": (
        3,
        3,
        3,
        1,
        3,
        3,
    ),
    "[nor_conv_3x3, nor_conv_3x3, nor_conv_3x3, skip_connect, nor_conv_3x3, none]": (3, 3, 3, 1, 3, 0),
    '["nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "none"]': (3, 3, 3, 1, 3, 0),
    "nor_conv_3x3, nor_conv_3x3, nor_conv_3x3, skip_connect, nor_conv_3x3, avg_pool_3x3": (3, 3, 3, 1, 3, 4),
    '{"architecture": ["nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "none"]}': (
        3,
        3,
        3,
        1,
        3,
        0,
    ),
    '{"arch_str": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"}': (
        3,
        3,
        3,
        1,
        3,
        0,
    ),
    "The cell has 103120 parameters.": "no design",
    "|nor_conv_5x5~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|": "off-menu",
    "|nor_conv_3x3~0|+|nor_conv_3x3~1|nor_conv_3x3~0|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|": "malformed",
    "[5, 3, 3, 1, 3, 3]": "off-menu",
    "[conv_5x5, nor_conv_3x3, nor_conv_3x3, skip_connect, nor_conv_3x3, none]": "off-menu",
    "33313": "wrong length",
}
SIGNAL_CASES = {
    "202023": (2, 0, 2, 0, 2, 3),
    "[2, 0, 2, 0, 2, 3]": (2, 0, 2, 0, 2, 3),
    "conv_3, none, conv_3, none, conv_3, shift_6": (2, 0, 2, 0, 2, 3),
    "|conv_3~0|+|none~0|conv_3~1|+|none~0|conv_3~1|shift_6~2|": (2, 0, 2, 0, 2, 3),
    "Architecture: [2, 0, 2, 0, 2, 4]": "off-menu",
    "[nor_conv_3x3, none, conv_3, none, conv_3, shift_6]": "off-menu",
    "[2, 0, 2, 0, 2]": "wrong length",
}
IMAGENET_CASES = {
    stage_lines(FIVE): FIVE,
    stage_lines(FIVE, "{k}. Stage {k} (Layer {a} to Layer {b}): {list}"): FIVE,
    stage_lines(FIVE, "- Stage {k} (Layers {a}-{b}): {list}"): FIVE,
    stage_lines(FIVE, "- **Stage {k}** (Layers {a}-{b}): `{list}`"): FIVE,
    stage_lines(FIVE, "**Stage {k} (Layers {a}-{b}):** {list}"): FIVE,
    stage_lines(FIVE, "### Stage {k}\n{list}\n"): FIVE,
    stage_lines(FIVE, "| Stage {k} | {list} |"): FIVE,
    stage_lines(FIVE, "Layers {a}-{b}: {list}"): FIVE,
    stage_lines(FIVE, "stage{k} = {list}"): FIVE,
    stage_lines(FIVE, "{list}"): FIVE,
    stage_lines(FIVE, "{list}  # Stage {k}"): FIVE,
    stage_lines(FIVE).replace("[", "").replace("]", ""): FIVE,
    "```\n" + stage_lines(FIVE) + "\n```": FIVE,
    "[\n" + stage_lines(FIVE, "    {list},  # Stage {k}") + "\n]": FIVE,
    "op_list = [\n" + stage_lines(FIVE, "# Stage {k}\n{list},").replace("[", "").replace("]", "") + "\n]": FIVE,
    str(list(FIVE)): FIVE,
    "".join(map(str, FIVE)): FIVE,
    json.dumps({f"stage{k + 1}": stage for k, stage in enumerate(STAGES)}): FIVE,
    json.dumps({"architecture": {f"Stage {k + 1}": stage for k, stage in enumerate(STAGES)}}): FIVE,
    stage_lines(FIVE) + "\nThe total should lie within [270, 330], that is flops_stage1_rest[0] * 3.0.": FIVE,
    stage_lines(FIVE) + f"\n\nThe operation IDs are: {list(FIVE)}": FIVE,
    stage_lines(OTHER) + "\n\nThis is too large. The revised design is:\n\n" + stage_lines(FIVE): FIVE,
    "Previous design:\n" + stage_lines(OTHER) + "\n\nNew design:\n" + stage_lines(FIVE): FIVE,
    "New design:\n" + stage_lines(FIVE) + "\n\nPrevious design:\n" + stage_lines(OTHER): FIVE,
    stage_lines(FIVE) + "\n\nIn Stage 3, I changed from [4, 4, 4, 0, 0, 0] to [4, 0, 4, 4, 0, 0].": FIVE,
    "I will adjust Stage 2: [1, 0, 1, 1, 0, 0].\n\n" + stage_lines(FIVE): FIVE,
    "Stage 3 was changed from [4, 4, 4, 0, 0, 0] to [4, 0, 4, 4, 0, 0].": "incomplete",
    "Stage 3 (Layer 14 to Layer 19): [4, 0, 4, 4, 0, 0]": "incomplete",
    stage_lines(FIVE) + "\n\nTo cut the cost, adjusted stage:\nStage 3: [4, 0, 2, 2, 0, 0]": "incomplete",
    stage_lines(FIVE).rsplit("\n", 1)[0]: "incomplete",
    stage_lines(FIVE).replace("Stage 3", "Stage 2"): "incomplete",
    stage_lines(FIVE).replace("[6, 0, 6, 6, 6, 6]", "[7, 0, 6, 6, 6, 6]"): "off-menu",
    stage_lines(FIVE).replace("[6, 0, 6, 6, 6, 6]", "[6, 0, 6, 6, 6]"): "wrong length",
    stage_lines(FIVE).replace("[6, 0, 6, 6, 6, 6]", "[6, 0, 6, 6.0, 6, 6]"): "off-menu",
    "Option A:\n" + stage_lines(FIVE) + "\n\nOption B:\n" + stage_lines(OTHER): "ambiguous",
    f"The best so far is {list(FIVE)}.\nExperiment 4 had Stage 3: [9, 9, 9, 9, 9, 9]": FIVE,
    "The previous Stage 3 (Layer 14 to Layer 19): [4, 0, 4, 4, 0, 0]": "incomplete",
    "Previous design:\n" + stage_lines(OTHER): "incomplete",
    stage_lines(FIVE) + "\n\nPrevious design:\n" + stage_lines((*FIVE[:-1], 0)): FIVE,
    stage_lines(FIVE) + "\n\nStage 3: [4, 0, 4, 4, 0, 0]": FIVE,
    stage_lines(FIVE) + "\n\nExperiment 4 had Stage 3: [4, 0, 2, 2, 0, 0]": FIVE,
    stage_lines(FIVE) + "\nStage 3: [4, 0, 2, 2, 0]": FIVE,
    "Stage 3: [4, 0, 2, 2, 0, 0]\n\n" + stage_lines(FIVE): FIVE,
    json.dumps({"stage1": STAGES[0]}): "incomplete",
    str(list(FIVE[:29])): "wrong length",
    "The bounds are [270, 330].": "wrong length",
    "flops_stage1_rest[0] + flops_stage2_rest[1]": "no design",
}


@pytest.mark.parametrize(
    ("space", "text", "expected"),
    [
        *((MACRO, text, expected) for text, expected in MACRO_CASES.items()),
        *((RESNET, text, expected) for text, expected in CHANNEL_CASES.items()),
        *((CELL, text, expected) for text, expected in CELL_CASES.items()),
        *((IMAGENET, text, expected) for text, expected in IMAGENET_CASES.items()),
        *((SIGNAL, text, expected) for text, expected in SIGNAL_CASES.items()),
    ],
)
def test_reply(space: SearchSpace, text: str, expected: object) -> None:
    """Each reply is read as its design or refused for its reason."""
    assert plain(parse_reply(text, space)) == expected


def test_detail_of_an_off_menu_value_names_value_position_and_menu() -> None:
    """The sentence sent back says which value, where, and what would do."""
    outcome = parse_reply("[100, 192, 256, 512, 512, 256, 512]", RESNET)
    assert isinstance(outcome, Rejection)
    assert outcome.detail == "The value 100 at width 1 (position 0) is not one of 64, 128, 192, 256."


def test_detail_of_a_wrong_length_names_both_lengths() -> None:
    """The sentence sent back says how many values came and how many were expected."""
    outcome = parse_reply("[2, 2, 2, 1, 2, 2, 2]", MACRO)
    assert isinstance(outcome, Rejection)
    assert outcome.detail.startswith("7 values came for the 8 positions")


def test_detail_of_an_incomplete_design_names_the_stages_that_came() -> None:
    """The sentence sent back says which stages came and how many there are; where none can be named, what is wanted."""
    outcome = parse_reply(stage_lines(FIVE).rsplit("\n", 3)[0], IMAGENET)
    assert outcome == Rejection("incomplete", "Only stage 1, 2 of 5 came as a list. Write out all 5 stages.")
    wanted = "Answer with one design of GENIUS ImageNet space: a list of 30 values in square brackets."
    assert parse_reply("The previous Stage 3: [4, 0, 4, 4, 0, 0]", IMAGENET) == Rejection(
        "incomplete", f"Only a part of a design came. {wanted}"
    )
    history = f"The best so far is {list(FIVE)}.\n\nNow:\n"
    outcome = parse_reply(history + stage_lines(FIVE).rsplit("\n", 2)[0], IMAGENET)
    assert outcome == Rejection("incomplete", "Only stage 1, 2, 3 of 5 came as a list. Write out all 5 stages.")
    outcome = parse_reply(stage_lines(FIVE) + "\n\nAdjusted:\nStage 3: [4, 0, 2, 2, 0, 0]", IMAGENET)
    assert outcome == Rejection(
        "incomplete",
        "A stage came again with other values after the complete design. Write out the whole design you mean.",
    )
    assert parse_reply("", IMAGENET) == Rejection("empty", f"The reply holds no answer. {wanted}")
    assert parse_reply("Well.", IMAGENET) == Rejection("no design", f"The reply holds no design. {wanted}")
    assert parse_reply(f"Unlike the previous {list(FIVE)} it is.", IMAGENET) == Rejection(
        "no design", f"The reply names only an earlier design. {wanted}"
    )
    assert parse_reply(f"{list(FIVE)} or {list(OTHER)}", IMAGENET) == Rejection(
        "ambiguous", f"The reply holds different designs and does not say which is meant. {wanted}"
    )
    assert plain(parse_reply("X" * LONGEST_REPLY, IMAGENET)) == "no design"
    assert parse_reply("x" * (LONGEST_REPLY + 1), IMAGENET) == Rejection(
        "too long", f"The answer has 200,001 characters. {wanted}"
    )


@pytest.mark.parametrize("brackets", ["[", "(", "{"])
def test_too_many_brackets_or_lists_are_refused(brackets: str) -> None:
    """Ten thousand brackets, or two thousand lists, are read; one more of either names no design."""
    few, many = (parse_reply(brackets * count, MACRO) for count in (10_000, 10_001))
    assert (plain(few), plain(many)) == ("no design", "ambiguous")
    assert isinstance(many, Rejection)
    assert many.detail.startswith(
        "The reply holds more than 10,000 brackets. Answer with one design of NAS-Bench-Macro:"
    )
    few, many = (parse_reply("[1, 2]\n" * (count - 1) + str(list(A)), MACRO) for count in (2_000, 2_001))
    assert (plain(few), plain(many)) == (A, "ambiguous")
    assert isinstance(many, Rejection)
    assert many.detail.startswith("The reply holds 2,001 lists of values. Answer with one design of NAS-Bench-Macro:")
    assert len(find_designs("[1, 2]\n" * 2_001, MACRO)) == 2_000


def test_spans_of_designs() -> None:
    """Each design found carries the place where it stands and its role."""
    text = f"Instead of {list(B)}, I propose {list(A)}."
    found = find_designs(text, MACRO)
    assert [(text[design.start : design.end], design.role) for design in found] == [
        (str(list(B)), "previous"),
        (str(list(A)), "new"),
    ]
    (whole,) = find_designs("Mine:\n" + stage_lines(FIVE) + "\nDone.", IMAGENET)
    lines = stage_lines(FIVE)
    assert (whole.start, whole.end) == (6 + lines.index("["), 6 + len(lines))
    (part,) = find_designs("Mine:\n" + stage_lines(FIVE).rsplit("\n", 1)[0], IMAGENET)
    assert (part.start, part.end) == (whole.start, 6 + len(lines.rsplit("\n", 1)[0]))


def told(text: str, space: SearchSpace = MACRO) -> list[str]:
    """Return what the text makes of each design in it: the role, then what else is true of it."""
    flags = ("block", "alternative", "joined", "earlier")
    return [
        " ".join(
            [one.role, *(flag for flag in flags if getattr(one, flag)), *(str(stage + 1) for stage, _ in one.stages)]
        )
        for one in find_designs(text, space)
    ]


ROLES = {
    "{A}": "plain block",
    "`22212220`": "plain block",
    "Final answer: 22212220": "final block",
    "**Final answer:** `{A}`": "final block",
    "I propose 22212220 because larger kernels help.": "new",
    "I think 2, 2, 2, 1, 2, 2, 2, 0 is best.": "plain",
    '{"architecture": {A}}': "final block",
    "First try:\n{B}\n\nOn reflection the middle is too small, so:\n{A}": "new block; new block",
    "Instead of {B}, I propose {A}.": "previous; new",
    "I propose {A} instead of {B}.": "new; previous",
    "Changed from {B} to {A}.": "previous; new",
    "{B} -> {A}": "previous; new",
    "{B} -> [2, 2, 2, 1, 2, 2, 2]": "previous; attempt",
    "{B} -> [270, 330]": "plain; aside",
    "Previous design: {B}\nNew design: {A}": "previous block; new block",
    "Previous design: {B} gives way to {A}": "previous; plain",
    "Improving on the previous design: {A}": "history block",
    "The previous one: {A}": "previous block",
    "Unlike the last one:\n{A}": "history block",
    "My initial design:\n{A}": "history block",
    "Experiment 1: {B} accuracy 92.1\nNext: {A}": "history; new block",
    "The design {B} reached 92.3 %. I would now try {A}.": "history; new",
    "{A}, which was evaluated": "history",
    "{A} (accuracy 92)": "history",
    "{A} (expected accuracy 92)": "plain",
    "{A} had 92": "history",
    "{A}\nhad 92": "plain block",
    "{A} " + "x " * 125 + "accuracy 92": "plain",
    "{A} " + "x " * 100 + "accuracy 92": "history",
    "Trial 11: {A}": "history block",
    "Answer in the format [1, 2, ..., 0].\n{A}": "aside; plain block",
    "Layers per stage are [2, 3, 3].\nDesign: {A}\nThe bound is [270, 330].": "aside; plain block; aside",
    "Design 1: {A}\nDesign 2: {B}": "plain block alternative; plain block alternative",
    "either {A} or {B}": "plain alternative; plain alternative joined",
    "1. {A}\n2. {B}": "plain block; plain block alternative joined",
    "{A} and {B}": "plain; plain alternative joined",
    "{A}, then {B}": "plain; plain",
    "Good: {A}\n\nAlternatively: {B}": "plain block; plain block alternative",
    "I propose [2, 2, 2, 1, 2, 2, 2] now.": "attempt",
    "I propose [2, 2, 2, 1, 2, 2] now.": "attempt",
    "I propose [2, 2, 2, 1, 2] now.": "aside",
    "I propose [2, 2, 2, 1, 2, 2, 2, 0, 0, 0] now.": "attempt",
    "I propose [2, 2, 2, 1, 2, 2, 2, 0, 0, 0, 0] now.": "aside",
    "I propose 2221222 now.": "attempt",
    "Design: 2221222, as said": "attempt",
    "Its list [2, 2, 2, 1, 2, 2, 2] is short.": "attempt",
    "Counts like [2, 2, 2, 1, 2, 2, 2] occur.": "aside",
    "2221222": "plain block",
    "222122": "plain block",
    "22212": "",
    "2221222 it was": "",
    "x: 2221222": "",
    "x: 22212229": "",
    "Key: 22212229": "plain block",
    "Key: 2221222": "attempt block",
    "[2, 2, 2, 1, 2, 2]": "plain block",
    "[2, 2, 2, 1, 2]": "aside block",
    "Answer: [2, 2]": "final block",
    "Answer: [2, 2] (short)": "aside",
    "(2, 2, 2, 1, 2, 2, 2, 0)": "plain block",
    "so (2, 2, 2, 1, 2, 2, 2, 0) it is": "new",
    "here (2, 2, 2, 1, 2, 2, 2, 0) is": "aside",
    "the final answer (2, 2, 2, 1, 2, 2, 2, 0) is it": "final",
    "so [2, 2, 2, 1, 2, 2, 2, 0] it is": "new",
    "It has 22212220 parameters.": "",
    "It has the key 22212220 now.": "plain",
    "Weighed another one. It is {A} then": "plain",
    "Weighed another one! It is {A} then": "plain",
    "Weighed another one? It is {A} then": "plain",
    "Weighed another one.\nIt is {A} then": "plain",
    "Weighed another one\n\nIt is {A} then": "plain",
    "Weighed another one\n- It is {A} then": "plain",
    "Weighed another one\n* It is {A} then": "plain",
    'Well, {"architecture": {A}} it is': "final block",
    "'{A}'": "plain block",
    "=: {A}": "plain block",
    "Fine. Weighed another one. It is {A} then": "plain",
    "One\nAnother\nIt is:\n{A}": "plain block",
    "Weighed another one, it is {A} then": "plain alternative",
    "Weighed another one,\nit is {A} then": "plain alternative",
    "Another\nIt is:\n{A}": "plain block",
    "Another\n{A}": "plain block alternative",
    "Another\n```\n{A}\n```": "plain block alternative",
    "Another\n~~~ python\n{A}\n~~~": "plain block alternative",
    "Another\n\n\n  {A}": "plain block alternative",
    "Another" + " " * 250 + "{A}": "plain block",
    "> 1) {A}": "plain block",
    "> 1) **{A}**": "plain block",
    "- **Mine:** `{A}`  # as said": "plain block",
    "x = {A}  // as said": "plain block",
    "x = {A}  as said": "plain",
    "x is {A}": "plain",
}
STAGE_ROLES = {
    stage_lines(FIVE): "plain block 1 2 3 4 5",
    "Previous design:\n" + stage_lines(OTHER): "; ".join(f"part block earlier {number}" for number in range(1, 6)),
    "Final answer:\n" + stage_lines(FIVE): "final block 1 2 3 4 5",
    "Option B:\n" + stage_lines(FIVE): "plain block alternative 1 2 3 4 5",
    "Stage 3 was changed from [4, 4, 4, 0, 0, 0] to [4, 0, 4, 4, 0, 0].": "part earlier 3; part 3",
    "Stage three: [4, 0, 4, 4, 0, 0]": "part block 3",
    "STAGE THREE: [4, 0, 4, 4, 0, 0]": "part block 3",
    "Stage 6: [4, 0, 4, 4, 0, 0]": "aside block",
    "Stage 0: [4, 0, 4, 4, 0, 0]": "aside block",
    "Layers 14 to 19: [4, 0, 4, 4, 0, 0]": "part block 3",
    "Layers 15 to 19: [4, 0, 4, 4, 0, 0]": "aside block",
    "Stage 3: [4, 0, 4]": "part block 3",
    "Stage 3: [4, 0]": "aside block",
    "Stage 3: [4, 0, 4, 4, 0, 0, 1, 1, 1]": "part block 3",
    "Stage 3: [4, 0, 4, 4, 0, 0, 1, 1, 1, 1]": "aside block",
    "Stage 3: 4, 0, 4, 4, 0, 0": "part block 3",
    "In Stage 3, [4, 0, 4, 4, 0, 0] is used": "part 3",
    "In Stage 3, (4, 0, 4, 4, 0, 0) is used": "aside",
    "In Stage 3, 4, 0, 4, 4, 0, 0 is used": "",
    "Experiment 1 had Stage 1: [1, 1, 0, 0, 1, 0]": "part block earlier 1",
    stage_lines(FIVE).rsplit("\n", 1)[0]: "part block 1 2 3 4",
}


@pytest.mark.parametrize(
    ("space", "text", "expected"),
    [
        *(
            (MACRO, text.replace("{A}", str(list(A))).replace("{B}", str(list(B))), roles)
            for text, roles in ROLES.items()
        ),
        *((IMAGENET, text, roles) for text, roles in STAGE_ROLES.items()),
        (CELL, "Stage 3: [3, 1, 3]", "aside block"),
        (CELL, "Stage 2: [3, 1, 3, 3, 3]", "plain block"),
        (CELL, "Take |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1| now.", "aside"),
        (RESNET, "Stage 1: [4, 3, 4, 4]", "aside block"),
        (MACRO, "Stage 1: [2, 2]", "part block 1"),
        (MACRO, "Stage 1: 2, 2", "part block 1"),
        (MACRO, "Stage 1: [2, 2, 2, 1]", "aside block"),
        (RESNET, "[64, 64, 64, 128, 128]", "plain block"),
        (TRANSFORMER, str([1] * 10), "plain block"),
        (TRANSFORMER, str([1] * 9), "aside block"),
    ],
)
def test_what_a_text_makes_of_its_designs(space: SearchSpace, text: str, expected: str) -> None:
    """The words and lines around a list say whether it is an answer, an earlier one, an attempt or something else."""
    assert "; ".join(told(text, space)) == expected


@pytest.mark.parametrize(("name", "replies"), [("329M", 26), ("401M", 17)])
def test_published_conversations(published: Path, name: str, replies: int) -> None:
    """Every reply of the paper's two conversations is read as the design of its five stage lines."""
    messages = json.loads((published / "chat_history" / f"{name}.json").read_text())
    texts = [message["content"] for message in messages if message["role"] == "assistant"]
    assert len(texts) == replies
    for text in texts:
        lines = re.findall(r"Stage [1-5] \([^)]*\):\s+\[([^\]]*)\]", text)[:5]
        expected = tuple(int(value) for line in lines for value in line.split(","))
        assert parse_reply(text, IMAGENET) == Proposal(expected)


def printed(space: SearchSpace, architecture: Architecture) -> list[str]:
    """Return `architecture` in every form that replies use."""
    values = [str(space.choices[i][value]) for i, value in enumerate(architecture)]
    if space.family == "cell":
        quoted = ", ".join(f'"{value}"' for value in values)
        own = [space.encode(architecture), f"Answer: `{space.encode(architecture)}`", f"[{quoted}]", ", ".join(values)]
        values = [str(value) for value in architecture]
    elif space.family == "stages":
        lines = ["Stage {k} (Layers {a}-{b}): {list}", "{k}. **Stage {k}**: `{list}`", "    {list},  # Stage {k}"]
        own = [stage_lines(architecture, line) for line in lines]
        own += [f"[\n{own[-1]}\n]", f"```\n{own[0]}\n```", stage_lines(architecture, "# Stage {k}\n{list}")]
    else:
        own = [space.encode(architecture)]
    listed = ", ".join(values)
    return [
        *own,
        f"[{listed}]",
        listed,
        " ".join(values),
        f"I propose [{listed}] because it is larger.",
        f"Some words.\n\n**Final answer:** [{listed}]",
        f'```json\n{{"architecture": [{listed if space.family != "cell" else ", ".join(values)}]}}\n```',
        f"architecture = [{listed}]",
        space.key(architecture),
        f"Architecture: {space.key(architecture)}",
        f'{{"architecture": "{space.key(architecture)}"}}',
    ]


@pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_printed_form_comes_back(space: SearchSpace, data: st.DataObject) -> None:
    """A valid architecture is read back from every form in which replies print one."""
    architecture = tuple(data.draw(st.integers(0, len(options) - 1)) for options in space.choices)
    for text in printed(space, architecture):
        assert parse_reply(text, space) == Proposal(architecture), text


@pytest.mark.slow
@pytest.mark.parametrize("space", [MACRO, RESNET, MOBILENET, CELL], ids=lambda space: space.name)
def test_whole_space_comes_back(space: SearchSpace) -> None:
    """Key and encoded string of every architecture of the tabular spaces are read back."""
    for row in space.all_architectures():
        architecture = tuple(int(value) for value in row)
        for text in (space.key(architecture), space.encode(architecture)):
            assert parse_reply(text, space) == Proposal(architecture)


SNIPPETS = [
    *[
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ", ",
        "\n",
        "\n\n",
        ":",
        "|",
        "~0",
        "+",
        "...",
        "-",
        ".0",
        "`",
        "```",
        '"',
        " ",
    ],
    *[
        "Stage 1: ",
        "Stage 5 (Layer 26 to Layer 31): ",
        "Final answer: ",
        "architecture",
        "Option A: ",
        "either ",
        " or ",
    ],
    *["instead of ", "from ", " to ", "no improvement is possible", "nor_conv_3x3", "none", "true", "nan", "64", "128"],
    *["<think>", "</think>", "22212220", "4344424", "333133", "٣", "²", "9" * 30, '{"architecture": [', "# Stage 2"],
]


@st.composite
def replies(draw: st.DrawFn, space: SearchSpace) -> str:
    """Return random text, pieces of replies, or a damaged valid reply."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.text(max_size=200))
    if kind == 1:
        return draw(st.text(alphabet="0123456789,[] \n.-", max_size=120))
    pieces = st.one_of(st.sampled_from(SNIPPETS), st.integers(-3, 520).map(str), st.text(max_size=5))
    if kind == 2:
        return "".join(draw(st.lists(pieces, max_size=40)))
    architecture = tuple(draw(st.integers(0, len(options) - 1)) for options in space.choices)
    text = draw(st.sampled_from(printed(space, architecture)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(pieces) + text[start + draw(st.integers(0, 6)) :]
    return text


def never_outside(space: SearchSpace, text: str) -> None:
    """Check that `text` gives an architecture of `space` or none, and a known reason with a sentence."""
    outcome = parse_reply(text, space)
    if isinstance(outcome, Proposal):
        assert space.check(outcome.architecture) == outcome.architecture
    elif isinstance(outcome, Rejection):
        assert outcome.reason in REASONS
        assert outcome.detail.endswith(".")
        assert len(outcome.detail) < 400


REASONS = {
    *("empty", "too long", "no design", "incomplete", "wrong length", "off-menu"),
    *("placeholder", "malformed", "duplicate key", "ambiguous"),
}


@pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_text_leaves_the_space(space: SearchSpace, data: st.DataObject) -> None:
    """No text whatever yields an architecture outside the space."""
    never_outside(space, data.draw(replies(space)))


@pytest.mark.slow
@pytest.mark.parametrize("space", [space for space in ALL if space is not TRANSFORMER], ids=lambda space: space.name)
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_text_leaves_the_space_at_length(space: SearchSpace, data: st.DataObject) -> None:
    """No text whatever yields an architecture outside the space, ten thousand texts a space."""
    never_outside(space, data.draw(replies(space)))


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_text_leaves_the_transformer_space(data: st.DataObject) -> None:
    """The same for the vision transformer, with fewer texts: its flat list is read as NAS-Bench-Macro's is."""
    never_outside(TRANSFORMER, data.draw(replies(TRANSFORMER)))


LONG = [
    *[
        "[",
        "(",
        "{",
        "[[1,2],",
        '{"a":',
        "1",
        "1,",
        "1 ",
        "12345678 ",
        "12345678 x ",
        "22212220\n",
        "[1,2] ",
        "|none~0",
        "```",
    ],
    *[
        "Stage 1: [1, 0, 0, 0, 1, 0]\n",
        "<think>",
        "a" * 7 + " ",
        "no improvement ",
        ", " + " " * 50,
        "#",
        "/*",
        "{}",
        "[...]",
    ],
]


@pytest.mark.parametrize("piece", LONG)
@pytest.mark.parametrize("space", [MACRO, CELL, IMAGENET], ids=lambda space: space.name)
def test_long_replies_are_quick(space: SearchSpace, piece: str) -> None:
    """The longest reply that is read, and one of ten megabytes, take under two seconds of processor time each."""
    for size in (LONGEST_REPLY, 10_000_000):
        text = (piece * (size // len(piece) + 1))[:size]
        start = time.process_time()
        never_outside(space, text)
        assert time.process_time() - start < 2


def test_too_long() -> None:
    """Ten megabytes are refused unread."""
    assert plain(parse_reply("[2, 2, 2, 1, 2, 2, 2, 0]\n" * 400_000, MACRO)) == "too long"


def test_every_space_has_cases() -> None:
    """The spaces tested here are all the spaces there are."""
    assert {space.name for space in ALL} == set(SPACES)
