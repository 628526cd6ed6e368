"""How much the relevance map of a clip changes when a box in one frame is replaced: the arithmetic of fast TSR.

The encoder E sees one frame at a time, f_s = E(x_s), and the head H turns f_1..f_T into the score S. With
g_s = dS/df_s and J_s the Jacobian of E at x_s, the relevance of frame s is R_s = |J_s' g_s|. Replacing a box in frame t
changes f_t alone. Every g_s changes with it, but no J_s except J_t. So the change

    delta = sum over frames s and pixels of | |J_s' g_s(x)| - |J_s' g_s(x replaced)| |

needs, for each of P perturbations,

1. one frame through E and one pass of H on features, in large batches, which gives all g_s, (P, T, D); the first layers
   of E only where the box reaches (model/fast/windowed.py);
2. for s = t: one backward of that frame;
3. for s != t: J_s' g_s only. The deviations of g_s from the unperturbed one span r <= min(P, D) directions, so r
   vector-Jacobian products per frame and a matrix product (P, r) @ (r, pixels) give all P of them.

Counts for T=30, 120x120, 2,016 patches: the literal loop does 2,016 x 30 = 60,480 frame passes forward and as many
backward; this does about 2,100 forward and 2,016 + 30 r backward.

saliency/tsr/low_rank.py chooses r. One isotropic probe per frame bounds the error of leaving the frame out altogether,
because in an LSTM most frames hardly change. The bound that was reached is reported with the result.
"""

import copy
import math
from contextlib import nullcontext
from functools import cached_property, partial

import torch
from torch import nn

from model.fast.folding import disowned, folded
from saliency.gradient import head_gradient
from saliency.tsr.low_rank import Spectrum
from saliency.tsr.patches import box_masks

MEAN = math.sqrt(math.pi / 2)  # |row| / E |row . w| for w ~ N(0, 1)
ROUNDING = 10  # units of it, of the largest change: what tolerance 0 allows
PRECISE = 1e-4  # tolerances below it need the head in double precision: rounding would fill the spectrum
LEFT_OUT = 0.2  # share of the error allowed that frames may use up which are left out without a closer look
CPU_BATCH = 36  # frames; larger ones gain nothing there
MANY = 8  # minimum number of perturbations per distinct frame, row or column for windowed convolutions to pay off
CPU_COPIES = 8  # of a frame, for as many directions at a time: enough to keep a few cores busy
CPU_TILE = (1024, 1024)  # perturbations x pixels of the matrix product that stay in a processor's cache


