"""Shapley values: the share of each frame, group of frames, or feature in the score of a clip.

The players of the game are frames; the value of a coalition S(C) is the score of the clip in which the other frames
are absent. The Shapley value of a frame is its mean contribution S(C and the frame) - S(C) over all orders in which
the frames can arrive. The values sum to S(all) - S(none).

Up to 12 players, all 2^n coalitions are evaluated and the values are exact. Beyond that, random orders are drawn in
antithetic pairs, an order and its reverse. Each order satisfies the sum exactly, and the standard error comes from the
differences between pairs.

Shapley, "A value for n-person games", 1953. Castro, Gómez and Tejada, "Polynomial calculation of the Shapley value
based on sampling", Computers and Operations Research 2009. Bento, Saleiro, Cruz, Figueiredo and Bizarro, "TimeSHAP:
Explaining Recurrent Models through Sequence Perturbations", KDD 2021. Mitchell, Cooper, Frank and Holmes, "Sampling
Permutations for Shapley Value Estimation", JMLR 2022, for antithetic pairs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from runtime.errors import UserError
from saliency.when.encoded import EncodedClip

EXACT = 12  # players, up to which every coalition is evaluated
PAIRS = 60  # of random orders of frames
FEATURE_PAIRS = 8  # of random orders of features, of which there are ten times as many

Value = Callable[[torch.Tensor], torch.Tensor]  # coalitions (N, players) bool -> scores (N,)


@dataclass(frozen=True)
class Shapley:
    """Shapley values of n players.

    values (n,): in units of the score, positive where the player raises it. errors (n,): standard errors, 0 if the
    values are exact. gap: |sum of the values - (S(all) - S(none))|, which only rounding makes. segment: frames per
    player; the last group may be shorter. Features are players over all frames, and segment is 0.
    """

    values: torch.Tensor
    errors: torch.Tensor
    exact: bool
    gap: float
    segment: int = 0

    def per_frame(self, length: int) -> torch.Tensor:
        """Return the value of each frame's group, divided equally among its frames: (length,). They have one sum."""
        groups = torch.arange(length, device=self.values.device) // self.segment  # (length,)
        return (self.values / groups.bincount())[groups]


def shapley_values(value: Value, players: int, pairs: int = PAIRS, seed: int = 0, device: torch.device | str = "cpu",
                   segment: int = 0) -> Shapley:
    """Return the Shapley values of a game.

    value: returns the scores (N,) of coalitions (N, players) bool. pairs: pairs of random orders, if there are too many
    players for exact values. segment: as in Shapley. ValueError for less than 2 pairs, which have no standard error.
    """
    if pairs < 2:
        raise UserError(f"{pairs} pairs of random orders were given; a standard error needs at least 2")
    ends = value(torch.tensor([[False], [True]], device=device).expand(2, players)).double()  # S(none), S(all)
    if players <= EXACT:
        values, errors = _exact_values(value, players, device), ends.new_zeros(players)
    else:
        values, errors = _sampled_values(value, players, pairs, seed, ends)
    gap = float((values.sum() - (ends[1] - ends[0])).abs())
    return Shapley(values, errors, players <= EXACT, gap, segment)


def _exact_values(value: Value, players: int, device: torch.device | str) -> torch.Tensor:
    """Return the values (players,) from all coalitions. Coalition number c holds player p if bit p of c is set."""
    numbers = torch.arange(2 ** players, device=device)  # (2^n,)
    members = (numbers[:, None] >> torch.arange(players, device=device)) % 2 == 1  # (2^n, n)
    scores, sizes = value(members).double(), members.sum(1)  # (2^n,)
    values = []
    for player in range(players):
        without = numbers[~members[:, player]]  # coalitions that the player can join
        weights = torch.tensor([1 / (players * math.comb(players - 1, size)) for size in range(players)],
                               dtype=scores.dtype, device=device)[sizes[without]]
        values.append((weights * (scores[without + 2 ** player] - scores[without])).sum())
    return torch.stack(values)


def _sampled_values(value: Value, players: int, pairs: int, seed: int,
                    ends: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values and standard errors, both (players,). ends: S(none) and S(all)."""
    generator = torch.Generator().manual_seed(seed)
    orders = torch.stack([torch.randperm(players, generator=generator) for _ in range(pairs)])  # (pairs, n)
    orders = torch.stack([orders, orders.flip(1)], 1).flatten(0, 1).to(ends.device)  # (2 pairs, n)
    ranks = orders.argsort(1)  # (2 pairs, n), when each player arrives
    sizes = torch.arange(1, players, device=ends.device)
    arrived = ranks[:, None] < sizes[:, None]  # (2 pairs, n - 1, n)
    between = value(arrived.flatten(0, 1)).double().view(len(orders), players - 1)
    none, whole = (end.expand(len(orders), 1) for end in ends)
    contributions = torch.cat([none, between, whole], 1).diff(dim=1)  # (2 pairs, n), in the order of arrival
    of_pairs = contributions.gather(1, ranks).view(pairs, 2, players).mean(1)  # (pairs, n)
    return of_pairs.mean(0), of_pairs.std(0) / math.sqrt(pairs)


def frame_values(encoded: EncodedClip, segment: int | None = None, pairs: int = PAIRS, seed: int = 0) -> Shapley:
    """Return the Shapley values of the frames of a clip, or of groups of `segment` frames in a row.

    segment: by default 1, and more for clips of more than 60 frames, so that there are at most 60 groups.
    """
    size = encoded.group_size(segment)
    steps, length = encoded.steps, len(encoded)

    def value(present: torch.Tensor) -> torch.Tensor:
        frames = present.repeat_interleave(size, 1)[:, :length]  # (N, T)
        return encoded.explained(encoded.class_scores_of(torch.where(frames, steps, length)))

    return shapley_values(value, -(-length // size), pairs, seed, encoded.features.device, size)


def feature_values(encoded: EncodedClip, pairs: int = FEATURE_PAIRS, seed: int = 0) -> Shapley:
    """Return the Shapley values (D,) of features. An absent feature has the background's value in all frames."""

    def value(present: torch.Tensor) -> torch.Tensor:
        scores = [encoded.class_scores(torch.where(part[:, None], encoded.features, encoded.empty))
                  for part in present.split(64)]  # a part has 64 T D numbers
        return encoded.explained(torch.cat(scores))

    if encoded.still:
        zeros = encoded.empty.double() * 0
        return Shapley(zeros, zeros, True, 0.0)
    return shapley_values(value, len(encoded.empty), pairs, seed, encoded.features.device)
