"""Training windows that put the person anywhere in time, cut anew in each epoch from passages and empty clips.

A model that has only seen clips full of a person learns two shortcuts: that an empty scene counts as the slower class,
and that the number of empty frames tells the speed. The windows here remove both. The person may enter or leave, may
be visible for a few frames only, and in a third of the windows nobody is there and every class is equally probable.

    training = TrainingWindows(source, labels, visible, groups, duration=30)
    training.draw(torch.Generator().manual_seed(0))
    frames, label = training[0]         # (30, ...), a class index or UNDECIDED

utils/trim_videos.py makes the passages and the empty clips.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, Sampler, SequentialSampler

UNDECIDED = -1  # the label of windows without anybody: every class is equally probable
RATES = (0.75, 1.3)  # how fast a passage is played: people walk and run at other speeds than those in the data
EDGE = 0.6  # share of the windows of a passage that show only its first or its last frames ...
EDGE_FRAMES = (8, 20)  # ... this many; these and the other numbers of frames are those of windows of SPAN frames
PIECE = 0.5  # share of the windows of a passage in which only a piece of the passage stays, put anywhere in time ...
PIECE_FRAMES = (8, 25)  # ... this long
OUTSIDE = 20  # frames before and after a passage that other windows may reach
STILL = 0.2  # share of the empty windows that are the background in all frames
BLANK = 0.5  # share of the other empty windows in which some frames in a row are the background ...
BLANK_FRAMES = (3, 20)  # ... this many
SPAN = 30  # frames of a window; for windows of another length, the numbers of frames are scaled
LEAST_EMPTY = 6  # frames without the person that a passage needs to fill the rest of a window

Source = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]  # (clip, view) -> (frames (L, ...), background (...))


class Window(NamedTuple):
    """One training window.

    rate: how fast the clip is played; all other numbers count frames of the clip as it is played. piece: (first frame
    in the window, length, place) of the piece that stays, or None. fill: whether the background fills the rest;
    otherwise frames of the passage without the person do. blank: (first frame, length) of frames in a row that become
    the background, or None.
    """

    clip: int
    view: int
    start: int
    rate: float = 1.0
    piece: tuple[int, int, int] | None = None
    fill: bool = True
    blank: tuple[int, int] | None = None


class TrainingWindows(Dataset):
    """Windows of `duration` frames; each epoch has as many as there are passages and empty clips.

    source: returns the frames (L, ...) of a clip and its background (...), in one of the `views`: the picture and, if
    there are two, its mirror image. labels: class index of each clip, UNDECIDED for empty clips. visible: (first, stop)
    frames with the person in a passage, from 0, or None for empty clips and for clips that are used as they are.
    lengths: frames of each clip. groups: what is drawn equally often, from the largest group to the smallest, for
    example ("real", 4); the label comes before them.
    """

    def __init__(self, source: Source, labels: Sequence[int], visible: Sequence[tuple[int, int] | None],
                 lengths: Sequence[int], groups: Sequence[tuple[Hashable, ...]], duration: int, views: int = 2):
        self.source, self.labels, self.visible, self.lengths = source, list(labels), visible, lengths
        self.duration, self.views = duration, views
        self.edges, self.pieces, self.blanks = (tuple(max(1, round(count * duration / SPAN)) for count in counts)
                                                for counts in (EDGE_FRAMES, PIECE_FRAMES, BLANK_FRAMES))
        self.outside = min(round(OUTSIDE * duration / SPAN), duration - self.edges[0])  # so that the person is seen
        self.weights = equal_weights([(label, *group) for label, group in zip(labels, groups, strict=True)])
        self.windows: list[Window] = []
        self.draw(torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, generator: torch.Generator) -> None:
        """Choose the windows of an epoch."""
        clips = torch.multinomial(self.weights, len(self), replacement=True, generator=generator).tolist()
        self.windows = [self._empty_window(clip, generator) if self.labels[clip] == UNDECIDED
                        else self._whole_window(clip, generator) if self.visible[clip] is None
                        else self._person_window(clip, generator) for clip in clips]

    def sampler(self, generator: torch.Generator) -> Sampler:
        """Return the order of an epoch: the windows are drawn at random already."""
        return SequentialSampler(self)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        window = self.windows[index]
        frames, background = self.source(window.clip, window.view)
        return self._cut(window, frames, background), self.labels[window.clip]

    def _person_window(self, clip: int, generator: torch.Generator) -> Window:
        rate = float(torch.empty(()).uniform_(*RATES, generator=generator))
        (first, stop), length = self._played(clip, rate)
        view, latest = _integer(0, self.views - 1, generator), max(0, length - self.duration)
        if _chance(EDGE, generator):
            shown = _integer(*self.edges, generator)
            start = stop - shown if _chance(0.5, generator) else first + shown - self.duration
        else:
            low = max(0, first - self.outside)
            high = min(min(length, stop + self.outside) - self.duration, stop - self.edges[0])
            start = _integer(low, max(low, high), generator)
        start = min(max(start, 0), latest)
        if not _chance(PIECE, generator):
            return Window(clip, view, start, rate)
        begin, end = max(0, first - start), min(self.duration, stop - start)  # frames of the window with the person
        kept = min(_integer(*self.pieces, generator), end - begin)
        piece = (_integer(begin, end - kept, generator), kept, _integer(0, self.duration - kept, generator))
        return Window(clip, view, start, rate, piece, fill=_chance(0.5, generator))

    def _played(self, clip: int, rate: float) -> tuple[tuple[int, int], int]:
        """Return the frames with the person, (first, stop), and the number of frames of a passage that is played."""
        (first, stop), length = self.visible[clip], int((self.lengths[clip] - 1) / rate) + 1
        begin = min(math.ceil(first / rate), length - 1)
        return (begin, max(begin + 1, int(stop / rate))), length

    def _whole_window(self, clip: int, generator: torch.Generator) -> Window:
        view = _integer(0, self.views - 1, generator)
        return Window(clip, view, _integer(0, max(0, self.lengths[clip] - self.duration), generator))

    def _empty_window(self, clip: int, generator: torch.Generator) -> Window:
        view = _integer(0, self.views - 1, generator)
        start = _integer(0, max(0, self.lengths[clip] - self.duration), generator)
        if _chance(STILL, generator):
            return Window(clip, view, start, blank=(0, self.duration))
        blank = None
        if _chance(BLANK, generator):
            blank = (_integer(0, self.duration - 1, generator), _integer(*self.blanks, generator))
        return Window(clip, view, start, blank=blank)

    def _cut(self, window: Window, frames: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        """Return the frames of a window, (duration, ...)."""
        length = int((len(frames) - 1) / window.rate) + 1  # of the clip as it is played
        cut = background.expand(self.duration, *background.shape).clone()
        shown = play(frames, window.rate, torch.arange(window.start, min(window.start + self.duration, length)))
        cut[:len(shown)] = shown
        if window.piece:
            begin, length, place = window.piece
            piece = cut[begin:begin + length].clone()
            cut[:] = background
            empty = self._frames_without_person(window)
            if not window.fill and len(empty) >= LEAST_EMPTY:
                cut[:] = play(frames, window.rate, empty.repeat(-(-self.duration // len(empty)))[:self.duration])
            cut[place:place + length] = piece
        if window.blank:
            begin, length = window.blank
            cut[begin:begin + length] = background
        return cut

    def _frames_without_person(self, window: Window) -> torch.Tensor:
        (first, stop), length = self._played(window.clip, window.rate)
        return torch.tensor([*range(first - 1), *range(stop + 1, length)], dtype=torch.long)


def play(frames: torch.Tensor, rate: float, times: torch.Tensor) -> torch.Tensor:
    """Return what a clip (L, ...) that is played at a rate shows at whole times (n,), by linear interpolation."""
    if rate == 1:
        return frames[times]
    places = times * rate
    before = places.long().clamp_max(len(frames) - 1)
    after = (before + 1).clamp_max(len(frames) - 1)
    return torch.lerp(frames[before], frames[after], (places - before).view(-1, *[1] * (frames.ndim - 1)))


def equal_weights(groups: Sequence[tuple[Hashable, ...]]) -> torch.Tensor:
    """Return weights (N,) with which each group is drawn equally often, at every level of the groups.

    The sum of the weights is 1. With the groups [("a", 1), ("a", 2), ("a", 2), ("b", 1)] they are 1/4, 1/8, 1/8, 1/2.
    """
    weights = [1.0] * len(groups)
    levels = max(map(len, groups), default=0)
    for level in range(1, levels + 1):
        parts: dict[tuple, set] = {}
        for group in groups:
            parts.setdefault(group[:level - 1], set()).add(group[:level])
        weights = [weight / len(parts[group[:level - 1]]) for weight, group in zip(weights, groups, strict=True)]
    sizes: dict[tuple, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    return torch.tensor([weight / sizes[group] for weight, group in zip(weights, groups, strict=True)])


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """Return a random whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _chance(share: float, generator: torch.Generator) -> bool:
    """Return True with this probability."""
    return bool(torch.rand((), generator=generator) < share)
