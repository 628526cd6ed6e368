"""Training data: mirrored clips to train a whole model, and vectors of a frozen backbone to train the rest.

A frozen backbone returns the same vectors in every epoch, so they are computed once and kept in memory. In each epoch,
`draw` chooses at random whether a clip is mirrored; for vectors it chooses between those of the clip and of its mirror
image.

    vectors = keep_vectors(model, dataset, device, mirrored=True)
    scores = AfterBackbone(model)(vectors[0][0][None])      # (1, classes)
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from model.batches import balanced_sampler, lengths_of
from model.fast.folding import folded
from model.feature_cache import FeatureCache
from runtime import processes
from runtime.progress import each

FRAMES_AT_ONCE = 16  # in one forward pass of the frozen backbone; a CPU is slower with more


class MirroredClips(Dataset):
    """A data set of (clip (T, C, H, W), label) in which each clip is mirrored left to right with probability 1/2.

    mirror: False to mirror none.
    """

    def __init__(self, dataset: Dataset, mirror: bool = True):
        self.chance = 0.5 if mirror else 0.0
        self.dataset, self.labels, self.true_lengths = dataset, dataset.labels, lengths_of(dataset)
        self.mirrored = [False] * len(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def draw(self, generator: torch.Generator) -> None:
        """Choose the clips that are mirrored until the next call."""
        self.mirrored = (torch.rand(len(self), generator=generator) < self.chance).tolist()

    def sampler(self, generator: torch.Generator) -> Sampler:
        """Return the order of an epoch, with each class equally often."""
        return balanced_sampler(self, generator)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        clip, label = self.dataset[index]
        return (clip.flip(-1) if self.mirrored[index] else clip), label


class Vectors(Dataset):
    """A data set of (vectors (T, P) of one view of a clip, label), from the vectors (N, views, T, P) of N clips.

    If the clips differ in length, their vectors are a list of N tensors (views, L, P).
    """

    def __init__(self, vectors: torch.Tensor | list[torch.Tensor], labels: torch.Tensor):
        self.vectors, self.labels = vectors, labels
        self.true_lengths = [each.shape[1] for each in vectors]
        self.view = torch.zeros(len(labels), dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, generator: torch.Generator) -> None:
        """Choose the view of each clip that is used until the next call."""
        self.view = torch.randint(len(self.vectors[0]), (len(self),), generator=generator)

    def sampler(self, generator: torch.Generator) -> Sampler:
        """Return the order of an epoch, with each class equally often."""
        return balanced_sampler(self, generator)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.vectors[index][self.view[index]], self.labels[index]


class AfterBackbone(nn.Module):
    """The part of a model after its backbone: vectors (B, T, P) -> class scores (B, classes)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return self.model.classify(self.model.project(vectors), lengths)


def keep_vectors(model: nn.Module, dataset: Dataset, device: torch.device, mirrored: bool = False, workers: int = 0,
                 name: str = "", cache: FeatureCache | None = None) -> Vectors:
    """Return the backbone's vectors of all clips (L, C, H, W) of a data set, computed by all processes together.

    mirrored: keep the vectors of each clip's mirror image as a second view. name: of the data set, for the progress
    bar. cache: where vectors are kept on disk.
    """
    described = describe_clips(model, dataset, device, mirrored, workers, name, cache)
    one_length = len({each.shape[1] for each in described}) == 1
    return Vectors(torch.stack(described) if one_length else described, torch.as_tensor(dataset.labels))


@torch.no_grad()
def describe_clips(model: nn.Module, dataset: Dataset, device: torch.device, mirrored: bool = False, workers: int = 0,
                   name: str = "", cache: FeatureCache | None = None) -> list[torch.Tensor]:
    """Return the backbone's vectors (views, L, P) of each clip (L, C, H, W) of a data set; arguments as above."""
    own = processes.own(len(dataset))
    keys = [f"{dataset.key(index)} {mirrored}" if cache else "" for index in own]
    vectors = [cache.load(key) if cache else None for key in keys]
    missing = [place for place, known in enumerate(vectors) if known is None]
    clips = DataLoader(Subset(dataset, [own[place] for place in missing]), 1, num_workers=workers)
    fast = folded(model) if missing else model
    for place, (clip, _) in zip(missing, each(clips, f"{name} features", "clip"), strict=True):
        views = torch.cat([clip, clip.flip(-1)]) if mirrored else clip  # (views, L, C, H, W)
        frames = views.flatten(0, 1)[:, None].to(device)  # (views * L, 1, C, H, W)
        described = torch.cat([fast.describe(part) for part in frames.split(FRAMES_AT_ONCE)])  # (views * L, 1, P)
        vectors[place] = described.cpu().view(*views.shape[:2], -1)
        if cache:
            cache.save(keys[place], vectors[place])
    return processes.merged(vectors)


class VectorSource:
    """The source of TrainingWindows if the backbone is frozen: vectors (views, L + 1, P) of each clip.

    The last frame of a clip is its background, see `with_background`.
    """

    def __init__(self, vectors: list[torch.Tensor]):
        self.vectors = vectors
        self.lengths = [each.shape[1] - 1 for each in vectors]

    def __call__(self, clip: int, view: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors (L, P) of a clip, and of its background (P,), in one view."""
        return self.vectors[clip][view, :-1], self.vectors[clip][view, -1]


class ClipSource:
    """The source of TrainingWindows if the backbone is trained too: a data set of clips (L + 1, C, H, W).

    The last frame of a clip is its background, see `with_background`.
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self.lengths = [len(dataset[index][0]) - 1 for index in range(len(dataset))]

    def __call__(self, clip: int, view: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the frames (L, C, H, W) of a clip, and its background (C, H, W); view 1 is the mirror image."""
        frames = self.dataset[clip][0]
        frames = frames.flip(-1) if view else frames
        return frames[:-1], frames[-1]


def with_background(clip: torch.Tensor) -> torch.Tensor:
    """Append the median over time of each pixel, the scene without a person: (L, C, H, W) -> (L + 1, C, H, W)."""
    return torch.cat([clip, clip.median(0, keepdim=True).values])
