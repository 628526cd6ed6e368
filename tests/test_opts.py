"""The command line: paths of data sets, targets, and messages in one line."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

import opts
from data.datasets import DATASETS
from tests.runs import TRAINED_SCRIPTS

WITH_DATA = {  # script: the flags of its paths, and the attribute of the data set behind each
    **{script: {"annotation_path": "annotation_path", "video_path": "image_path"}
       for script in ("main", *TRAINED_SCRIPTS)},
    "utils.trim_videos": {"raw_path": "raw_path", "trimmed_path": "trimmed_path"},
    "utils.extract_frames": {"trimmed_path": "trimmed_path", "image_path": "image_path"},
    "utils.annotate_kth": {"image_path": "image_path", "annotation_path": "annotation_path",
                           "trimmed_path": "trimmed_path"},
}


def parsed(script, *arguments):
    """Return what a script's work is called with."""
    return opts.run(importlib.import_module(script).build_parser(), lambda args: args, list(arguments))


@pytest.mark.parametrize("script", WITH_DATA)
@pytest.mark.parametrize("dataset", DATASETS)
def test_default_paths_are_those_of_the_data_set(script, dataset):
    args = parsed(script, "--dataset", dataset)
    for flag, attribute in WITH_DATA[script].items():
        assert getattr(args, flag) == getattr(DATASETS[dataset], attribute)
    assert parsed(script).dataset == "kth"


@pytest.mark.parametrize("script", WITH_DATA)
def test_a_path_that_is_given_is_not_changed(script):
    """Not even if it is the default of another data set, or has the name of one in it."""
    for flag, attribute in WITH_DATA[script].items():
        for path in (getattr(DATASETS["kth"], attribute), Path("data/kth/image_data"), Path("my/kth/kth_data")):
            args = parsed(script, "--dataset", "folder", f"--{flag}", str(path))
            assert opts.as_list(getattr(args, flag)) == [path]
            for other in WITH_DATA[script].keys() - {flag}:
                assert getattr(args, other) == getattr(DATASETS["folder"], WITH_DATA[script][other])


@pytest.mark.parametrize(("target", "video", "complaint"), [
    ("label", ["walk.avi"], "clips of --video have no label"), ("flying", None, "the model knows running, walking"),
])
def test_targets_that_cannot_be_explained(target, video, complaint):
    with pytest.raises(ValueError, match=complaint):
        opts.check_target(SimpleNamespace(target=target, video=video, score="logit"), ["running", "walking"])
    for possible in ("predicted", "running"):
        opts.check_target(SimpleNamespace(target=possible, video=["walk.avi"], score="logit"), ["running", "walking"])
