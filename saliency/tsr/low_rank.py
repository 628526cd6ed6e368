"""Low-rank factors of the deviations of g_s, with the smallest ranks that keep the error of the maps below a budget.

The deviations of one variant of one frame are the rows of a matrix (P, D) = U diag(sigma) V', a row per perturbation.
Each row is a combination of the columns of V, the directions. The vector-Jacobian product of a direction v (J' v, a map
of pixels) takes one backward pass. The directions of all n variants of a frame compete: those with the largest sigma
come first. Directions of the stacked variants would need n passes each, and no fewer passes in all. If r directions are
used, perturbation p loses a residual e_p in the n * D numbers of the frame, and its map gets an error of

    sum over pixels of |J' e_p| = |e_p| * gain

The largest |e_p| is known. The gain of J' along e_p is estimated: a random mixture of the perturbations, without its
part in the leading directions, is multiplied by the Jacobian (the probes of Halko, Martinsson and Tropp, SIAM Review
2011, section 4.3), and the estimate is doubled to be safe. The mixture keeps what the variants have in common, so that
their errors may add up. If the first estimate asks for many directions, the product of the part of the mixture beyond
half of them is taken too: J' enlarges it less than the directions that come first. docs/tsr.md compares the estimate
with the true error; tests/benchmarks/stretch.py measures it.
"""

from collections.abc import Collection, Iterator

import torch

LEADING = 4  # directions per variant that have a probe of their own; ranks are 0, theirs, or larger by multiples of it
SAFETY = 2.0  # factor of the estimated gain
TINY = 1e-300  # keeps norms away from 0
ROWS = 256  # perturbations whose norms are computed at a time


class LowRankFactors:
    """Deviations (P, n, D) of P perturbations in the n variants of one frame, factored for each variant.

    `deviations` is overwritten by its coefficients in the directions. sigma (n, M), directions (n, D, M): singular
    values, the largest first, and right singular vectors of the variants. generator: for the random mixture. All is
    computed on the device; `keep` then reads what the ranks depend on in `numbers` (3, n * M + 1): residuals, singular
    values and variants.

    directions (K, D): the most important first. variants (K,): their variants, which are also in the list `owners`.
    residuals (K+1,): the largest |e_p| after each rank, float64 on the CPU. probes (2, n, D): a random mixture of the
    deviations, its part in the leading directions and the rest; norms (2,): of the mixture and of the rest. effect: the
    estimate of the error at rank 0. errors (K+1,): the estimates at the other ranks.
    """

    def __init__(self, deviations: torch.Tensor, sigma: torch.Tensor, directions: torch.Tensor,
                 generator: torch.Generator):
        self._rotated, self._leading = deviations, LEADING * deviations.shape[1]
        for rows, vectors in zip(deviations.unbind(1), directions, strict=True):  # (P, D), (D, M)
            coefficients = rows.double() @ vectors
            rows.zero_()[:, :sigma.shape[1]] = coefficients.to(rows)
        ordered, order = sigma.flatten().sort(descending=True)
        self._places = order // sigma.shape[1], order % sigma.shape[1]  # (n * M,) variants, and columns in these
        residuals = torch.stack([_tail_norms(part).amax(0) for part in self._columns(self._places)]).amax(0)
        none = ordered.new_zeros(1)
        self.numbers = torch.stack([residuals, torch.cat([ordered, none]), torch.cat([self._places[0], none])])
        self._bases = directions.mT.to(deviations)  # (n, M, D)
        self.probes = self._mixture(generator)

    def keep(self, numbers: torch.Tensor, enough: float) -> None:
        """Keep the directions that matter. numbers: on the CPU. enough: a residual that need not be described."""
        residuals, sigma, owners = numbers
        accurate = int((sigma > sigma[0] * torch.finfo(self._rotated.dtype).eps).sum())
        kept = min(accurate, int((residuals > enough).sum()))
        self._places = tuple(each[:kept] for each in self._places)
        self.directions, self.variants, self._bases = self._bases[self._places], self._places[0], None
        self._weights, self.residuals = self._weights[:kept], residuals[:kept + 1]
        self.owners = owners[:kept].long().tolist()

    def _columns(self, places: tuple[torch.Tensor, ...]) -> Iterator[torch.Tensor]:
        """Yield the coefficients in the directions at K places, for some perturbations at a time, (rows, K)."""
        for part in self._rotated.split(ROWS):
            yield part[(slice(None), *places)]

    def _mixture(self, generator: torch.Generator) -> torch.Tensor:
        """Return a random mixture of the deviations: its part in the leading directions and the rest, (2, n, D)."""
        weights = torch.randn(len(self._rotated), generator=generator, dtype=torch.float64).to(self._rotated)
        mixture = torch.einsum("p,pnd->nd", weights, self._rotated)[:, :self._bases.shape[1]]  # (n, M)
        leading, first = torch.zeros_like(mixture), tuple(each[:self._leading] for each in self._places)
        leading[first] = mixture[first]
        rest = mixture - leading
        self.norms = torch.stack([mixture.double().norm(), rest.double().norm()])
        self._weights = mixture[self._places]  # (n * M,), of the directions
        return torch.einsum("qnm,nmd->qnd", torch.stack([leading, rest]), self._bases)

    def set_gain(self, sums: Collection[float], norms: Collection[float]) -> None:
        """Estimate the gain of all directions and of the rest. sums: over the pixels of |J' mixture| and |J' rest|."""
        whole, rest = (SAFETY * each / max(norm, TINY) for each, norm in zip(sums, norms, strict=True))
        self.effect = float(self.residuals[0]) * whole
        self.errors = self.residuals * rest

    def probe(self, rank: int) -> torch.Tensor:
        """Return the part of the mixture beyond the first `rank` directions, (n, D)."""
        parts = self._weights[rank:, None] * self.directions[rank:]
        return torch.zeros_like(self.probes[0]).index_add_(0, self.variants[rank:], parts)

    def set_gain_beyond(self, rank: int, total: float, norm: float) -> None:
        """Estimate the gain from a rank on. total: sum over the pixels of |J' probe(rank)|. norm: of the probe."""
        self.errors[rank:] = self.residuals[rank:] * (SAFETY * total / max(norm, TINY))

    def smallest_rank(self, budget: float) -> tuple[int, float]:
        """Return the smallest rank whose error is at most `budget`, and the estimate of its error.

        If the error is too large at every rank tried, all directions are used.
        """
        if self.effect <= budget:
            return 0, self.effect
        enough = (self.errors[self._leading::LEADING] <= budget).nonzero()
        rank = self._leading + LEADING * int(enough[0]) if len(enough) else len(self.directions)
        return rank, float(self.errors[rank])

    def coefficients(self, rank: int) -> torch.Tensor:
        """Return the deviations, expressed in the first `rank` directions, (P, rank)."""
        return torch.cat(list(self._columns(tuple(each[:rank] for each in self._places))))


