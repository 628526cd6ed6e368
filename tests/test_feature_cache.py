"""model/feature_cache.py: vectors of a frozen backbone on disk."""


import os

import pytest
import torch

from data.clips import find_clips
from data.training_clips import ClipDataset
from model.feature_cache import FeatureCache
from tests.runs import run_command, train_options, use
from tests.toys import MeanOfBackbone


def test_vectors_are_kept_per_backbone_settings_and_clip(tmp_path):
    model, vectors = MeanOfBackbone(), torch.randn(2, 5, 8)
    cache = FeatureCache(tmp_path, model, "settings")
    assert cache.load("clip") is None
    cache.save("clip", vectors)
    assert torch.equal(FeatureCache(tmp_path, model, "settings").load("clip"), vectors)
    assert cache.load("other clip") is None
    assert FeatureCache(tmp_path, model, "other settings").load("clip") is None
    with torch.no_grad():
        model.backbone[0].weight[0, 0, 0, 0] += 1
    assert FeatureCache(tmp_path, model, "settings").load("clip") is None


def test_a_damaged_file_counts_as_missing(tmp_path):
    cache = FeatureCache(tmp_path, MeanOfBackbone(), "")
    cache.save("clip", torch.ones(1))
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
    assert cache.load("clip") is None


def test_a_training_with_kept_features_gives_the_same_model(data_set, tmp_path):
    """The second run reads all features; the third, without a cache, computes them."""
    for name, more in (("first", ["--feature_cache", tmp_path / "cache"]),
                       ("second", ["--feature_cache", tmp_path / "cache"]), ("third", [])):
        run_command("main", *train_options(data_set, tmp_path / name, *more))
    states = [torch.load(tmp_path / name / "last.pth", weights_only=True)["state_dict"]
              for name in ("first", "second", "third")]
    assert len(list((tmp_path / "cache").iterdir())) == 16
    for other in states[1:]:
        assert all(torch.equal(weight, other[name]) for name, weight in states[0].items())


def test_the_folder_is_bounded(tmp_path):
    model, vectors = MeanOfBackbone(), torch.ones(100, 25)  # 10 kB
    cache = FeatureCache(tmp_path, model, "", most_bytes=60_000)
    for number in range(20):
        cache.save(str(number), vectors)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 60_000
    assert cache.load("0") is None and torch.equal(cache.load("19"), vectors)


@pytest.mark.parametrize("change", ["content", "number"])
def test_a_change_of_any_frame_is_noticed(own_data_set, change):
    _, clips, _ = find_clips(own_data_set.annotation, own_data_set.images, "testing")
    dataset = ClipDataset(clips, ["running", "walking"], 32, 6, None)
    image, before = clips[0].path / "image_00004.jpg", [dataset.key(0), dataset.key(1)]
    status = image.stat()
    if change == "content":
        image.write_bytes(bytes([*image.read_bytes()[:-1], 0]))
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        image.unlink()
        (image.parent / "n_frames").write_text("3")
    assert dataset.key(0) != before[0] and dataset.key(1) == before[1]
    assert ClipDataset(clips, ["running", "walking"], 16, 6, None).key(1) != before[1]


def test_none_is_no_folder(data_set, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("none", "cache"):
        use("inference", data_set, trained, tmp_path / folder, "--feature_cache", folder)
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 4
    assert not list((tmp_path / "none").glob("*.pt"))
    use("feature_saliency", data_set, trained, tmp_path / "features", "--feature_cache", "cache")
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 4  # inference has computed them all
