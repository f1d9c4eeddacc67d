"""What a good language model most likely is: the prior first (by the names), then one change of the best design shown.

Honest verdict: searches and leans on the labels.
"""

import random
import re

_LENGTH = re.compile(r"list of (\d+) (?:operation|channel|option)")
_MENU = re.compile(r"Each number is one of: ([\d, ]+)\.")
_WIDTH = re.compile(r"^- width \d+: (\d+(?:, \d+)*)$", re.MULTILINE)
_MEANING = re.compile(r"^- width \d+: (\d+ = \d+(?:, \d+ = \d+)*)$", re.MULTILINE)
_NAME = re.compile(r"^- (\d+): (.+)$", re.MULTILINE)
_LINE = re.compile(r"^(\d+)\. (\[[\[\], \d]*\])(?: -> (-?\d+(?:\.\d+)?|not shown|not measured))?\s*$", re.MULTILINE)
_ANSWER = re.compile(r"^Architecture: (\[[\[\], \d]*\])\s*$", re.MULTILINE)


def _numbers(text):
    return tuple(int(one) for one in re.findall(r"\d+", text))


class Prompt:
    """What the messages say: menus, option descriptions, [(design, score or None)] in listed order, designs named."""

    def __init__(self, messages):
        self.menus, self.names, self.values, self.listed, self.tried = [], {}, [], [], set()
        self.text = "\n".join(one["content"] for one in messages)
        for message in messages:
            content = message["content"]
            if message["role"] == "assistant":
                self.tried |= {_numbers(one) for one in _ANSWER.findall(content)}
                continue
            length, menu = _LENGTH.search(content), _MENU.search(content)
            if length and not self.menus:
                widths = [_numbers(one) for one in _WIDTH.findall(content)]
                self.menus = widths or [_numbers(menu[1])] * int(length[1])
                part = content.split("# Skeleton")[0]
                self.names = {int(number): text for number, text in _NAME.findall(part)}
                self.values = [
                    {int(a): int(b) for a, b in re.findall(r"(\d+) = (\d+)", one)} for one in _MEANING.findall(content)
                ] or [{one: one for one in menu} for menu in widths]
            for _, design, score in sorted(_LINE.findall(content), key=lambda found: int(found[0])):
                self.listed.append((_numbers(design), float(score) if re.match(r"-?\d", score) else None))
        self.tried |= {design for design, _ in self.listed}
        self.results = [(design, score) for design, score in self.listed if score is not None]

    def random_design(self, draws):
        return tuple(draws.choice(menu) for menu in self.menus)

    def fresh(self, draws, make, tries=400):
        """Return the first design of `make()` that was not named; a random one after `tries`."""
        for _ in range(tries):
            design = tuple(make())
            if design not in self.tried:
                return design
        while (design := self.random_design(draws)) in self.tried:
            pass
        return design

    def mutate(self, draws, design, changes=1):
        design = list(design)
        for place in draws.sample(range(len(design)), min(changes, len(design))):
            design[place] = draws.choice([one for one in self.menus[place] if one != design[place]])
        return tuple(design)

    def worth(self):
        """Return per position {number: how 'large' the option is by its description}; empty where nothing is named."""
        if self.values:
            return self.values
        if not self.names:
            return []
        return [{number: _size(text) for number, text in self.names.items()}] * len(self.menus)


def _size(text):
    """Common knowledge of convolutions: kernel 3 or ratio 6 is large, 1x1 small, pooling and skip smaller."""
    text = text.lower()
    if "ratio 6" in text or "conv_3x3" in text or text.startswith("conv_3"):
        return 4
    if "ratio 3" in text or "conv_1x1" in text or text.startswith("conv_1"):
        return 3
    if "skip" in text or "identity" in text:
        return 2
    if "pool" in text or "shift" in text:
        return 1
    return 0


class Client:
    """A scripted chat client; one instance is one search (its draws come from `seed`)."""

    is_free = True
    name = "client"
    honest = ()

    def __init__(self, seed=0):
        self.seed = seed
        self.draws = random.Random(f"{self.name} {seed}")

    @property
    def kind(self):
        return f"{self.name}, a script"

    @property
    def model(self):
        return self.name

    def settings(self):
        return {"kind": self.kind, "seed": self.seed}

    def without(self, parameter):
        return self

    def send(self, messages, seed=None):
        from genius_kit.chat import Reply, Usage

        prompt = Prompt(messages)
        design = self.design(prompt, self.draws) if prompt.menus else ()
        return Reply(
            text=f"Architecture: {list(design)}", model=self.name, finish_reason="stop", usage=Usage(), seconds=0.0
        )

    def design(self, prompt, draws):
        raise NotImplementedError


class PriorThenClimb(Client):
    name = "prior-then-climb"
    honest = ("searches and leans on the labels", "not enough runs")

    def design(self, prompt, draws):
        worth = prompt.worth()
        if worth:
            largest = tuple(max(menu, key=sizes.get) for menu, sizes in zip(prompt.menus, worth, strict=True))
            if largest not in prompt.tried:
                return largest
        if not prompt.results:
            return prompt.fresh(draws, lambda: prompt.random_design(draws))
        best = max(prompt.results, key=lambda one: one[1])[0]
        return prompt.fresh(draws, lambda: prompt.mutate(draws, best))


CLIENT = PriorThenClimb
