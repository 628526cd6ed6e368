"""How much the relevance map of a clip changes when a box in one frame is replaced: the arithmetic of fast TSR.

The encoder E sees one frame at a time, f_s = E(x_s), and the head H turns f_1..f_T into the score S. With
g_s = dS/df_s and J_s the Jacobian of E at x_s, the relevance of frame s is R_s = |J_s' g_s|. Replacing a box in frame t
changes f_t alone. Every g_s changes with it, but no J_s except J_t. So the change

    delta = sum over frames s and pixels of | |J_s' g_s(x)| - |J_s' g_s(x replaced)| |

needs, for each of P perturbations,

1. one frame through E and one pass of H on features, in large batches, which gives all g_s, (P, T, D);
2. for s = t: one backward of that frame;
3. for s != t: J_s' g_s only. The deviations of g_s from the unperturbed one span r <= min(P, D) directions, so r
   vector-Jacobian products per frame and a matrix product (P, r) @ (r, pixels) give all P of them.

Counts for T=30, 120x120, 2,016 patches: the literal loop does 2,016 x 30 = 60,480 frame passes forward and as many
backward; this does about 2,100 forward and 2,016 + 30 r backward.

Which r: the deviations of frame s are factored as U diag(sigma) V' (SVD). Cutting after r directions leaves an error of
at most |u_p| * sum over pixels of |rows of J_s' V diag(sigma)| for perturbation p, both taken over the directions cut
(Cauchy-Schwarz per pixel). |u_p| is known. The sum is estimated with Gaussian probes, E|row . w| = sqrt(2/pi) |row|,
drawn separately for a few blocks of directions so that their partial sums serve every possible cut (the idea of Halko,
Martinsson and Tropp, SIAM Review 2011, section 4.3). In an LSTM most frames hardly change, and need no direction at all.
"""

import math

import torch

from model.folding import folded
from saliency.gradient import head_gradient

CUTS = (0, 4, 16, 48, 128)  # where the SVD may be cut, besides not at all
PROBES = 2  # per block between two cuts
PROBE_SAFETY = 1.5  # the estimated sums run over many pixels and directions; their own spread is a few tenths at most
CPU_TILE = (256, 8192)  # perturbations x pixels of the matrix product that stay in a processor's cache


