"""The registry of data sets, from which `--dataset` takes its choices."""

from data.datasets.base import DataSet
from runtime.declare import load

DATASETS: dict[str, DataSet] = {
    "kth": load("data.datasets.kth:KTH")(),
    "folder": load("data.datasets.folder:Folder")(),
}
