"""Maps that know nothing of a model."""

import numpy as np
import pytest

from saliency.baselines import centre_map, frame_difference, over_blocks, random_map
from saliency.explain import blur, measure
from saliency.flow import optical_flow
from saliency.metrics import map_metrics
from tests.tiny_data import moving_block


def test_baseline_maps():
    assert random_map((2, 3, 4), seed=1).shape == (2, 3, 4)
    assert (random_map((2, 3, 4), seed=1) == random_map((2, 3, 4), seed=1)).all()
    assert (random_map((2, 3, 4), seed=1) != random_map((2, 3, 4), seed=2)).all()
    mean_flow = np.arange(12.0).reshape(3, 4)
    assert (centre_map((2, 3, 4), mean_flow) == mean_flow).all()
    gaussian = centre_map((2, 9, 13))
    assert (gaussian == gaussian[:, ::-1, ::-1]).all() and np.argmax(gaussian[0]) == 4 * 13 + 6
    with pytest.raises(ValueError, match="use one size"):
        centre_map((2, 5, 5), mean_flow)


def test_the_truth_beats_the_centre_and_the_centre_beats_noise():
    rows, columns = np.mgrid[:40, :40]
    flow = np.stack([3.0 * ((rows - 20) ** 2 + (columns - 8 - 3 * t) ** 2 < 25) for t in range(9)])
    truth = np.concatenate([flow, flow[-1:]])
    maps = {"truth": truth, "centre": centre_map(truth.shape, flow.mean(axis=0)), "random": random_map(truth.shape)}
    scores = {name: map_metrics(saliency, flow) for name, saliency in maps.items()}
    for metric in ("auc", "nss", "mass_accuracy", "rank_accuracy", "cc", "sim"):
        values = [scores[name][f"{metric}_flow_frame"] for name in ("truth", "centre", "random")]
        assert values == sorted(values, reverse=True)
    assert scores["truth"]["auc_flow_frame"] == 1 and scores["truth"]["sim_flow_clip"] == pytest.approx(1)
    assert scores["random"]["auc_flow_clip"] == pytest.approx(0.5, abs=0.05)
    assert scores["random"]["mass_accuracy_flow_clip"] == pytest.approx(scores["random"]["flow_share_clip"], abs=0.01)


def test_means_over_blocks_by_hand():
    maps = np.arange(12.0).reshape(2, 2, 3)  # patches of 2 x 2 pixels: the second has one column
    by_patch = [[[2, 2, 3.5], [2, 2, 3.5]], [[8, 8, 9.5], [8, 8, 9.5]]]
    assert over_blocks(maps, 2).tolist() == by_patch
    assert over_blocks(maps, 2, frames=2).tolist() == [[[5, 5, 6.5], [5, 5, 6.5]]] * 2
    assert (over_blocks(maps, 1) == maps).all() and (over_blocks(maps, 99, 99) == 5.5).all()


def test_a_map_of_patches_stands_beside_frame_difference_in_the_same_patches():
    """A map that is frame difference in patches agrees with the flow exactly as its baseline does, blurred or not."""
    frames = moving_block(3, 1, size=40)[0][..., 0]
    flow, patches = optical_flow(frames), over_blocks(frame_difference(frames), 8)
    blocks = over_blocks(frame_difference(frames), 20, 5)
    facts = {"tsr_patch": 8, "block_patch": 20, "block_patch_frames": 5}
    for smooth in (0, 2):
        maps = {"tsr": blur(patches, smooth), "block": blur(blocks, smooth)}
        rows = measure(maps, frames, flow, smooth=smooth, facts=facts)
        assert rows["tsr"] == rows["frame_difference_patches"] and rows["block"] == rows["frame_difference_blocks"]
        assert rows["tsr"] != rows["frame_difference"]
    assert set(measure(maps, frames, flow)) == {"tsr", "block", "random", "centre", "frame_difference"}
