"""The patches of a frame."""

from saliency.patches import patch_boxes


def test_edge_patches_are_smaller():
    boxes, grid = patch_boxes(25, 10, 10)
    assert grid == (3, 1)
    assert boxes.tolist() == [[0, 10, 0, 10], [10, 20, 0, 10], [20, 25, 0, 10]]
