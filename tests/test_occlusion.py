"""Occlusion against loops."""

import torch

from saliency.methods import FEATURE_METHODS, METHODS, attribute
from tests.toys import LENGTH, SIDE, score_of


def test_occlusion_of_blocks_equals_a_loop(case):
    """Blocks of 2 frames x 14 pixels, smaller at the edges."""
    model, clip = case
    found = attribute(METHODS["occlusion_block"], model, clip, 1, frames=2, pixels=14).map
    expected = torch.full_like(found, torch.nan)
    for start in range(0, LENGTH, 2):
        for top in range(0, SIDE, 14):
            for left in range(0, SIDE, 14):
                block = slice(start, start + 2), slice(None), slice(top, top + 14), slice(left, left + 14)
                blanked = clip.clone()
                blanked[block] = clip.median(0).values.expand_as(clip)[block]
                drop = max(0.0, score_of(model, clip, 1) - score_of(model, blanked, 1))
                expected[block[0], block[2], block[3]] = drop
    torch.testing.assert_close(found, expected)


def test_a_block_as_large_as_the_clip_blanks_it(case):
    model, clip = case
    empty = clip.median(0).values.expand_as(clip)
    target = int(score_of(model, clip, 1) > score_of(model, empty, 1))  # the one that drops
    found = attribute(METHODS["occlusion_block"], model, clip, target, frames=99, pixels=99).map
    drop = score_of(model, clip, target) - score_of(model, empty, target)
    torch.testing.assert_close(found, torch.full_like(found, drop))
    by_frame = attribute(METHODS["occlusion_frame"], model, clip, 1)
    single = attribute(METHODS["occlusion_block"], model, clip, 1, frames=1, pixels=99)
    assert by_frame.evidence.equal(single.evidence) and by_frame.time_only


def test_feature_occlusion_equals_a_loop(case):
    model, clip = case
    with torch.no_grad():
        features = model.encode(clip[None])[0]
        found = attribute(FEATURE_METHODS["occlusion"], model, clip, 1, "probability").map
        whole = model.classify(features[None])[0].softmax(0)[1]
        for t in range(LENGTH):
            for d in range(features.shape[1]):
                changed = features.clone()
                changed[t, d] = features[:, d].median()
                expected = whole - model.classify(changed[None])[0].softmax(0)[1]
                torch.testing.assert_close(found[t, d], expected, atol=1e-12, rtol=1e-6)
