"""Low-rank factors of the deviations of g_s, with the smallest ranks that keep the error of the maps below a budget.

The deviations of one variant of one frame are the rows of a matrix (P, D) = U diag(sigma) V', a row per perturbation.
Each row is a combination of the columns of V, the directions. Pulling a direction back through the Jacobian of the
variant (J' v, a map of pixels) takes one backward pass. The directions of all n variants of a frame compete: those with
the largest sigma are pulled back first. Directions of the stacked variants would need n passes each, and no fewer
passes in all. If r directions are used, perturbation p loses a residual e_p in the n * D numbers of the frame, and its
map gets an error of

    sum over pixels of |J' e_p| = |e_p| * stretch

The largest |e_p| is known. The stretch of J' along e_p is estimated: a random mixture of the perturbations, without its
part in the leading directions, is pulled back (the probes of Halko, Martinsson and Tropp, SIAM Review 2011, section
4.3), and the estimate is doubled to be safe. The mixture keeps what the variants have in common, so that their errors
may add up. If the first estimate asks for many directions, the part of the mixture beyond half of them is pulled back
too: J' enlarges it less than the directions that come first. docs/tsr.md compares the estimate with the true error;
tests/benchmarks/stretch.py measures it.
"""

from collections.abc import Collection, Iterator

import torch

LEADING = 4  # directions per variant that have a probe of their own; ranks are 0, theirs, or larger by multiples of it
SAFETY = 2.0  # factor of the estimated stretch
TINY = 1e-300  # keeps norms away from 0
ROWS = 256  # perturbations whose norms are computed at a time


class LowRankFactors:
    """Deviations (P, n, D) of P perturbations in the n variants of one frame, factored for each variant.

    `deviations` is overwritten by its coefficients in the directions. enough: a residual that need not be described.
    generator: for the random mixture.

    directions (K, D): right singular vectors of the variants, the most important first. variants (K,): their variants.
    residuals (K+1,): the largest |e_p| after each rank, float64 on the CPU. probes (2, n, D): a random mixture of the
    deviations, its part in the leading directions and the rest. effect: the bound of the error at rank 0. errors
    (K+1,): the bounds at the other ranks.
    """

    def __init__(self, deviations: torch.Tensor, enough: float, generator: torch.Generator):
        self._rotated, self._leading = deviations, LEADING * deviations.shape[1]
        sigma, bases = self._rotate()  # (n, M), (n, M, D)
        ordered, order = sigma.flatten().sort(descending=True)
        places = order // sigma.shape[1], order % sigma.shape[1]  # (n * M,) variants, and columns in these
        residuals = torch.stack([_tail_norms(part).amax(0) for part in self._columns(places)]).amax(0)
        accurate = int((ordered > ordered[0] * torch.finfo(deviations.dtype).eps).sum())
        kept = min(accurate, int((residuals > enough).sum()))
        self._places = tuple(each[:kept] for each in places)
        self.directions, self.variants = bases[self._places], self._places[0]
        self.residuals = residuals[:kept + 1].cpu()
        self.probes = self._mixture(bases, generator)

    def _rotate(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Replace the deviations by their coefficients, in place. Return sigma (n, M) and the directions (n, M, D)."""
        sigmas, bases = [], []
        for rows in self._rotated.unbind(1):  # (P, D)
            exact = rows.double()
            sigma, directions = _right_singular_vectors(exact)  # (M,), (D, M) with M = min(P, D)
            rows.zero_()[:, :len(sigma)] = (exact @ directions).to(rows)
            sigmas.append(sigma)
            bases.append(directions.T.to(rows))
        return torch.stack(sigmas), torch.stack(bases)

    def _columns(self, places: tuple[torch.Tensor, ...]) -> Iterator[torch.Tensor]:
        """Yield the coefficients in the directions at K places, for some perturbations at a time, (rows, K)."""
        for part in self._rotated.split(ROWS):
            yield part[(slice(None), *places)]

    def _mixture(self, bases: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return a random mixture of the deviations: its part in the leading directions and the rest, (2, n, D)."""
        weights = torch.randn(len(self._rotated), generator=generator, dtype=torch.float64).to(self._rotated)
        mixture = torch.einsum("p,pnd->nd", weights, self._rotated)[:, :bases.shape[1]]  # (n, M)
        leading, first = torch.zeros_like(mixture), tuple(each[:self._leading] for each in self._places)
        leading[first] = mixture[first]
        rest = mixture - leading
        self._norms = float(mixture.double().norm()), float(rest.double().norm())
        self._weights = mixture[self._places]  # (K,), of the directions
        return torch.einsum("qnm,nmd->qnd", torch.stack([leading, rest]), bases)

    def set_stretch(self, pulled: torch.Tensor) -> None:
        """Take the probes pulled back, (2, pixels), to estimate the stretch of all directions and of the rest."""
        sums = float(pulled.sum(0).abs().sum()), float(pulled[1].abs().sum())
        whole, rest = (SAFETY * each / max(norm, TINY) for each, norm in zip(sums, self._norms, strict=True))
        self.effect = float(self.residuals[0]) * whole
        self.errors = self.residuals * rest

    def probe(self, rank: int) -> torch.Tensor:
        """Return the part of the mixture beyond the first `rank` directions, (n, D)."""
        parts = self._weights[rank:, None] * self.directions[rank:]
        return torch.zeros_like(self.probes[0]).index_add_(0, self.variants[rank:], parts)

    def set_stretch_beyond(self, rank: int, pulled: torch.Tensor) -> None:
        """Take probe(rank), pulled back to (pixels,), to estimate the stretch from this rank on."""
        stretch = SAFETY * float(pulled.abs().sum()) / max(float(self._weights[rank:].double().norm()), TINY)
        self.errors[rank:] = self.residuals[rank:] * stretch

    def smallest_rank(self, budget: float) -> tuple[int, float]:
        """Return the smallest rank whose error is at most `budget`, and the bound of its error.

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


def share_out(factors: Collection[LowRankFactors], budget: float) -> tuple[list[int], list[float]]:
    """Return ranks whose errors sum to at most `budget`, and the bounds of these errors, for factors of some frames.

    Each frame gets an equal share of the budget that is left, so later frames may use what earlier ones spare.
    """
    ranks, errors = [], []
    for each in factors:
        rank, error = each.smallest_rank((budget - sum(errors)) / (len(factors) - len(errors)))
        ranks.append(rank)
        errors.append(error)
    return ranks, errors


def _right_singular_vectors(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the singular values (M,), largest first, and the right singular vectors (D, M) of (P, D), M = min(P, D).

    If P >= D, they come from the eigenvectors of the Gram matrix (D, D), which is cheaper.
    """
    if matrix.shape[0] < matrix.shape[1]:
        _, sigma, directions = torch.linalg.svd(matrix, full_matrices=False)
        return sigma, directions.T
    squares, directions = torch.linalg.eigh(matrix.T @ matrix)
    return squares.flip(-1).clamp_min(0).sqrt(), directions.flip(-1)


def _tail_norms(values: torch.Tensor) -> torch.Tensor:
    """Return the norms of vectors (..., K) without their first 0, 1, ..., K entries, (..., K+1), float64."""
    squares = values.double().square().flip(-1).cumsum(-1).flip(-1)
    return torch.cat([squares, torch.zeros_like(squares[..., :1])], -1).sqrt()
