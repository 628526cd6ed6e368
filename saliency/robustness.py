"""Two questions to a map: does it foretell what removing a block does to the score, and does it stay under tiny noise?

    blocks = random_blocks(clip.shape, patch=10)
    drops = block_drops(model, clip, target, blocks, patch=10)
    infidelity(maps["gradient"], blocks, drops, patch=10)         # 0: foretells the drops; 1: says nothing about them
    max_sensitivity(lambda noisy: explain(model, noisy, target, ["gradient"]).maps, clip, maps)["gradient"]

Yeh, Hsieh, Suggala, Inouye and Ravikumar, "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from model.checks import check_clip
from saliency.deletion import patch_probabilities, patch_sums
from saliency.fills import background
from saliency.gradient import untouched
from saliency.sequences import Sequences
from saliency.when.encoded import NEGLIGIBLE

BLOCKS = 60  # random blocks of patches, each removed once
LONGEST = 6  # frames of a block
RADIUS = 0.02  # of the noise, as a share of the clip's range of values
DRAWS = 5  # noisy clips, each explained once

Maps = dict[str, np.ndarray]


def robustness_metrics(model: nn.Module, clip: torch.Tensor, target: int, maps: Maps, evidence: Maps,
                       explain_again: Callable[[torch.Tensor], Maps], score: str = "logit", patch: int = 10,
                       draws: int = DRAWS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return {method: {"infidelity", "max_sensitivity"}} of maps (T, H, W) of one normalised clip (T, C, H, W).

    evidence: the signed maps of the methods that have one; their infidelity is that of the evidence. explain_again: a
    function from a clip to the maps of all methods that can be computed again; the others get no max_sensitivity.
    score: the kind of score whose drops count. patch: side in pixels of the patches that blocks consist of. draws:
    noisy clips. seed: of blocks and noise.
    """
    blocks = random_blocks(clip.shape, patch, seed=seed)
    drops = block_drops(model, clip, target, blocks, patch, score)
    rows = {name: {"infidelity": infidelity(evidence.get(name, values), blocks, drops, patch)}
            for name, values in maps.items()}
    for name, value in max_sensitivity(explain_again, clip, maps, draws, seed=seed).items():
        rows[name]["max_sensitivity"] = value
    return rows


def random_blocks(shape: torch.Size, patch: int, count: int = BLOCKS, seed: int = 0) -> torch.Tensor:
    """Return random blocks of the patches of a clip of `shape` (T, C, H, W): (count, T * rows * columns) bool.

    A block has 1 to LONGEST frames in a row and 1 to all rows and columns of patches, all lengths equally probable, and
    lies anywhere in the clip.
    """
    length, _, height, width = shape
    sizes = length, -(-height // patch), -(-width // patch)
    rng = np.random.default_rng(seed)
    blocks = torch.zeros(count, *sizes, dtype=torch.bool)
    for block in blocks:
        spans = []
        for size, most in zip(sizes, (min(LONGEST, length), *sizes[1:]), strict=True):
            extent = int(rng.integers(1, most + 1))
            start = int(rng.integers(0, size - extent + 1))
            spans.append(slice(start, start + extent))
        block[tuple(spans)] = True
    return blocks.flatten(1)


@torch.no_grad()
def block_drops(model: nn.Module, clip: torch.Tensor, target: int, blocks: torch.Tensor, patch: int,
                score: str = "logit") -> torch.Tensor:
    """Return how far the score falls when each block becomes background: blocks as in `random_blocks` -> (count,).

    Only the frames of a block are encoded, unless the model reads whole clips. Rounding errors count as 0.
    """
    check_clip(clip)
    empty = background(clip)
    with untouched(model):
        sequences = Sequences(model, clip, target, score)
        parts = torch.cat([sequences.describe(clip), sequences.describe(empty[None])])  # (T + 1, ...)
        whole = torch.zeros_like(blocks[:1])
        scores = [patch_probabilities(sequences, clip, empty, parts, patch, some)
                  for some in (whole, *blocks.split(8))]
    drops = scores[0] - torch.cat(scores[1:])
    return torch.where(drops.abs() > NEGLIGIBLE * scores[0].abs(), drops, 0.0)


def infidelity(values: np.ndarray | torch.Tensor, blocks: torch.Tensor, drops: torch.Tensor, patch: int) -> float:
    """Return the infidelity of a map (T, H, W), as a share of what a blank map has: 0 is best, 1 is worst.

    The map foretells that removing a block costs the sum of its values there, times one factor for the whole map, which
    is the best one that is not negative (that of `captum.metrics.infidelity(normalize=True)` may be), because maps have
    no unit, but a sign. The result is the mean square of the error over the mean square of the drops: 1 - cos^2 of the
    two vectors, and 1 if their product is negative. Yeh et al. 2019, definition 2.1. NaN if no drop differs from 0 or
    the map is not finite.
    """
    sums = patch_sums(torch.as_tensor(values).double(), patch).flatten()  # (T * rows * columns,)
    foretold, drops = blocks.double() @ sums, drops.double()  # (count,)
    if not (torch.isfinite(foretold).all() and float(drops.square().sum()) > 0):
        return float("nan")
    if not float(foretold.square().sum()) > 0:
        return 1.0
    factor = max(0.0, float(foretold @ drops) / float(foretold @ foretold))
    return float((factor * foretold - drops).square().mean() / drops.square().mean())


def max_sensitivity(explain_again: Callable[[torch.Tensor], Maps], clip: torch.Tensor, maps: Maps, draws: int = DRAWS,
                    radius: float = RADIUS, seed: int = 0) -> dict[str, float]:
    """Return how far each map moves at most when noise is added to the clip, as a share of its own norm: 0 is best.

    explain_again: a function from a clip (T, C, H, W) to maps {method: (T, H, W)}. maps: those of the clip itself.
    The noise is uniform in +- radius times the clip's range of values. The distance is Euclidean. Yeh et al. 2019, in
    the form of `captum.metrics.sensitivity_max`. NaN for a map that is 0 everywhere or not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    reach = radius * float(clip.max() - clip.min())
    largest = {}
    for _ in tqdm(range(draws), "noise", leave=False, disable=None):
        noise = (2 * torch.rand(clip.shape, generator=generator, dtype=clip.dtype) - 1) * reach
        for name, values in explain_again(clip + noise.to(clip.device)).items():
            before, after = (np.asarray(each, dtype=np.float64) for each in (maps[name], values))
            norm = np.linalg.norm(before)
            moved = np.linalg.norm(after - before) / norm if 0 < norm < np.inf else float("nan")
            largest[name] = max(largest.get(name, 0.0), moved) if np.isfinite(moved) else float("nan")
    return {name: float(value) for name, value in largest.items()}
