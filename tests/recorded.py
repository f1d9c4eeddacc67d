"""The card of the recorded studies, computed from their bundles; `python -m tests.recorded` writes it into its page."""

import re
import tempfile
from collections import Counter

import genius_kit as gk
from genius_kit.journal import read_run
from genius_kit.reports.bundle import RECORDED
from genius_kit.verdicts.every import study_verdicts

PAGE = RECORDED / "README.md"
BLOCK = re.compile(r"(?<=<!-- computed -->\n).*?(?=<!-- end -->)", re.DOTALL)
SHOWN = ("prompt", "history", "structured", "max_tokens", "rejections_limit")


def bundles():
    """Return the bundles that come with the checkout, by the name of their study."""
    return {path.name.split(".")[0]: path for path in sorted(RECORDED.glob("*.tar.xz"))}


def card(name, folder):
    """Return what the bundle of a study holds, and every verdict on it."""
    results = gk.read_bundle(name, folder)
    asked = results[results["model"].notna()]
    runs = [read_run(path) for path in results["journal"]]
    first = next(run for run in runs if run.of("call"))
    settings, calls = first.settings["settings"], [call for run in runs for call in run.of("call")]
    days = sorted({event["time"][:10] for run in runs for event in (run.events[0], run.events[-1])})
    sources = results.drop_duplicates("benchmark")[["benchmark", "source"]].itertuples(index=False)
    told = {
        "runs": f"{len(runs)}, of which {len(asked)} ask the model: {results['seed'].nunique()} seeds, budget "
        f"{', '.join(map(str, sorted(results['budget'].unique())))}",
        "tables": "; ".join(f"{table} ({source})" for table, source in sources),
        "arms": ", ".join(results["arm"].unique()),
        "model, as the server named it": ", ".join(sorted({str(call["model"]) for call in calls})),
        "questions": f"{len(calls):,}; refused replies: {_counted(runs)}; "
        f"{int(asked['input_tokens'].sum()):,} tokens in, {int(asked['output_tokens'].sum()):,} out",
        "evaluations": f"{int(asked['model_proposals'].sum()):,} proposed by the model, "
        f"{int(asked['fallbacks'].sum()):,} taken at random after its refused replies",
        "settings": ", ".join(f"{key} {settings[key]}" for key in SHOWN if settings.get(key) is not None),
        "days": " to ".join(dict.fromkeys((days[0], days[-1]))),
        "versions": ", ".join(f"{key} {value}" for key, value in first.events[0]["versions"].items()),
    }
    verdicts = [one.sentence for one in study_verdicts(results) if hasattr(one, "sentence")]
    rows = [f"| {what} | {value} |" for what, value in told.items()]
    command = (
        f"    genius-kit study {name} --seeds {results['seed'].nunique()} --benchmarks "
        f"{','.join(results['benchmark'].unique())} \\\n        --models {settings['model']} --base-url "
        f"{settings['base_url']} --prompts {settings['prompt']} \\\n        --structured {settings['structured']} "
        f"--allow-unpriced{f' --max-tokens {most}' if (most := settings['max_tokens']) else ''}"
    )
    return "\n".join([f"### {name}\n", "| what | here |", "|---|---|", *rows, "", *(f"- {one}" for one in verdicts), "",
                      "Recorded by:\n", command, ""])  # fmt: skip


def _counted(runs):
    """Return how many replies were refused for which reason, the most frequent first."""
    found = Counter(event["reason"] for run in runs for event in run.of("rejected"))
    return ", ".join(f"{reason} {count:,}" for reason, count in found.most_common()) or "none"


def block():
    """Return the cards of all bundles."""
    with tempfile.TemporaryDirectory() as folder:
        return "\n" + "\n".join(card(name, folder) for name in bundles())


if __name__ == "__main__":
    PAGE.write_text(BLOCK.sub(lambda _: block(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