class FactoredRelevance:
    """One normalised clip (T, C, H, W) seen by one model, ready to measure what perturbations change.

    tolerance: error allowed, relative to the largest change; 0 cuts nothing. memory: bytes for activations.
    Afterwards `forward_passes` and `backward_passes` count the frames that went through the encoder.
    """

    def __init__(self, model, clip, target, score="logit", tolerance=1e-3, memory=2e9):
        self.model, self.target, self.score = folded(model), target, score
        self.clip, self.tolerance, self.memory = clip, tolerance, memory
        self.forward_passes = self.backward_passes = 0
        self.batch = max(1, min(2048, int(memory / (3 * self._activation_bytes()))))
        with torch.no_grad():
            self.features = torch.cat([self._encode(part) for part in clip.split(self.batch)])  # (T, D)
        self.gradient = head_gradient(self.model, self.features[None], target, score)[0]  # (T, D)
        self.signed = torch.cat([  # J_s' g_s, (T, C, H, W)
            self._pull(frames, vectors[None])[0]
            for frames, vectors in zip(clip.split(self.batch), self.gradient.split(self.batch), strict=True)
        ])

    def changes(self, frames, boxes, fill, progress=None):
        """Replace box p of frame frames[p] by the fill, for each p by itself.

        frames (P,) indices; boxes (P, 4) top, bottom, left, right; fill (C, H, W); progress: called with the number of
        perturbations done. Returns the changes (P,) and the bound of their error relative to the largest.
        """
        deviations, delta = self._perturbed_frames(frames, boxes, fill, progress)
        deviations[torch.arange(len(frames)), frames] = 0  # a frame's own change is in delta already
        bound = self._add_other_frames(deviations, delta)
        return delta, bound

    def _activation_bytes(self):
        """What autograd keeps for one frame, weights not counted."""
        weights = {weight.data_ptr() for weight in self.model.parameters()}
        kept = self.clip[0].numel() * self.clip.element_size()

        def count(tensor):
            nonlocal kept
            kept += tensor.numel() * tensor.element_size() * (tensor.data_ptr() not in weights)
            return tensor

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            self._encode(self.clip[:1].detach().clone().requires_grad_(True))
        return kept

    def _encode(self, frames):
        """(N, C, H, W) -> (N, D)."""
        self.forward_passes += len(frames)
        return self.model.encode(frames[:, None])[:, 0]

    def _pull(self, frames, vectors):
        """J_s' v for k vectors per frame: frames (b, C, H, W), vectors (k, b, D) -> (k, b, C, H, W)."""
        frames = frames.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            encoded = self._encode(frames)
        self.backward_passes += vectors.shape[0] * vectors.shape[1]
        return torch.cat([
            torch.autograd.grad(encoded, frames, part, is_grads_batched=True, retain_graph=True)[0]
            for part in vectors.split(max(1, self.batch // len(frames)))
        ])

    def _perturbed_frames(self, frames, boxes, fill, progress):
        """Steps 1 and 2: deviations of all g_s from the unperturbed ones (P, T, D), each frame's own change (P,)."""
        deviations = self.features.new_empty(len(frames), *self.features.shape)
        own = self.features.new_empty(len(frames))
        relevance = self.signed.abs()

        def perturb(part):
            t = frames[part]
            rows = torch.arange(len(t), device=t.device)
            replaced = torch.where(box_masks(boxes[part], self.clip.shape[-2:]), fill, self.clip[t])
            changed = (replaced != self.clip[t]).flatten(1).any(1)  # a box that holds the fill already changes nothing
            replaced.requires_grad_(True)
            with torch.enable_grad():
                encoded = self._encode(replaced)  # (n, D)
            sequences = self.features.repeat(len(t) + 1, 1, 1)  # (n + 1, T, D), the last one stays as it is
            sequences[rows, t] = encoded.detach()
            gradients = head_gradient(self.model, sequences, self.target, self.score)
            differences = without_rounding(gradients[:-1] - gradients[-1], gradients[-1])
            deviations[part] = differences * changed[:, None, None]
            maps = torch.autograd.grad(encoded, replaced, gradients[rows, t])[0]  # (n, C, H, W)
            self.backward_passes += len(t)
            own[part] = (maps.abs() - relevance[t]).abs().sum((1, 2, 3)) * changed
            if progress:
                progress(len(t))

        self._in_batches(len(frames), perturb)
        return deviations, own

    def _in_batches(self, count, work):
        """work(slice) over range(count), in batches that are halved where memory runs out."""
        first = 0
        while first < count:
            part = slice(first, min(first + self.batch, count))
            try:
                work(part)
            except RuntimeError as error:
                if self.batch == 1 or not _out_of_memory(error):
                    raise
                self.batch //= 2
                torch.cuda.empty_cache()
                continue
            first = part.stop

    def _add_other_frames(self, deviations, delta):
        """Step 3, added to delta (P,) in place. Returns the bound of the error relative to the largest change."""
        gram = torch.stack([part.T @ part for part in deviations.transpose(0, 1).double()])  # (T, D, D)
        squares, directions = torch.linalg.eigh(gram)
        sigma = squares.flip(-1).clamp_min(0).sqrt()  # (T, D), descending
        directions = directions.flip(-1)  # (T, D, D), in columns
        coefficients = torch.einsum("ptd,tdk->ptk", deviations, directions.to(deviations))  # (P, T, D)
        full = (sigma > sigma[:, :1] * torch.finfo(deviations.dtype).eps).sum(1)  # (T,) numerical rank
        ranks, bound = full, delta.new_zeros(())
        if self.tolerance > 0 and full.max() > CUTS[2]:
            errors = self._cut_errors(sigma, directions, coefficients)  # (cuts, P, T)
            ranks, bound = choose_ranks(errors, full, self.tolerance * delta.max())
        self._finish(ranks.tolist(), directions, coefficients, delta)
        return float(bound / delta.max().clamp_min(torch.finfo(delta.dtype).tiny))

    def _cut_errors(self, sigma, directions, coefficients):
        """Bound of the error that each cut of each frame leaves in each change, (cuts, P, T)."""
        size = sigma.shape[1]
        edges = [cut for cut in CUTS if cut < size] + [size]
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(PROBES, *sigma.shape, generator=generator, dtype=sigma.dtype).to(sigma.device) * sigma
        probes = torch.stack([  # (blocks, PROBES, T, D)
            torch.einsum("tdk,qtk->qtd", directions[..., low:high], weights[..., low:high])
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]).to(coefficients)
        blocks = len(probes)
        sums = coefficients.new_empty(blocks, len(self.clip))
        for s in range(0, len(self.clip), step := max(1, self.batch // (blocks * PROBES))):
            pulled = self._pull(self.clip[s:s + step], probes[:, :, s:s + step].flatten(0, 1))
            pulled = pulled.unflatten(0, (blocks, PROBES)).flip(0).cumsum(0).flip(0)  # what lies behind each cut
            sums[:, s:s + step] = pulled.abs().sum((3, 4, 5)).mean(1)
        sums *= math.sqrt(math.pi / 2) * PROBE_SAFETY
        leverage = (coefficients / sigma.clamp_min(torch.finfo(sigma.dtype).tiny).to(coefficients)).square()
        leverage = leverage.nan_to_num(posinf=0).flip(-1).cumsum(-1).flip(-1)[..., edges[:-1]].sqrt()  # (P, T, cuts)
        return leverage.permute(2, 0, 1) * sums[:, None]

    def _finish(self, ranks, directions, coefficients, delta):
        """Pull the chosen directions of each frame back to pixels and add each perturbation's change to delta."""
        for s in (s for s, rank in enumerate(ranks) if rank):
            vectors = directions[s, :, :ranks[s]].T.to(coefficients)[:, None]  # (r, 1, D)
            basis = self._pull(self.clip[s:s + 1], vectors).flatten(1)  # (r, pixels)
            add_changes(delta, self.signed[s].flatten(), basis, coefficients[:, s, :ranks[s]])


def without_rounding(difference, scale):
    """Differences of gradients (n, T, D), 0 where they are no more than rounding of the gradients (T, D) of a frame."""
    noise = 4 * torch.finfo(scale.dtype).eps * scale.abs().amax(-1, keepdim=True)  # (T, 1)
    return torch.where(difference.abs() > noise, difference, 0)


def choose_ranks(errors, full, budget):
    """The smallest ranks whose summed errors keep within the budget, raised where the error is largest first.

    errors (cuts, P, T): bound for each cut; full (T,): ranks at which nothing is cut. Returns (ranks (T,), the largest
    summed error of a perturbation).
    """
    worst = errors.amax(1).cpu()  # (cuts, T)
    worst = torch.cat([worst, worst.new_zeros(1, worst.shape[1])])
    level = torch.zeros(worst.shape[1], dtype=torch.long)
    current = worst[0].clone()
    budget = float(budget)
    while current.sum() > budget:
        frame = current.argmax()
        level[frame] += 1
        current[frame] = worst[level[frame], frame]
    cuts = torch.tensor([*CUTS[:len(errors)], errors.new_zeros(()).numel()])
    ranks = torch.where(level < len(errors), cuts[level.clamp_max(len(errors) - 1)], full.cpu()).minimum(full.cpu())
    left = torch.cat([errors, torch.zeros_like(errors[:1])])[level, :, torch.arange(len(level))]  # (T, P)
    return ranks, left.sum(0).max()


def add_changes(delta, signed, basis, coefficients):
    """delta[p] += sum over pixels of | |signed + coefficients[p] @ basis| - |signed| |.

    signed (N,), basis (r, N), coefficients (P, r), delta (P,) changed in place.
    """
    rows, columns = CPU_TILE if delta.device.type == "cpu" else (4096, 65536)
    for low in range(0, len(signed), columns):
        here = signed[low:low + columns]
        size, directions = here.abs(), basis[:, low:low + columns].contiguous()
        for part in range(0, len(delta), rows):
            maps = torch.addmm(here, coefficients[part:part + rows], directions)
            delta[part:part + rows] += torch.linalg.vector_norm(maps.abs_().sub_(size), 1, dim=1)


def box_masks(boxes, size):
    """Boxes (P, 4) top, bottom, left, right -> (P, 1, H, W) bool, true inside."""
    rows = torch.arange(size[0], device=boxes.device).view(1, -1, 1)
    columns = torch.arange(size[1], device=boxes.device).view(1, 1, -1)
    top, bottom, left, right = (edge.view(-1, 1, 1) for edge in boxes.unbind(1))
    return ((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))[:, None]


def _out_of_memory(error):
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
