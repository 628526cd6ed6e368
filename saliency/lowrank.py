"""How many directions of a family of vectors are worth pulling back through a Jacobian, and what cutting costs.

Deviations (P, T, D) of P perturbations are factored for each frame as U diag(sigma) V'. Cutting after r directions
leaves in perturbation p an error, summed over pixels, of at most |u_p| * sum over pixels of |rows of J' V diag(sigma)|,
both taken over the directions cut (Cauchy-Schwarz per pixel). |u_p| is known. For w ~ N(0, 1), E|row . w| =
sqrt(2/pi) |row|, so a few probes J' V diag(sigma) w estimate the sum (the idea of Halko, Martinsson and Tropp, SIAM
Review 2011, 4.3).
"""

import math

import torch

HEAD = 4  # leading directions, probed apart from the rest
PROBES = 1  # per part; more make the estimate steadier and the work longer
SAFETY = 2 * math.sqrt(math.pi / 2)  # 2: the estimated sums run over many pixels, their spread is a few tenths


class Spectrum:
    """sigma (T, K) descending, directions (T, D, K) in columns, coefficients (P, T, K) of the deviations in them.

    K = min(P, D). full (T,): numerical ranks. tail (T, K+1): norm of sigma from r on. leverage (T, K+1): largest |u_p|
    from r on.
    """

    def __init__(self, deviations):
        sigma, directions = _right_singular(deviations.transpose(0, 1))  # (T, K), (T, D, K), K = min(P, D)
        self.sigma, self.directions = sigma.to(deviations), directions.to(deviations)
        self.coefficients = torch.einsum("ptd,tdk->ptk", deviations, self.directions)
        self.full = (sigma > sigma[:, :1] * torch.finfo(deviations.dtype).eps).sum(1).cpu()
        self.tail = _from_each_on(sigma).cpu()
        present = torch.arange(sigma.shape[1], device=sigma.device) < self.full[:, None].to(sigma.device)  # (T, D)
        inverse = torch.where(present, 1 / sigma, 0)
        leverage = [_from_each_on(part * inverse).amax(0) for part in self.coefficients.split(256)]
        self.leverage = torch.stack(leverage).amax(0).cpu()
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(PROBES, *sigma.shape, generator=generator).to(self.sigma) * self.sigma

    def probe_vectors(self, frames):
        """Vectors to pull back, (2 * PROBES, len(frames), D): probes of the HEAD directions, then of the others."""
        weights, directions = self.weights[:, frames], self.directions[frames]
        return torch.cat([
            torch.einsum("fdk,qfk->qfd", directions[..., part], weights[..., part])
            for part in (slice(HEAD), slice(HEAD, None))
        ])

    def choose(self, probes, frames, budget):
        """The smallest ranks whose predicted errors keep within the budget, shared evenly; what is left goes on.

        probes (2 * PROBES, len(frames), pixels): probe_vectors pulled back. Returns (ranks, errors allowed), both
        (len(frames),).
        """
        head, rest = probes[:PROBES], probes[PROBES:]
        sums = [SAFETY * part.abs().sum(2).mean(0).double().cpu() for part in (head + rest, rest)]  # behind 0, HEAD
        ranks, allowed = torch.zeros(len(frames), dtype=torch.long), torch.zeros(len(frames), dtype=torch.double)
        order = (self.leverage[frames, 0] * sums[0]).argsort().tolist()
        for done, i in enumerate(order):
            s, allowed[i] = frames[i], budget / (len(order) - done)
            cuts = torch.arange(0, int(self.full[s]), HEAD)
            behind_head = self.tail[s, min(HEAD, self.tail.shape[1] - 1)].clamp_min(1e-300)
            later = sums[1][i] * self.tail[s, cuts] / behind_head
            errors = self.leverage[s, cuts] * torch.where(cuts == 0, sums[0][i], later)
            enough = (errors <= allowed[i]).nonzero()
            ranks[i] = cuts[enough[0, 0]] if len(enough) else self.full[s]
            budget -= float(errors[enough[0, 0]]) if len(enough) else 0.0
        return ranks, allowed

    def error(self, s, rank, probe, basis):
        """Bound of the error in frame s that the first `rank` directions leave, given them pulled back (rank, pixels).

        probe (PROBES, pixels): the pulled back probe of all directions.
        """
        left = probe - self.weights[:, s, :rank] @ basis
        return SAFETY * self.leverage[s, rank] * left.abs().sum(1).mean()


def _right_singular(matrices):
    """Of (T, P, D): singular values, descending (T, K), and right singular vectors in columns (T, D, K), float64."""
    if matrices.shape[1] < matrices.shape[2]:
        _, sigma, directions = torch.linalg.svd(matrices.double(), full_matrices=False)
        return sigma, directions.mT
    gram = torch.stack([part.double().T @ part.double() for part in matrices])  # (T, D, D)
    squares, directions = torch.linalg.eigh(gram)
    return squares.flip(-1).clamp_min(0).sqrt(), directions.flip(-1)


def _from_each_on(values):
    """Norm of the values from each index on, and 0 behind the last: (..., D) -> (..., D+1)."""
    sums = values.double().square().flip(-1).cumsum(-1).flip(-1).sqrt()
    return torch.cat([sums, torch.zeros_like(sums[..., :1])], -1)
