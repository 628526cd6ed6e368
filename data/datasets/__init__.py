"""The registry of data sets, from which `--dataset` takes its choices."""

from data.datasets.base import DataSet
from data.datasets.folder import Folder
from data.datasets.kth import KTH

DATASETS: dict[str, DataSet] = {
    "kth": KTH(),
    "folder": Folder(),
}