def factorised(deviations: list[torch.Tensor], enough: Collection[float],
               generator: torch.Generator) -> list[LowRankFactors]:
    """Return the factors of the deviations (P, n, D) of some frames, which are overwritten.

    enough: for each frame, a residual that need not be described. The host waits once for the device.
    """
    sigmas, directions = _right_singular_vectors(deviations)
    found = [LowRankFactors(*each, generator) for each in zip(deviations, sigmas, directions, strict=True)]
    numbers = torch.stack([factors.numbers for factors in found]).cpu()
    for factors, own, residual in zip(found, numbers, enough, strict=True):
        factors.keep(own, residual)
    return found


def share_out(factors: Collection[LowRankFactors], budget: float) -> tuple[list[int], list[float]]:
    """Return ranks whose errors sum to at most `budget`, and estimates of these errors, for factors of some frames.

    Each frame gets an equal share of the budget that is left, so later frames may use what earlier ones spare.
    """
    ranks, errors = [], []
    for each in factors:
        rank, error = each.smallest_rank((budget - sum(errors)) / (len(factors) - len(errors)))
        ranks.append(rank)
        errors.append(error)
    return ranks, errors


def _right_singular_vectors(matrices: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the singular values (F, n, M), largest first, and the right singular vectors (F, n, D, M), in float64.

    Of F * n matrices (P, D), given as F tensors (P, n, D); M = min(P, D). If P >= D, they come from the eigenvectors of
    the Gram matrices (D, D), which is cheaper.
    """
    if matrices[0].shape[0] < matrices[0].shape[2]:
        _, sigma, directions = torch.linalg.svd(torch.stack(matrices).transpose(1, 2).double(), full_matrices=False)
        return sigma, directions.mT
    grams = torch.stack([torch.stack([rows.T @ rows for rows in map(torch.Tensor.double, each.unbind(1))])
                         for each in matrices])
    squares, directions = torch.linalg.eigh(grams)
    return squares.flip(-1).clamp_min(0).sqrt(), directions.flip(-1)


def _tail_norms(values: torch.Tensor) -> torch.Tensor:
    """Return the norms of vectors (..., K) without their first 0, 1, ..., K entries, (..., K+1), float64."""
    squares = values.double().square().flip(-1).cumsum(-1).flip(-1)
    return torch.cat([squares, torch.zeros_like(squares[..., :1])], -1).sqrt()
