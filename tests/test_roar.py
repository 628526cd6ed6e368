"""ROAR where the answer is known: one frame of each clip holds the class, and a model that never sees it must guess."""

import numpy as np
import pytest
import torch

from saliency.roar import (
    SHARES,
    TRAINING,
    Clips,
    Removal,
    fit,
    in_components,
    losses,
    most_important,
    roar,
    sentences,
    summarise_roar,
)

FRAMES, SIZE = 10, 12
QUICK = TRAINING._replace(head="mean", components=8, size=8, epochs=12, batch_size=8, lr_rate=2e-2)


def telling_clips(number=64, seed=0):
    """Clips in which one frame, anywhere, shows the class; the others are noise. Another frame moves most."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 2
    places = torch.randint(0, FRAMES, (number,), generator=generator)
    vectors = 0.3 * torch.randn(number, FRAMES, SIZE, generator=generator)
    vectors[torch.arange(number), places, 0] += 8 * (2 * labels - 1)
    difference = torch.rand(number, FRAMES, generator=generator)
    difference[torch.arange(number), places] = 0
    return Clips(vectors, torch.zeros(number, SIZE), labels, torch.arange(number) // 16, difference)


def test_the_upper_share_of_each_clip_is_removed():
    importance = torch.tensor([[0.0, 3, 1, 2], [5.0, 5, 5, 9]])
    generator = torch.Generator().manual_seed(0)
    assert most_important(importance, 0.5, generator)[0].tolist() == [False, True, False, True]
    drawn = {tuple(most_important(importance, 0.5, generator)[1].tolist()) for _ in range(40)}
    assert drawn == {(True, False, False, True), (False, True, False, True), (False, False, True, True)}
    for share in SHARES:
        removed = most_important(torch.rand(5, 30), share, generator)
        assert removed.sum(1).tolist() == [round(30 * share)] * 5


def test_components_keep_the_distances_of_vectors_and_know_only_the_training_clips():
    clips = telling_clips(20)
    training = clips.persons == 0
    vectors, backgrounds = in_components(clips, training, SIZE)
    scale = (vectors[0, 0] - backgrounds[0]).norm() / (clips.vectors[0, 0] - clips.backgrounds[0]).norm()
    distances = torch.cdist(clips.vectors.flatten(0, 1), clips.vectors[0])
    assert torch.allclose(torch.cdist(vectors.flatten(0, 1), vectors[0]), scale * distances, atol=1e-3)
    assert vectors[training].flatten(0, 1).std(0).max() == pytest.approx(1, abs=0.01)
    other = clips._replace(vectors=torch.where(training[:, None, None], clips.vectors, 100.0))
    found, expected = (in_components(each, training, 3)[0][training] for each in (other, clips))
    assert torch.allclose(found, expected)


def test_training_depends_on_the_seed_alone():
    clips = telling_clips(16)
    first, again, other = (fit(clips.vectors, clips.labels, seed, QUICK).projection.weight for seed in (0, 0, 1))
    assert first.equal(again) and not first.equal(other)


def test_a_model_that_never_saw_the_telling_frame_guesses():
    clips = telling_clips()
    found = roar(clips, clips.persons == 3, ["integrated_gradients", "interval"], (0.2,), training=QUICK)
    table = summarise_roar([found])
    for name in ("integrated_gradients", "interval"):
        assert table[name]["retrained"][0.0] == 1 and table[name]["retrained"][0.2] < 0.8, table
    assert table["frame_difference"]["retrained"][0.2] == 1  # it removes the telling frame last
    assert table["random"]["retrained"][0.2] > table["interval"]["retrained"][0.2]
    assert {name: sum(run.retrained[0.2].ravel()) for name, run in found.items()} == dict.fromkeys(found, 16)
    assert found["random"].kept[0.0].tolist() == found["interval"].kept[0.0].tolist() == [[8, 0], [0, 8]]


def confusions(right):
    """Removals of one fold of 2 x 10 clips: {share: `right` of 10 clips of each class}."""
    return {share: np.array([[each, 10 - each], [10 - each, each]]) for share, each in right.items()}


def test_folds_are_added_up_and_the_verdict_follows():
    def table(random, method, baseline=9):
        rows = {"random": random, "gradient": method, "frame_difference": baseline}
        fold = {name: Removal(*[confusions({0.0: 10, 0.5: right})] * 2) for name, right in rows.items()}
        return summarise_roar([fold, fold])

    low, high = table(9, 5), table(9, 7)
    assert low["gradient"] == {"retrained": {0.0: 1.0, 0.5: 0.5}, "kept": {0.0: 1.0, 0.5: 0.5}}
    assert losses([low, high]) == {"gradient": pytest.approx([0.4, 0.2]), "frame_difference": pytest.approx([0, 0])}
    first, own, frames, all_of_them = sentences([low, high])
    assert first == "With all frames, the balanced accuracy is 1.000 (1.000 to 1.000 over the seeds)."
    assert own == ("gradient removes what a retrained model misses: on average over the shares, the accuracy is 0.300 "
                   "below that of random order (-0.400 to -0.200 over the seeds).")
    assert frames.startswith("frame_difference cannot be told from random order")
    assert all_of_them == "In every seed below both random order and frame difference: gradient."
    assert sentences([low, table(5, 9)])[-1].endswith("no method. ROAR does not tell the methods from chance here.")
    assert "can do without" in sentences([table(5, 9)])[1]
