"""Where a video is cut."""

import cv2
import numpy as np
import pytest

from data.windows import (
    find_gaps,
    find_motion,
    find_ranges,
    loop_frames,
    passage_with_context,
    place_windows,
    shows_motion,
)
from tests.passing import PASSES, passing


def test_motion_is_found_where_somebody_passes():
    frames, _ = passing()
    for (start, stop), (a, b) in zip(PASSES, find_ranges(find_motion(frames)), strict=True):
        assert start < a and b <= stop  # inside the pass: at the border a person counts less
        assert abs((a + b + 1) / 2 - 1 - (start + stop) / 2) <= 1 and b - a + 1 >= 12
    assert not find_motion(np.full((20, 8, 8), 77, dtype=np.uint8)).any()
    assert not find_motion(frames[:1]).any()


def test_ranges_are_runs_of_motion():
    moving = np.zeros(60, dtype=bool)
    moving[:10] = moving[20:23] = moving[50:] = True
    assert find_ranges(moving) == [(1, 10), (51, 60)]  # three frames are nobody
    assert find_ranges(np.zeros(5, dtype=bool)) == []


@pytest.mark.parametrize("first, last, seen, n_windows, expected", [
    (1, 100, (), 1, [35]),  # nothing moves: the middle of the range
    (1, 100, (20, 70), 1, [30]),  # the middle of the motion
    (1, 100, (0, 20), 1, [0]),  # not before the range
    (51, 100, (90, 100), 1, [70]),  # nor after it
    (11, 40, (12, 20), 1, [10]),  # a range of one window
    (51, 78, (60, 70), 1, [49]),  # 28 frames: widened by one on both sides
    (1, 26, (), 1, [0]),  # at the start of the video
    (175, 200, (), 1, [170]),  # and at its end
    (1, 100, (10, 90), 3, [10, 35, 60]),  # spread over the motion
    (1, 100, (40, 60), 2, [32, 37]),  # little motion: overlapping, five frames apart
    (51, 80, (), 2, [48, 53]),  # a range too short for two
])  # fmt: skip
def test_place_windows(first, last, seen, n_windows, expected):
    moving = np.zeros(200, dtype=bool)
    moving[slice(*seen) if seen else slice(0)] = True
    assert place_windows(first, last, moving, 30, n_windows) == expected


def test_video_of_one_window():
    assert place_windows(5, 25, np.zeros(30, dtype=bool), 30, 3) == [0]


def test_a_passage_is_widened_within_the_video():
    assert passage_with_context(20, 30, 100, 5) == (15, 35)
    assert passage_with_context(3, 98, 100, 5) == (1, 100)
    assert passage_with_context(3, 98, 100, 0) == (3, 98)


@pytest.mark.parametrize(("ranges", "margin", "expected"), [
    ([(11, 20), (41, 50)], 1, [(1, 9), (22, 39), (52, 60)]),
    ([(11, 20), (41, 50)], 0, [(1, 10), (21, 40), (51, 60)]),
    ([(11, 20), (15, 30)], 1, [(1, 9), (32, 60)]),  # ranges that overlap
    ([(7, 20), (28, 60)], 1, []),  # five and six frames without anybody, less the margins
    ([(8, 20), (29, 60)], 1, [(1, 6), (22, 27)]),
    ([(1, 60)], 3, []), ([], 3, [(1, 60)]),
])
def test_gaps_are_what_no_range_covers(ranges, margin, expected):
    assert find_gaps(ranges, 60, margin) == expected


def test_a_short_gap_runs_forwards_and_backwards():
    assert loop_frames(3, 6, 4).tolist() == [2, 3, 4, 5]
    assert loop_frames(3, 6, 10).tolist() == [2, 3, 4, 5, 4, 3, 2, 3, 4, 5]
    assert loop_frames(3, 20, 10).tolist() == list(range(2, 20))  # a long gap stays as it is


def crossing(frames, start, stop, top, height, width, colour):
    """Let a block cross frames (N, H, W[, 3])."""
    for t in range(start, stop):
        left = round((t - start + 0.5) / (stop - start) * frames.shape[2]) - width // 2
        frames[t, top:top + height, max(0, left):left + width] = colour
    return frames


def test_a_small_person_is_found_beside_a_large_one():
    frames = crossing(np.full((200, 60, 80), 90, np.uint8), 20, 60, 10, 45, 16, 200)
    assert len(find_ranges(find_motion(frames))) == 1
    crossing(frames, 120, 170, 40, 6, 3, 200)
    (_, large_end), (first, last) = find_ranges(find_motion(frames))
    assert large_end <= 60 and first > 120 and last <= 170 and last - first > 20


def test_a_light_that_is_switched_on_is_no_motion():
    frames = np.full((200, 60, 80), 60, np.uint8)
    frames[140:] = 120
    assert find_ranges(find_motion(frames)) == [] and not shows_motion(frames[150:])
    crossing(frames, 150, 180, 10, 40, 10, 220)  # somebody passes in the light
    ((first, last),) = find_ranges(find_motion(frames))
    assert first > 150 and last <= 180 and shows_motion(frames[150:180])


def test_motion_that_only_colours_show():
    """A red ball before an equally bright green: grey frames are all equal."""
    green, red = (0, 120, 0), (236, 0, 0)
    frames = np.full((80, 60, 80, 3), green, np.uint8)
    crossing(frames, 20, 50, 20, 16, 12, red)
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    assert not find_motion(grey).any()
    ((first, last),) = find_ranges(find_motion(frames))
    assert first > 20 and last <= 50
