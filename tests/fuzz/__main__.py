"""Fuzz a reader: `python -m tests.fuzz replies --minutes 30 --work /tmp/fuzz`; needs `pip install atheris`.

Inputs that reach new branches are kept in WORK/<reader>/corpus and used again by the next run; what violates a
property is written to WORK/<reader>/findings, one file per kind, and the run goes on. `--conversations FOLDER` starts
from the replies of published conversations too (they stay in WORK).
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

Check = Callable[[bytes], None]
READERS = {
    "replies": ("tests.fuzz.reply_target", ["genius_kit.replies", "genius_kit.reasoning"]),
    "journals": (
        "tests.fuzz.journal_target",
        ["genius_kit.journal.journal", "genius_kit.journal.lines", "genius_kit.journal.chain"],
    ),
}


def main() -> None:
    """Run libFuzzer with the chosen reader for the chosen time."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--work", type=Path, required=True, help="folder for the inputs and findings")
    parser.add_argument("--conversations", type=Path, help="folder of published conversations to start from")
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("this needs atheris (Python 3.11 to 3.13): pip install atheris")
    module, instrumented = READERS[options.reader]
    with atheris.instrument_imports(include=instrumented):
        target = __import__(module, fromlist=["check_bytes"])
    corpus, findings = options.work / options.reader / "corpus", options.work / options.reader / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = [*target.seeds(), *(target.conversation_seeds(options.conversations) if options.conversations else [])]
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number:05}").write_bytes(seed)
    words = options.work / options.reader / "tokens.dict"
    words.write_text("".join(f"{_quoted(token)}\n" for token in target.TOKENS))
    arguments = [f"-max_total_time={round(60 * options.minutes)}", "-timeout=20", "-max_len=4096", f"-dict={words}"]
    atheris.Setup([sys.argv[0], *arguments, "-print_final_stats=1", str(corpus)], kept(target.check_bytes, findings))
    atheris.Fuzz()


def kept(check: Check, findings: Path) -> Check:
    """Return `check` that writes the first inputs of each kind of violation to `findings` instead of raising."""
    seen: Counter[str] = Counter()

    def run(data: bytes) -> None:
        try:
            check(data)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
            seen[kind] += 1
            if seen[kind] <= 5:
                (findings / f"{kind}-{seen[kind]}.bin").write_bytes(data)
                (findings / f"{kind}-{seen[kind]}.txt").write_text(f"{error}\n\n{traceback.format_exc()}")
            (findings / "counts.json").write_text(json.dumps(seen))

    return run


def _quoted(token: str) -> str:
    """Return a token as a line of a libFuzzer dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in token.encode()) + '"'


if __name__ == "__main__":
    main()
