"""Stand-ins: a tiny benchmark and a client with a queue of replies and a memory of what it was sent."""

from genius_kit.benchmarks import Benchmark
from genius_kit.errors import ModelError
from genius_kit.llm import Reply, Usage
from genius_kit.records import Evaluation, RankRange
from genius_kit.spaces import load_space


class ToyBenchmark(Benchmark):
    """NAS-Bench-Macro's space, scored by the sum of the options: the all-largest architecture is best."""

    def __init__(self):
        self.name, self.title, self.dataset, self.protocol = "toy", "Toy", "CIFAR-10", "paper"
        self.feedback_name, self.constraint = "test accuracy", None
        self.space = load_space("nas-bench-macro")
        self.evaluated = []

    def evaluate(self, architecture):
        self.evaluated.append(tuple(architecture))
        score = 50.0 + sum(architecture)
        return Evaluation(None, score, score, None, "toy")

    def rank(self, architecture, by="feedback"):
        return RankRange(1, 1, 6561)


class QueueClient:
    """Answers from a queue; an entry is a text, a Reply, or a ModelError to raise."""

    kind = "queue"
    model = "queue-1"

    def __init__(self, *answers, dropped=()):
        self.answers, self.sent, self.dropped = list(answers), [], dropped

    def settings(self):
        return {"model": self.model, "dropped": list(self.dropped)}

    def without(self, parameter):
        other = QueueClient(dropped=(*self.dropped, parameter))
        other.answers, other.sent = self.answers, self.sent
        return other

    def send(self, messages, seed=None):
        self.sent.append(list(messages))
        answer = self.answers.pop(0)
        if isinstance(answer, ModelError):
            raise answer
        return answer if isinstance(answer, Reply) else reply(answer)


def reply(text, finish_reason="stop"):
    """Return a Reply of `text` with 10 input and 5 output tokens."""
    return Reply(text=text, model="queue-1", finish_reason=finish_reason, usage=Usage(10, None, 5, None), seconds=0.1)
