"""Printed tables: escaped, the best in bold, n and the test in the note."""

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.figures.tables import PrintedTable, best_of
from genius_kit.proposers.methods import STAND_IN
from genius_kit.studies.results import SUMMARY_COLUMNS
from genius_kit.texts import for_latex, for_markdown, span, spread


def summary(**changed):
    """Two arms of a study, as `studies.summary` gives them."""
    plain = {
        "study": "s", "benchmark": "nas-bench-macro", "arm": "llm", "model": "offline", "prompt": "standard",
        "budget": 10, "n": 8, "mean_rank": 352.7, "low": 110.0, "high": 761.4, "top_percent": 5.38, "reference": "llm",
    }  # fmt: skip
    better = {
        **plain, "arm": "coordinate-descent", "model": None, "prompt": None, "mean_rank": 6.8, "low": 3.8, "high": 12.6,
        "ratio": 0.13, "ratio_low": 0.02, "ratio_high": 0.99, "p_value": 0.0312,
    }  # fmt: skip
    worse = {**plain, "arm": "no-feedback", "mean_rank": 1512.2, "ratio": 8.9, "p_value": 0.02}
    return pd.DataFrame([plain, better, worse], columns=list(SUMMARY_COLUMNS)).assign(**changed)


@pytest.mark.parametrize(
    ("text", "latex", "markdown"),
    [
        ("gpt_4 & 50% #1", r"gpt\_4 \& 50\% \#1", r"gpt\_4 & 50% \#1"),
        ("a|b", r"a\textbar{}b", r"a\|b"),
        (
            r"\input{x}$y^2$~",
            r"\textbackslash{}input\{x\}\$y\textasciicircum{}2\$\textasciitilde{}",
            r"\\input{x}\$y^2\$\~",
        ),
        ("<b>*x*\nnext", r"\textless{}b\textgreater{}*x* next", r"\<b\>\*x\* next"),
        ("1 ± 2 – 3", r"1 $\pm$ 2 -- 3", "1 ± 2 – 3"),
    ],
)
def test_special_signs_are_escaped(text, latex, markdown):
    """A name from outside can neither break a table nor be read as a command."""
    assert for_latex(text) == latex
    assert for_markdown(text) == markdown


def test_the_best_is_what_is_best_as_printed():
    """Equal printed values are all best; an unknown one never is."""
    assert list(best_of([1.004, None, 1.001, 2.0, float("nan")], lowest=True)) == [0, 2]
    assert list(best_of([None], lowest=True)) == []


def test_unknown_values_are_a_dash_and_never_zero():
    """Also where only the spread is unknown."""
    assert (spread(None, None), spread(1.0, None), span(2.0, None, None)) == ("–", "1.00", "2.00")
    assert spread(92.926, 0.11) == "92.93 ± 0.11"


def test_latex_is_booktabs_with_balanced_braces():
    """Three rules, one line per row, as many cells as columns."""
    table = figures.study_table(summary())
    text = table.latex()
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", r"\begin{tabular}{llrrrrr}"):
        assert rule in text
    assert text.count("{") == text.count("}")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + len(table.rows)
    assert {line.count(" & ") for line in rows} == {len(table.header) - 1}


def test_a_study_table_has_the_best_in_bold_and_says_n_and_the_test():
    """The lowest mean rank of a block; p-values corrected over its arms."""
    table = figures.study_table(summary())
    assert table.bold == {(1, 3)}
    assert "**6.8 (3.8–12.6)**" in table.markdown()
    assert r"\textbf{6.8 (3.8--12.6)}" in table.latex()
    assert table.data["p_holm"].tolist()[1:] == pytest.approx([0.04, 0.04])
    for words in ("n = 8 searches", "sign-flip test", "Holm", "not a language model"):
        assert words in table.note


def test_each_benchmark_of_a_study_is_a_block_with_a_best_of_its_own():
    """A rule stands between the blocks, and the correction stays within one."""
    both = pd.concat([summary(), summary(benchmark="nas-bench-201-cifar10")])
    table = figures.study_table(both)
    assert table.bold == {(1, 3), (4, 3)}
    assert table.breaks == {3}
    assert table.latex().count(r"\midrule") == 2
    assert [row[0] for row in table.rows][3] == "NAS-Bench-201 CIFAR-10, 10 evaluations"


