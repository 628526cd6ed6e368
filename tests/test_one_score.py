"""Networks with one score per clip: it is the logit of the second of two classes."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from data.clips import find_clips, load_frames
from model.adapters import FrameModel
from model.own import OwnModel
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from model.scores import class_probabilities
from runtime.files import read_json
from saliency.gradient import frame_gradient
from saliency.scores import target_score
from tests import own_nets
from tests.runs import data_options, refused, run_command, saved, table
from tests.tiny_data import CLIP, DURATION, SIZE

SIZES = ["--sample_size", SIZE, "--sample_duration", DURATION]


class Sum(nn.Module):
    """The score is the sum of the features of a clip, minus 2."""

    def forward(self, features):
        return features.sum((1, 2))[:, None] - 2  # (B, 1)


def sums():
    """Return a one-score model of the sum of all pixels."""
    return FrameModel(nn.Flatten(), Sum())


@pytest.fixture
def nets(tmp_path):
    return shutil.copy(own_nets.__file__, tmp_path / "nets.py")


def options(data, nets, function, results, *more):
    return [*data_options(data), "--model", f"{nets}:{function}", *SIZES, "--clips", CLIP, "--result_path", results,
            *more]


def score_of_clip(data, nets, function):
    """Return the one score of a network of the user for CLIP."""
    _, clips, _ = find_clips(data.annotation, data.images, names=[CLIP])
    tensor = normalise(load_frames(clips[0], DURATION, SIZE), IMAGENET_MEAN, IMAGENET_STD)
    with torch.no_grad():
        return OwnModel.parse(f"{nets}:{function}").build(2).eval()(tensor[None])[0, 0]


def test_the_scores_and_probabilities_of_the_two_classes():
    scores = torch.tensor([[2.0], [-0.5]])
    assert target_score(scores, 1).tolist() == [2.0, -0.5] and target_score(scores, 0).tolist() == [-2.0, 0.5]
    torch.testing.assert_close(class_probabilities(scores), torch.cat([(-scores).sigmoid(), scores.sigmoid()], 1))
    for target in (0, 1):
        assert target_score(scores, target, "probability").equal(class_probabilities(scores)[:, target])
    with pytest.raises(ValueError, match="class 2 was given as the target, but the model has 2 classes"):
        target_score(scores, 2)


def test_the_gradient_of_the_probability_by_hand():
    clip = torch.full((2, 1, 2, 2), 0.125)  # sum 1, score -1
    slope = torch.tensor(-1.0).sigmoid() * torch.tensor(1.0).sigmoid()
    for target, sign in ((1, 1.0), (0, -1.0)):
        assert frame_gradient(sums(), clip, target).eq(sign).all()
        torch.testing.assert_close(frame_gradient(sums(), clip, target, "probability"),
                                   torch.full_like(clip, sign * float(slope)))


def test_the_command_lines(data_set, nets, tmp_path, capsys):
    probability = float(score_of_clip(data_set, nets, "logit").sigmoid())
    run_command("inference", *options(data_set, nets, "logit", tmp_path / "inference"))
    row = table(tmp_path / "inference" / "predictions.csv")[0]
    assert float(row["walking"]) == pytest.approx(probability, abs=1e-5)  # the labels are running, walking
    assert float(row["running"]) == pytest.approx(1 - probability, abs=1e-5)
    given = options(data_set, nets, "logit", tmp_path / "frame_saliency", "--score", "probability")
    run_command("frame_saliency", *given, "--target", "walking", "--deletion", "--sanity", "--sanity_draws", 1, "--tsr",
                "--tsr_patch", 16, "--compare", "freeze", "--no_overlay")
    arrays = saved(tmp_path / "frame_saliency" / "walking" / CLIP)
    assert arrays["probability"] == pytest.approx(probability, abs=1e-5)
    assert arrays["gradient"].max() > 0 and arrays["tsr"].max() > 0 and arrays["when_prefix_padded"].shape[1] == 2
    assert arrays["when_prefix_padded"][-1, 1] == pytest.approx(probability, abs=1e-5)
    metrics = read_json(tmp_path / "frame_saliency" / "metrics.json")["clips"][CLIP]
    assert metrics["gradient"]["deletion_frame_auc"] is not None
    run_command("feature_saliency", *options(data_set, nets, "logit", tmp_path / "feature_saliency"))
    assert np.abs(saved(tmp_path / "feature_saliency" / "walking" / CLIP)["gradient"]).max() > 0
    assert "(1.00)" not in capsys.readouterr().out + (tmp_path / "frame_saliency" / "report.html").read_text()


@pytest.mark.parametrize("script", ["inference", "frame_saliency", "feature_saliency"])
def test_one_name_is_refused(data_set, nets, tmp_path, capsys, script):
    line = refused(capsys, script, "--model", f"{nets}:logit", *SIZES, "--classes", "running", "--video",
                   data_set.video, "--result_path", tmp_path / "results")
    assert "one score per clip, which is the logit of the second of two classes, but --classes names running;" in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("script", ["inference", "frame_saliency", "feature_saliency"])
def test_a_network_that_applies_the_sigmoid_itself(data_set, nets, tmp_path, capsys, script):
    given = [*data_options(data_set), "--model", f"{nets}:probability", *SIZES, "--limit", 2, "--result_path", tmp_path]
    run_command(script, *given)
    told = [line for line in capsys.readouterr().err.splitlines() if "apply the sigmoid itself" in line]
    assert len(told) == 1 and told[0].startswith("warning: ")
