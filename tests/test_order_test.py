"""Does a model use time? The order test on models and clips whose answer is known by construction."""

import numpy as np
import pytest
import torch
from torch import nn

from runtime.files import read_json
from saliency.when.order_test import (
    IN_ORDER,
    MIDDLE,
    REVERSED,
    SHUFFLED,
    order_figure,
    order_probabilities,
    order_sentences,
    orders,
    summarise_orders,
)
from tests import world_nets
from tests.runs import refused, use

CLASSES = ["running", "walking"]


class WholeClips(nn.Module):
    """A model without an encoder around one that has it, so that every order is a pass of the whole model."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clips):
        return self.model(clips)


class Constant(nn.Module):
    """A model that gives every clip the same scores."""

    def forward(self, clips):
        return clips.new_tensor([[0.0, 1.0]]).expand(len(clips), -1)


def moving_block(direction, length=12, size=8):
    """A bright block that moves to the right (1) or to the left (-1): (T, 3, H, W)."""
    clip = torch.full((length, 3, size, size), 0.5)
    places = torch.linspace(0, size - 2, length).round().long()
    for step, place in enumerate(places if direction > 0 else places.flip(0)):
        clip[step, :, 3:5, place:place + 2] = 1.0
    return clip


def clips_of_directions(n=6):
    return [moving_block(1 if i % 2 else -1, size=8 + i // 2) for i in range(n)], [i % 2 for i in range(n)]


def run(model, n=16, groups=None):
    clips, labels = clips_of_directions(n)
    rows = [order_probabilities(model.eval(), clip, seed=number) for number, clip in enumerate(clips)]
    return summarise_orders(rows, labels, CLASSES, groups)


def test_every_order_is_a_whole_clip_of_the_frames_it_names():
    shown = orders(7)
    assert shown["first half"].tolist() == [[0, 1, 2, 3, 7, 7, 7]]
    assert shown["second half"].tolist() == [[7, 7, 7, 7, 4, 5, 6]]
    assert shown["every second frame"].tolist() == [[0, 0, 2, 2, 4, 4, 6]]
    assert shown["each frame twice"].tolist() == [[0, 0, 1, 1, 2, 2, 3]]
    assert shown[MIDDLE].unique().tolist() == [3]
    assert all(sorted(order) == list(range(7)) for order in shown[SHUFFLED].tolist())
    assert len({tuple(order) for order in shown[SHUFFLED].tolist()}) > 1


@pytest.mark.parametrize("wrap", [lambda model: model, WholeClips])
def test_features_and_whole_clips_give_the_probabilities_of_the_model_itself(wrap):
    model, clip = world_nets.only_order().eval(), moving_block(1)
    found = order_probabilities(wrap(model), clip)
    assert found[REVERSED] == pytest.approx(model(clip.flip(0)[None]).softmax(1).detach().numpy(), abs=1e-6)
    held = clip[torch.arange(12) // 2 * 2]
    assert found["every second frame"] == pytest.approx(model(held[None]).softmax(1).detach().numpy(), abs=1e-6)


def test_a_model_that_sees_nothing_but_order_uses_it():
    summary = run(world_nets.only_order())
    assert summary["orders"][IN_ORDER]["accuracy"]["mean"] == 1
    assert summary["orders"][REVERSED]["accuracy"]["mean"] == 0
    assert summary["orders"][REVERSED]["recall"] == {"running": 0, "walking": 0}
    text = " ".join(order_sentences(summary))
    assert "The model uses the order of the frames" in text and "reversing costs 1.000 to 1.000" in text
    assert "A single frame does not suffice" in text


def test_a_model_that_is_blind_to_order_does_not_use_it():
    text = " ".join(order_sentences(run(world_nets.blind_to_order())))
    assert "On these clips, the model does not use the order of the frames" in text
    assert "uses the order" not in text.replace("does not use", "") and "suffice" not in text


@pytest.mark.parametrize("world", ["a constant model", "still clips"])
def test_clips_that_cannot_tell_give_no_verdict(world):
    clips = [moving_block(1)[:1].expand(8, -1, -1, -1) if world == "still clips" else moving_block(1) for _ in range(6)]
    model = world_nets.only_order() if world == "still clips" else Constant()
    rows = [order_probabilities(model.eval(), clip, seed=number) for number, clip in enumerate(clips)]
    text = " ".join(order_sentences(summarise_orders(rows, [0, 1] * 3, CLASSES)))
    assert "cannot tell whether the model uses their order" in text
    assert "does not use" not in text and "The model uses" not in text


def test_few_clips_or_groups_give_values_and_no_verdict():
    for summary in (run(world_nets.only_order(), n=4), run(world_nets.only_order(), n=6, groups=["a", "b"] * 3)):
        text = " ".join(order_sentences(summary))
        assert "too few to tell" in text and "The model uses" not in text and "[" not in text


def test_a_model_that_guesses_has_no_verdict():
    summary = run(world_nets.amount_of_motion())  # says walking for every clip
    text = " ".join(order_sentences(summary))
    assert "not shown to be better than guessing" in text and "The model uses" not in text


def test_balanced_accuracy_weighs_classes_equally():
    rows = [{IN_ORDER: np.array([[0.9, 0.1]]), REVERSED: np.array([[0.1, 0.9]])} for _ in range(4)]
    found = summarise_orders(rows, [0, 0, 0, 1], CLASSES)["orders"]
    assert found[IN_ORDER]["accuracy"]["mean"] == pytest.approx(0.5)
    assert found[REVERSED]["accuracy"]["mean"] == pytest.approx(0.5) and found[REVERSED]["cost"]["mean"] == 0
    assert found[REVERSED]["changed"] == 1


def test_the_figure_has_a_bar_for_every_order():
    figure = order_figure(run(world_nets.only_order()))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()][-1] == IN_ORDER


def test_the_command_line_adds_the_test_to_the_accuracy(data_set, trained, tmp_path, capsys):
    use("inference", data_set, trained, tmp_path, "--order_test")
    printed = capsys.readouterr().out
    found = read_json(tmp_path / "metrics.json")
    assert found["order_test"]["orders"][IN_ORDER]["accuracy"]["mean"] == pytest.approx(found["balanced_accuracy"])
    assert "Order test, " in printed and "too few to tell" in printed and (tmp_path / "order_test.png").is_file()


def test_windows_of_a_video_have_no_label(data_set, trained, tmp_path, capsys):
    line = refused(capsys, "inference", "--resume_path", trained / "best.pth", "--video", data_set.video,
                   "--result_path", tmp_path / "new", "--order_test")
    assert "have no labels" in line


def test_the_interval_takes_the_clips_of_each_class_as_given():
    """People with other shares of the classes do not widen the interval of a model that is always right."""
    rows = [{name: np.array([[0.1, 0.9] if label else [0.9, 0.1]]) for name in (IN_ORDER, REVERSED, SHUFFLED)}
            for label in (0, 1, 1, 1, 0, 0, 1, 1, 0, 1)]
    people = ["a", "a", "a", "a", "b", "b", "c", "c", "d", "e"]
    found = summarise_orders(rows, [0, 1, 1, 1, 0, 0, 1, 1, 0, 1], CLASSES, people)["orders"]
    accuracy = found[IN_ORDER]["accuracy"]
    assert (accuracy["mean"], accuracy["low"], accuracy["high"]) == pytest.approx((1, 1, 1))
    assert found[REVERSED]["cost"]["low"] == pytest.approx(0) == found[REVERSED]["cost"]["high"]


def test_known_clips_are_left_out_or_named(data_set, trained, tmp_path, capsys):
    use("inference", data_set, trained, tmp_path, "--order_test", "--subset", "all")
    everything = read_json(tmp_path / "metrics.json")["order_test"]["clips"]
    use("inference", data_set, trained, tmp_path / "training", "--order_test", "--subset", "training")
    assert "all of them known from training: balanced accuracy" in capsys.readouterr().out
    assert everything == 8 and read_json(tmp_path / "training" / "metrics.json")["order_test"]["clips"] == 8
