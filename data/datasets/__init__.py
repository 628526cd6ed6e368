"""The registry of data sets: what `--dataset` offers."""

from data.datasets.base import DataSet
from data.datasets.folder import Folder
from data.datasets.kth import KTH

DATASETS: dict[str, DataSet] = {dataset.name: dataset for dataset in (KTH(), Folder())}