def test_a_study_without_a_test_says_so():
    """No p-value is made up."""
    table = figures.study_table(summary(p_value=np.nan))
    assert "No test" in table.note
    with pytest.raises(InvalidParameter, match="no run of the study is finished"):
        figures.study_table(summary().iloc[:0])


def test_ours_stands_beside_the_paper_with_a_test(data_home):
    """The paper's known mean rank, its trials first; p only where there are two searches."""
    macro = gk.load_benchmark("nas-bench-macro")
    runs = {"random": gk.search_many(macro, "random", range(6), 3, progress=False)}
    runs["prior (largest everywhere)"] = gk.search_many(macro, "prior", [0], 3, progress=False)
    table = figures.comparison_table(macro, runs)
    assert table.rows[0][:2] == ("paper: GPT-4, temperature 0", "3")
    assert table.rows[0][4].startswith("32.0 ±")
    assert [cells[-1] for cells in table.rows][0::3] == ["–", "–"]
    assert float(table.rows[2][-1]) < 0.1
    assert set(table.sources) == {"paper_tables.json", "nas-bench-macro_cifar10.json"}
    assert "permutation test" in table.note


def test_a_table_of_the_paper_is_marked_as_printed():
    """Tables 5 and 6 are not re-measured, and their best stands out."""
    for name, best in (("table5", "**98.3**"), ("table6", "**35.8**")):
        table = figures.as_printed(name)
        assert table.note.startswith("As printed, not re-measured")
        assert best in table.markdown()
    assert figures.as_printed("table1").header[1] == "CIFAR-10 validation (%)"
    assert figures.as_printed("table1").rows[-1][1] == "91.07 ± 0.20"
    with pytest.raises(UnknownName, match="no table"):
        figures.as_printed("table99")


def test_notebooks_show_the_markdown():
    """The plain form is one line."""
    table = PrintedTable("caption", ("a",), (("b",),), "n = 1", pd.DataFrame())
    assert table._repr_markdown_() == table.markdown()
    assert repr(table) == "caption (1 rows)"


def test_any_frame_becomes_a_table_for_readers():
    """Headings in words with their units, one column for a mean and its spread or interval, nothing raw."""
    frame = pd.DataFrame(
        {
            "method": ["offline", "random"], "feedback": [91.0534, None],
            "rank": [1264.71, 3.0], "rank_std": [None, 2.5],
            "gain": [-0.129, 0.5], "gain_low": [-0.208, 0.25], "gain_high": [-0.054, 0.75], "p_value": [0.00002, None],
            "latency": [0.00714, 0.0202], "sha256": ["ab" * 32, None], "agrees": [True, False], "cost": [None, None],
        }
    )  # fmt: skip
    table = figures.frame_table(frame)
    assert table.header == (
        "method", "accuracy (%)", "rank", "gain (95 %)", "p", "latency (ms)", "SHA-256", "agrees", "cost (USD)"
    )  # fmt: skip
    first, second = table.rows
    assert first[0] == STAND_IN
    assert first[1:6] == ("91.05", "1,264.7", "-0.129 (-0.208 to -0.054)", "< 0.001", "7.14")
    assert first[6:] == ("abababababab…", "yes", "–")
    assert second == ("random", "–", "3.0 ± 2.5", "0.500 (0.250–0.750)", "–", "20.20", "–", "no", "–")


def test_the_index_of_a_pivot_is_shown_once_per_block_and_no_row_is_said():
    """Repeated values of a named index are left out; text stands at the left, numbers at the right."""
    index = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "y")], names=["source", "target"])
    table = figures.frame_table(pd.DataFrame({"nas-bench-macro": [1.5, 2.5, 3.5]}, index=index))
    assert table.header == ("source", "target", "NAS-Bench-Macro")
    assert [row[:2] for row in table.rows] == [("a", "x"), ("", "y"), ("b", "y")]
    assert "| :--- | :--- | ---: |" in table.markdown()
    empty = figures.frame_table(pd.DataFrame(columns=["iteration", "kind"]))
    assert (empty.rows, empty.note) == ((), "No row.")
