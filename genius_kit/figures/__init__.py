"""The public door to every figure and table: of runs, of the paper, of a study, and the files they are saved as.

Every method has one colour, marker and line style in every figure, so that it reads in grey too. A *run* is anything
with `.frame()`, or the frame itself (columns as `Run.frame` gives them).
"""

from __future__ import annotations

from genius_kit.figures.benchmarks import best_table, front_of_table, recorded_table, source_table, table_conclusion
from genius_kit.figures.conclusions.base import Conclusion, conclude, search_conclusion
from genius_kit.figures.conclusions.instruments import front_conclusion, models_conclusion, record_conclusion
from genius_kit.figures.conclusions.optimisers import optimiser_conclusion, worth_conclusion
from genius_kit.figures.conclusions.paper import (
    claims_conclusion,
    imagenet_conclusion,
    order_conclusion,
    paper_conclusions,
    printed_conclusion,
)
from genius_kit.figures.conclusions.training import proxy_conclusion, training_conclusion
from genius_kit.figures.conclusions.verdicts import prompts_conclusion, study_conclusion, verdict_conclusion
from genius_kit.figures.drawings import draw_architecture
from genius_kit.figures.files import save_figure, save_table
from genius_kit.figures.instruments import (
    audit_timeline,
    histories,
    questions_table,
    repeated_searches,
    training_curves,
    training_table,
    transfer_heatmap,
    two_questions,
)
from genius_kit.figures.paper import (
    ablation_figure,
    ablation_table,
    imagenet_trajectory,
    paper_comparison,
    replays,
    slip_table,
    table_1,
    table_1_figure,
    table_2_figure,
    trajectory_table,
)
from genius_kit.figures.priors import prior_conclusion, prior_figure, prior_ratios
from genius_kit.figures.runs import (
    best_so_far,
    operation_frequencies,
    operation_table,
    rank_by_iteration,
    reply_outcomes,
    reply_table,
    spending,
    spending_table,
)
from genius_kit.figures.studies import (
    arm_ranks,
    contamination_dots,
    contamination_ratios,
    draws_table,
    forest,
    prompt_comparison,
    prompt_pairs,
    rank_curves,
    score_distribution,
    study_runs,
)
from genius_kit.figures.tables import PrintedTable, as_printed, comparison_table, frame_table, study_table
from genius_kit.figures.tradeoffs import (
    accuracy_against_macs,
    cloud,
    front_table,
    hypervolume_figure,
    pareto_front,
    pareto_front_figure,
    table_2_points,
)
from genius_kit.paper import (
    beside_paper,
    contents,
    ours_beside_paper,
    paper_methods,
    paper_runs,
    paper_table,
    printed_evidence,
    printed_trials,
)
from genius_kit.runs.frames import Runs, best_architecture, by_method, run_table

__all__ = [
    "Conclusion",
    "PrintedTable",
    "Runs",
    "ablation_figure",
    "ablation_table",
    "accuracy_against_macs",
    "arm_ranks",
    "as_printed",
    "audit_timeline",
    "beside_paper",
    "best_architecture",
    "best_so_far",
    "best_table",
    "by_method",
    "claims_conclusion",
    "cloud",
    "comparison_table",
    "conclude",
    "contamination_dots",
    "contamination_ratios",
    "contents",
    "draw_architecture",
    "draws_table",
    "forest",
    "frame_table",
    "front_conclusion",
    "front_of_table",
    "front_table",
    "histories",
    "hypervolume_figure",
    "imagenet_conclusion",
    "imagenet_trajectory",
    "models_conclusion",
    "operation_frequencies",
    "operation_table",
    "optimiser_conclusion",
    "order_conclusion",
    "ours_beside_paper",
    "paper_comparison",
    "paper_conclusions",
    "paper_methods",
    "paper_runs",
    "paper_table",
    "pareto_front",
    "pareto_front_figure",
    "printed_conclusion",
    "printed_evidence",
    "printed_trials",
    "prior_conclusion",
    "prior_figure",
    "prior_ratios",
    "prompt_comparison",
    "prompt_pairs",
    "prompts_conclusion",
    "proxy_conclusion",
    "questions_table",
    "rank_by_iteration",
    "rank_curves",
    "record_conclusion",
    "recorded_table",
    "repeated_searches",
    "replays",
    "reply_outcomes",
    "reply_table",
    "run_table",
    "save_figure",
    "save_table",
    "score_distribution",
    "search_conclusion",
    "slip_table",
    "source_table",
    "spending",
    "spending_table",
    "study_conclusion",
    "study_runs",
    "study_table",
    "table_1",
    "table_1_figure",
    "table_2_figure",
    "table_2_points",
    "table_conclusion",
    "training_conclusion",
    "training_curves",
    "training_table",
    "trajectory_table",
    "transfer_heatmap",
    "two_questions",
    "verdict_conclusion",
    "worth_conclusion",
]
