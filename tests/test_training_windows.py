"""model/training_windows.py: windows that put the person anywhere in time, and windows without anybody."""

from collections import Counter

import pytest
import torch

from model.training_windows import UNDECIDED, TrainingWindows, Window, equal_weights

FIRST, STOP, LENGTH, DURATION = 22, 40, 62, 30
BACKGROUND = -1.0


def source(clip, view):
    """Frame t of clip c holds 100 c + t, negative in the mirror image; the background holds -1."""
    frames = torch.arange(LENGTH, dtype=torch.float32) + 100 * clip
    return (-frames if view else frames)[:, None], torch.tensor([BACKGROUND])


def windows(visible=((FIRST, STOP), (FIRST, STOP), None), labels=(0, 1, UNDECIDED), groups=((), (), ())):
    return TrainingWindows(source, labels, visible, [LENGTH] * len(labels), groups, DURATION)


def drawn(dataset, epochs=400):
    """Return (window, its frames, its label) of many epochs."""
    found = []
    for seed in range(epochs):
        dataset.draw(torch.Generator().manual_seed(seed))
        for index, window in enumerate(dataset.windows):
            frames, label = dataset[index]
            assert frames.shape == (DURATION, 1)
            found.append((window, frames[:, 0], label))
    return found


def test_every_label_is_drawn_equally_often():
    counts = Counter(label for _, _, label in drawn(windows()))
    assert set(counts) == {0, 1, UNDECIDED}
    assert max(counts.values()) < 1.25 * min(counts.values())


def test_the_person_is_anywhere_in_time():
    """Over many epochs the person is seen at every step of a window, and is nowhere seen in all windows."""
    seen = torch.zeros(DURATION)
    cases = [(window, frames) for window, frames, label in drawn(windows()) if label != UNDECIDED and not window.view]
    for window, frames in cases:
        times = frames - 100 * window.clip
        seen += (times >= FIRST) & (times < STOP)
    share = seen / len(cases)
    assert share.min() > 0.15
    assert share.max() < 0.85


def test_a_window_of_a_passage_shows_the_person():
    for window, frames, label in drawn(windows(), epochs=100):
        times = frames.abs() - 100 * window.clip
        shown = int(((times >= FIRST) & (times < STOP)).sum())
        assert shown >= 8 if label != UNDECIDED else window.piece is None


def test_pieces_stay_in_order_and_the_rest_shows_nobody():
    pieces = [(window, frames) for window, frames, _ in drawn(windows(), epochs=100)
              if window.piece and not window.view]
    assert pieces
    for window, frames in pieces:
        _, length, place = window.piece
        times = frames - 100 * window.clip
        kept = times[place:place + length]
        torch.testing.assert_close(kept.diff(), torch.full((length - 1,), window.rate), atol=1e-4, rtol=0)
        assert kept.min() >= FIRST
        assert kept.max() < STOP
        rest = torch.cat([times[:place], times[place + length:]])
        empty = (frames == BACKGROUND).sum() if window.fill else 0
        assert not ((rest >= FIRST) & (rest < STOP)).any() or empty == DURATION - length


def test_a_passage_shorter_than_a_window_is_filled_with_the_background():
    dataset = TrainingWindows(lambda clip, view: (torch.ones(10, 1), torch.tensor([BACKGROUND])), [0], [(0, 10)], [10],
                              [()], DURATION)
    dataset.windows = [Window(0, 0, 0)]
    frames, _ = dataset[0]
    assert frames[:, 0].tolist() == [1.0] * 10 + [BACKGROUND] * 20


def test_an_epoch_depends_on_the_generator_only():
    first, again, other = windows(), windows(), windows()
    first.draw(torch.Generator().manual_seed(3))
    again.draw(torch.Generator().manual_seed(3))
    other.draw(torch.Generator().manual_seed(4))
    assert first.windows == again.windows
    assert first.windows != other.windows
    assert list(first.sampler(torch.Generator())) == [0, 1, 2]


def test_equal_weights():
    groups = [("a", 1), ("a", 2), ("a", 2), ("b", 1)]
    assert equal_weights(groups).tolist() == [0.25, 0.125, 0.125, 0.5]
    assert equal_weights([(0, "real", 4), (0, "drawn", 30), (0, "drawn", 31), (UNDECIDED,)]).tolist() == [
        0.25, 0.125, 0.125, 0.5]
    assert equal_weights([()]).tolist() == [1.0]


@pytest.mark.parametrize("duration", range(4, 61))
def test_a_person_window_shows_the_person_whatever_its_length(duration):
    """Ranges as in KTH, from 18 frames to 140, at the beginning, the middle and the end of their videos."""
    spans = [(lead, lead + shown, lead + shown + tail) for shown in (18, 35, 140) for lead, tail in (
        (0, 22), (22, 22), (22, 0), (3, 1))]
    numbers = [torch.arange(length, dtype=torch.float32)[:, None] for _, _, length in spans]
    dataset = TrainingWindows(lambda clip, view: (numbers[clip], torch.tensor([BACKGROUND])), [0] * len(spans),
                              [(first, stop) for first, stop, _ in spans], [length for *_, length in spans],
                              [()] * len(spans), duration)
    for seed in range(15):
        dataset.draw(torch.Generator().manual_seed(seed))
        for index, window in enumerate(dataset.windows):
            first, stop, _ = spans[window.clip]
            times = dataset[index][0][:, 0]
            shown = int(((times >= first) & (times < stop)).sum())
            assert shown >= min(8 * duration // 30, (stop - first) / 1.3 - 1, duration) and shown >= 1


def test_clips_without_a_passage_are_drawn_as_they_are_and_nothing_is_mirrored_unless_it_may_be():
    dataset = TrainingWindows(source, [0, 1, UNDECIDED], [(FIRST, STOP), None, None], [LENGTH] * 3, [()] * 3, DURATION,
                              views=1)
    found = drawn(dataset, 100)
    assert {label for _, _, label in found} == {0, 1, UNDECIDED}
    assert all(window.view == 0 and (frames >= BACKGROUND).all() for window, frames, _ in found)
    whole = [(frames - 100).tolist() for window, frames, label in found if label == 1]
    assert whole and all(times == list(range(int(times[0]), int(times[0]) + DURATION)) for times in whole)