class FactoredRelevance:
    """One normalised clip (T, C, H, W) seen by one model, ready to measure what perturbations change.

    tolerance: error allowed, relative to the largest change; 0 for none but rounding. memory: bytes for activations.
    amp: the encoder in bfloat16, which the error does not count (`precise` is the same without it).
    Afterwards `forward_passes` and `backward_passes` count the frames that went through the encoder.
    """

    def __init__(self, model, clip, target, score="logit", tolerance=1e-3, memory=2e9, amp=False):
        self.model, self.target, self.score = folded(model), target, score
        self.clip, self.tolerance, self.memory, self.amp = clip, tolerance, memory, amp
        self.forward_passes = self.backward_passes = 0
        largest = CPU_BATCH if clip.device.type == "cpu" else 2048
        self.batch = max(1, min(largest, int(memory / (3 * self._activation_bytes()))))
        with torch.no_grad():
            self.features = torch.cat([self._encode(part) for part in clip.split(self.batch)])  # (T, D)
        precise = tolerance < PRECISE
        self.head, self.precision = (precise_head(self.model), torch.double) if precise else (self.model, clip.dtype)
        self.gradient = self._head_gradient(self.features[None])[0].to(clip)  # (T, D)
        self.signed, self.gain = self._relevance()  # (T, C, H, W), (T,)

    @cached_property
    def precise(self):
        """The same in full precision."""
        return FactoredRelevance(self.model, self.clip, self.target, self.score, self.tolerance, self.memory)

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
            # and nothing is kept: an output that its own graph holds would never be freed

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            self._encode(self.clip[:1].detach().clone().requires_grad_(True))
        return kept

    def _encode(self, frames):
        """(N, C, H, W) -> (N, D)."""
        self.forward_passes += len(frames)
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self.amp):
            return self.model.encode(frames[:, None])[:, 0].to(frames.dtype)

    def _head_gradient(self, sequences):
        """dS/df of sequences of features (n, T, D)."""
        return head_gradient(self.head, sequences.to(self.precision), self.target, self.score)

    def _pull(self, frames, vectors):
        """J_s' v for k vectors per frame: frames (b, C, H, W), vectors (k, b, D) -> (k, b, C, H, W).

        One forward of a few copies of the frames serves all vectors, a few at a time.
        """
        return self._with_less_memory(lambda: self._pull_copies(frames, vectors))

    def _pull_copies(self, frames, vectors):
        at_once = min(self.batch, CPU_COPIES) if self.clip.device.type == "cpu" else self.batch
        copies = math.ceil(len(vectors) / math.ceil(len(vectors) / max(1, at_once // len(frames))))
        inputs = frames.repeat(copies, 1, 1, 1).requires_grad_(True)
        with torch.enable_grad():
            encoded = self._encode(inputs).unflatten(0, (copies, len(frames)))
        pulled = []
        for part in vectors.split(copies):
            self.backward_passes += len(inputs)
            slopes = torch.autograd.grad(encoded[:len(part)], inputs, part, retain_graph=True)[0]
            pulled.append(slopes.unflatten(0, (copies, len(frames)))[:len(part)])
        return torch.cat(pulled)

    def _with_less_memory(self, work):
        """The result of work(), tried again with half the batch where memory runs out."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if self.batch == 1 or not _out_of_memory(error):
                    raise
                self.batch //= 2
                torch.cuda.empty_cache()

    def _relevance(self):
        """J_s' g_s of each frame (T, C, H, W), and its gain, the sum over pixels of |rows of J_s'| (T,)."""
        isotropic = torch.randn(self.features.shape, generator=torch.Generator().manual_seed(0), dtype=self.clip.dtype)
        vectors = torch.stack([self.gradient, isotropic.to(self.clip.device)])  # (2, T, D)
        signed, probe = self._pull_blocks(torch.arange(len(self.clip)), vectors)
        return signed, MEAN * probe.abs().sum((1, 2, 3))

    def _perturbed_frames(self, frames, boxes, fill, progress):
        """Steps 1 and 2: deviations of all g_s from the unperturbed ones (P, T, D), each frame's own change (P,)."""
        deviations = self.features.new_empty(len(frames), *self.features.shape)
        own = self.features.new_empty(len(frames))
        for group, nearby in self._groups(frames, boxes):
            done = 0
            while done < len(group):
                work = partial(self._perturb, group, done, nearby, frames, boxes, fill)
                part, *found = self._with_less_memory(work)
                deviations[part], own[part] = found
                done += len(part)
                if progress:
                    progress(len(part))
        return deviations, own

    def _perturb(self, group, done, nearby, frames, boxes, fill):
        """Return the indices (n,), feature deviations and own-frame changes of the next batch of perturbations."""
        part = group[done:done + self.batch]
        t, rows = frames[part], torch.arange(len(part), device=part.device)
        replaced = torch.where(box_masks(boxes[part], self.clip.shape[-2:]), fill, self.clip[t])
        changed = (replaced != self.clip[t]).flatten(1).any(1)  # a box that holds the fill already changes nothing
        replaced.requires_grad_(True)
        with torch.enable_grad(), nearby(part):
            encoded = self._encode(replaced)  # (n, D)
        sequences = self.features.repeat(len(t) + 1, 1, 1)  # (n + 1, T, D), the last one stays as it is
        sequences[rows, t] = encoded.detach()
        gradients = self._head_gradient(sequences)
        deviations = without_rounding(gradients[:-1] - gradients[-1], gradients[-1]) * changed[:, None, None]
        maps = torch.autograd.grad(encoded, replaced, gradients[rows, t].to(encoded))[0]  # (n, C, H, W)
        self.backward_passes += len(t)
        change = torch.linalg.vector_norm(maps.abs_().sub_(self.signed[t].abs()), 1, dim=(1, 2, 3))
        return part, deviations.to(encoded), change * changed

    def _groups(self, frames, boxes):
        """Indices of perturbations that go together, and what to encode them in: by frame if boxes repeat."""
        distinct = [len(part.unique(dim=0)) for part in (frames, boxes[:, :2], boxes[:, 2:])]
        if self.clip.is_cuda or self.amp or len(frames) < MANY * sum(distinct):
            yield torch.arange(len(frames), device=frames.device), nullcontext
            return
        self.model.local.learn(self._encode, self.clip[0], boxes)
        for t in frames.unique():
            self.model.local.refer(self._encode, self.clip[t])
            yield (frames == t).nonzero()[:, 0], self.model.local.changed

    def _add_other_frames(self, deviations, delta):
        """Step 3, added to delta (P,) in place. Returns the bound of the error relative to the largest change."""
        largest, tiny = float(delta.max()), torch.finfo(delta.dtype).tiny
        budget = max(self.tolerance, ROUNDING * torch.finfo(delta.dtype).eps) * largest
        unprobed = (self.gain * deviations.norm(dim=2).amax(0)).double().cpu()  # (T,) error if the frame is left out
        ordered, order = unprobed.sort()
        needed = order[ordered.cumsum(0) > LEFT_OUT * budget].sort().values
        error = float(unprobed.sum() - unprobed[needed].sum())
        if len(needed):
            spectrum = Spectrum(deviations[:, needed])
            pulled = self._pull_blocks(needed, spectrum.probe_vectors()).flatten(2)  # (2 * PROBES, n, pixels)
            ranks, errors = spectrum.choose(pulled, budget - error)
            error += float(errors.sum())
            self._add_pulled(needed, ranks, spectrum, delta)
        return error / max(float(delta.max()), tiny)

    def _pull_blocks(self, frames, vectors):
        """_pull for as many frames (n,) as there are, a batch at a time: vectors (k, n, D) -> (k, n, C, H, W)."""
        step = max(1, self.batch // max(1, len(vectors)))
        parts = [self.clip.new_zeros(len(vectors), 0, *self.clip.shape[1:])]
        for first in range(0, len(frames), step):
            parts.append(self._pull(self.clip[frames[first:first + step]], vectors[:, first:first + step]))
        return torch.cat(parts, 1)

    def _add_pulled(self, frames, ranks, spectrum, delta):
        """Pull the chosen directions of frames (n,) back to pixels, add what they change there to delta (P,)."""
        for rank in sorted(set(ranks.tolist()) - {0}):
            for block in (ranks == rank).nonzero()[:, 0].split(max(1, self.batch // rank)):
                vectors = spectrum.directions[block, :, :rank].permute(2, 0, 1)  # (r, b, D)
                pulled = self._pull(self.clip[frames[block]], vectors).flatten(2)  # (r, b, pixels)
                for place, i in enumerate(block.tolist()):
                    signed = self.signed[frames[i]].flatten()
                    add_changes(delta, signed, pulled[:, place], spectrum.coefficients[:, i, :rank])


def precise_head(model: nn.Module) -> nn.Module:
    """Return a copy of the model whose head is in double precision, because gradients differ in their last digits."""
    twin = disowned(copy.deepcopy(model))
    for _, part in twin.head_modules():
        part.double()
    return twin


def without_rounding(difference, scale):
    """Differences of gradients (n, T, D), 0 where they are no more than rounding of the gradients (T, D) of a frame."""
    noise = 4 * torch.finfo(scale.dtype).eps * scale.abs().amax(-1, keepdim=True)  # (T, 1)
    return torch.where(difference.abs() > noise, difference, 0)


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


def _out_of_memory(error):
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
