"""The public door to every figure and table: of runs, of the paper, of a study, and the files they are saved as.

Every method has one colour, marker and line style in every figure, so that it reads in grey too. A *run* is anything
with `.frame()`, or the frame itself (columns as `Run.frame` gives them).
"""

from __future__ import annotations

from genius_kit.cost_figures import accuracy_against_macs, cloud, pareto_front, table_2_points
from genius_kit.figure_files import save_figure, save_table
from genius_kit.figures.conclusions import Conclusion, conclude, search_conclusion
from genius_kit.figures.conversation_conclusions import claims_conclusion, imagenet_conclusion
from genius_kit.figures.instrument_conclusions import front_conclusion, models_conclusion, record_conclusion
from genius_kit.figures.optimiser_conclusions import optimiser_conclusion, worth_conclusion
from genius_kit.figures.paper_conclusions import order_conclusion, paper_conclusions, printed_conclusion
from genius_kit.figures.questions import questions_table, two_questions
from genius_kit.figures.training_conclusions import proxy_conclusion, training_conclusion
from genius_kit.figures.verdict_conclusions import prompts_conclusion, study_conclusion, verdict_conclusion
from genius_kit.imagenet_figures import imagenet_trajectory, trajectory_table
from genius_kit.operation_figures import operation_frequencies, operation_table
from genius_kit.paper import ours_beside_paper, paper_methods, paper_runs, paper_table
from genius_kit.paper_checks import contents, printed_evidence, printed_trials
from genius_kit.paper_figures import ablation_figure, ablation_table, table_1, table_1_figure, table_2_figure
from genius_kit.paper_prints import as_printed
from genius_kit.paper_searches import beside_paper
from genius_kit.paper_trials import paper_comparison
from genius_kit.pareto_figures import front_table, hypervolume_figure, pareto_front_figure
from genius_kit.printed_tables import PrintedTable
from genius_kit.prompt_figures import prompt_comparison, prompt_pairs
from genius_kit.reply_figures import reply_outcomes, reply_table
from genius_kit.run_figures import best_so_far, rank_by_iteration
from genius_kit.run_frames import Runs, best_architecture, by_method, run_table
from genius_kit.run_tables import comparison_table, study_table
from genius_kit.spending_figures import spending, spending_table
from genius_kit.study_figures import arm_ranks, rank_curves, study_runs

__all__ = [
    "Conclusion",
    "PrintedTable",
    "Runs",
    "ablation_figure",
    "ablation_table",
    "accuracy_against_macs",
    "arm_ranks",
    "as_printed",
    "beside_paper",
    "best_architecture",
    "best_so_far",
    "by_method",
    "claims_conclusion",
    "cloud",
    "comparison_table",
    "conclude",
    "contents",
    "front_conclusion",
    "front_table",
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
    "prompt_comparison",
    "prompt_pairs",
    "prompts_conclusion",
    "proxy_conclusion",
    "questions_table",
    "rank_by_iteration",
    "rank_curves",
    "record_conclusion",
    "reply_outcomes",
    "reply_table",
    "run_table",
    "save_figure",
    "save_table",
    "search_conclusion",
    "spending",
    "spending_table",
    "study_conclusion",
    "study_runs",
    "study_table",
    "table_1",
    "table_1_figure",
    "table_2_figure",
    "table_2_points",
    "training_conclusion",
    "trajectory_table",
    "two_questions",
    "verdict_conclusion",
    "worth_conclusion",
]
