"""Image data sets: what there is, how it is split, changed and loaded."""

from genius_kit.datasets.registry import DATASETS, load_dataset
from genius_kit.datasets.splits import DataSet, FolderSplit, Split, TensorSplit

__all__ = ["DATASETS", "DataSet", "FolderSplit", "Split", "TensorSplit", "load_dataset"]
