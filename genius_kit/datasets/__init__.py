"""Image data sets: what there is, how it is split, changed and loaded."""

from genius_kit.datasets.registry import (
    DATASETS,
    DataSet,
    FolderSplit,
    Split,
    TensorSplit,
    load_dataset,
)

__all__ = [
    "DATASETS",
    "DataSet",
    "FolderSplit",
    "Split",
    "TensorSplit",
    "load_dataset",
]
