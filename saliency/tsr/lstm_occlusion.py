"""TSR of the occlusion of features through an LSTM, where a mask and an occlusion meet in a formula of second order.

    pairs = LSTMOcclusion(relevance, features)
    changes = pairs.changes(frames, parts, fill, progress)       # as saliency.tsr.features.feature_changes

For each mask a of TSR, the map holds the drop of the score f for each occlusion b. The mask lowers this drop by

    C(a, b) = f(x) - f(x + a) - f(x + b) + f(x + a + b),

where x is the clip, and a and b are the steps of one feature of one frame. A run of the LSTM for each pair would take
hours. Let u be the units of the classifier before their ReLU, or the pooled states if it is linear, and let w be their
weights in the score. The kinks of the ReLU are taken at u(x + a) + u(x + b) - u(x), for each pair. The units change
by C_u(a, b) besides, and what this adds to the score follows from gradients at single masks and single occlusions:

    C_u(a, b) = b (u_b(x + a) - u_b(x)) + a (u_a(x + b) - u_a(x)) - a b u_ab(x)

Here u_a and u_b are derivatives. The first part is exact in a and of first order in b, the second the other way round,
and the third is what both hold (Gordon, "Blending-function methods of bivariate and multivariate interpolation and
approximation", SIAM Journal on Numerical Analysis 8, 1971). What is missing is of second order in a and in b. The masks
of whole frames are large steps, so that their maps are computed without any formula.
"""

from collections.abc import Callable

import torch
from torch import nn

from model.heads.pooling import LastPooling, MaxPooling
from saliency.methods.occlusion import Occlusion
from saliency.methods.sequences import MeanGradient
from saliency.tsr.lstm_masks import LSTMMasks, has_lstm_head
from saliency.tsr.lstm_steps import Run, fill_layers, passing_run
from saliency.tsr.masks import frame_masked

GRADIENTS = 1e8  # numbers of the gradients at all occlusions that are kept at a time
PAIRS = 3072  # pairs whose bent units are computed at a time, few enough for the cache of a processor


def has_pairs(relevance: Occlusion) -> bool:
    """Return whether the formula holds for a base: a logit, the head `lstm`, and a pooling that is smooth."""
    model = relevance.model
    return relevance.score == "logit" and has_lstm_head(model) and not isinstance(model.head.pooling, MaxPooling)


class LSTMOcclusion(LSTMMasks):
    """The head `lstm` at the features (T, D) of one clip, and at each occlusion of one feature.

    steps (T, D): what each occlusion adds. usual (K,) and changed (T, D, K): the units u, and their changes by the
    occlusions. by_unit (K, T, D): w_k times the derivatives of the units. drops (T, D): the map of the clip.
    """

    @torch.no_grad()
    def __init__(self, relevance: Occlusion, features: torch.Tensor):
        model = relevance.model
        super().__init__(MeanGradient(model, relevance.target, relevance.score, lambda each: each[:, None]), features)
        *hidden, last = [each for each in model.classifier if isinstance(each, nn.Linear)]
        inputs = torch.eye(last.in_features).to(features)
        self.weights = (last(inputs) - last(inputs[:1] * 0))[:, relevance.target]  # (K,)
        self.hidden = hidden[0] if hidden else None
        self.empty, self.steps = relevance.empty, relevance.empty - features
        self.every = torch.arange(features.shape[1], device=features.device)
        self.usual = self._units(self.runs[-1].states)[0]
        self.by_unit = self._unit_slopes()
        runs = self.empty_runs(features.shape[1])
        self.changed = torch.stack([self._masked_units(t, self.every, self.steps[t], runs) - self.usual
                                    for t in range(len(features))])
        self.drops = self._value(self.usual) - self._value(self.usual + self.changed)
        self.kept = {}  # gradients at all occlusions, by the frame of the feature

    def _units(self, states: torch.Tensor) -> torch.Tensor:
        """Return the units (P, K) for states (T, P, H) of the top layer."""
        return self._of_pooled(self.pooling(states.transpose(0, 1)))

    def _of_pooled(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the units (P, K) for pooled states (P, H)."""
        return pooled if self.hidden is None else self.hidden(pooled)

    def _masked_units(self, t: int, parts: torch.Tensor, steps: torch.Tensor, runs: list[Run]) -> torch.Tensor:
        """Return the units (P, K) for masks that add steps (P,) to parts of frame t. The runs are filled."""
        self.run_masks(0, t, self.change(parts, steps), runs)
        return self._units(runs[-1].states)

    def _on(self, units: torch.Tensor) -> torch.Tensor:
        """Return the slopes of the ReLU at the units (..., K)."""
        return torch.ones_like(units) if self.hidden is None else (units > 0).to(units)

    def _value(self, units: torch.Tensor) -> torch.Tensor:
        """Return the score (...) of units (..., K), without the bias."""
        return (units if self.hidden is None else units.relu()) @ self.weights

    def _unit_slopes(self) -> torch.Tensor:
        count = len(self.usual)
        states = self.runs[-1].states.expand(-1, count, -1)
        gradients = self.state_gradients(states, lambda pooled: self._of_pooled(pooled).diagonal() * self.weights)
        total = self.inputs.new_zeros(len(states), count, self.inputs.shape[2])
        self.add_gate_gradients(0, len(states), self.runs, gradients, total)
        return (total @ self.layers[0].reads).transpose(0, 1)

    def _add_slopes(self, t: int, runs: list[Run], on: torch.Tensor, total: torch.Tensor) -> None:
        """Add the gradients of the bottom layer's gates, for the units with slopes on (P, K), to total (T, P, 4 H)."""
        gradients = self.state_gradients(runs[-1].states, lambda pooled: (self._of_pooled(pooled) * on) @ self.weights)
        self.add_gate_gradients(0, t, runs, gradients, total)

    def changes(self, frames: torch.Tensor, parts: torch.Tensor | None, *rest) -> torch.Tensor:
        self.wanted = frames.unique().tolist()
        return super().changes(frames, parts, *rest)

    def part_changes(self, t: int, parts: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        steps, runs = (masked - self.features)[t, parts], self.empty_runs(len(parts))
        total = self.inputs.new_zeros(len(self.features), len(parts), self.inputs.shape[2])
        half = self._on(self.usual).expand(len(parts), -1) / 2  # u_ab from a central difference
        self._masked_units(t, parts, -steps, runs)
        self._add_slopes(t, runs, half, total)
        units = self._masked_units(t, parts, steps, runs)
        on = self._on(units)
        self._add_slopes(t, runs, on - half, total)
        by_mask = total @ self.layers[0].reads - torch.einsum("pk,ktd->tpd", on, self.by_unit)  # (T, P, D)
        pairs = (by_mask * self.steps[:, None]).transpose(0, 1)  # (P, T, D)
        pairs += steps[:, None, None] * self._at_occlusions(t)[:, :, parts].permute(2, 0, 1)
        if self.hidden is not None:
            for s in range(len(self.features)):
                pairs[:, s] += self._kinks(units - self.usual, self.changed[s])
        if t == len(self.features) - 1:
            pairs[:, t] = self._in_last_frame(parts, steps, units)
        # The occlusion of the masked feature itself ends where its occlusion in the unmasked clip ends.
        pairs[torch.arange(len(parts)), t, parts] = self._value(self.usual) - self._value(units)
        return self._change(self.drops - pairs)

    def _change(self, drops: torch.Tensor) -> torch.Tensor:
        return (drops.abs() - self.drops.abs()).abs().sum((-2, -1))

    def _at_occlusions(self, t: int) -> torch.Tensor:
        """Return u_a(x + b) - u_a(x), times w and summed over the units, for each b and each feature of frame t.

        (T, D, D): the first two are those of b.
        """
        if t not in self.kept:
            length, size = self.features.shape
            frames = [each for each in self.wanted if each >= t][:max(1, int(GRADIENTS / (length * size * size)))]
            found, runs = self.features.new_empty(len(frames), length, size, size), self.empty_runs(size)
            for s in range(length):
                on = self._on(self._masked_units(s, self.every, self.steps[s], runs))
                total = self.inputs.new_zeros(length, size, self.inputs.shape[2])
                self._add_slopes(s, runs, on, total)
                found[:, s] = total[frames] @ self.layers[0].reads
                found[:, s] -= torch.einsum("bk,ktd->tbd", on, self.by_unit[:, frames])
            self.kept = dict(zip(frames, found, strict=True))
        return self.kept[t]

    def _kinks(self, by_mask: torch.Tensor, by_occlusion: torch.Tensor) -> torch.Tensor:
        """Return how much the kinks of the ReLU add to C(a, b), (P, D), for changes (P, K) and (D, K) of the units."""
        low = self.usual + by_mask.clamp(max=0).amin(0) + by_occlusion.clamp(max=0).amin(0)
        high = self.usual + by_mask.clamp(min=0).amax(0) + by_occlusion.clamp(min=0).amax(0)
        bent = (low < 0) & (high > 0)
        usual, weights = self.usual[bent], self.weights[bent]
        masked, occluded = usual + by_mask[:, bent], by_occlusion[:, bent]
        alone = (usual + occluded).relu() @ weights - usual.relu() @ weights  # (D,)
        found = -(masked.relu() @ weights)[:, None] - alone
        for some in torch.arange(len(masked), device=masked.device).split(max(1, PAIRS // len(occluded))):
            found[some] += (masked[some, None] + occluded).relu_() @ weights
        return found

    def _in_last_frame(self, parts: torch.Tensor, steps: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """Return C(a, b) of masks and occlusions in the last frame, (P, D), from the state of each pair.

        units (P, K): with the masks. These pairs have the largest C, and a single step of the LSTM.
        """
        last, by_occlusion = len(self.features) - 1, self.change(self.every, self.steps[-1])  # (D, 4 H)
        by_mask, both = self.change(parts, steps), []
        for some in by_mask.split(max(1, PAIRS // len(by_occlusion))):
            runs = self._passing_runs(len(some) * len(by_occlusion))
            self.run_masks(0, last, (some[:, None] + by_occlusion).flatten(0, 1), runs)
            both.append(self._value(self._units(runs[-1].states)).unflatten(0, (len(some), -1)))
        return self.drops[last] - self._value(units)[:, None] + torch.cat(both)

    def _passing_runs(self, count: int) -> list[Run]:
        """Return runs without values for `count` masks, with the states of those layers that something reads."""
        read = [True] * (len(self.layers) - 1) + [not isinstance(self.pooling, LastPooling)]
        return [passing_run(len(self.features), count, layer.recurs, states)
                for layer, states in zip(self.layers, read, strict=True)]

    def frame_changes(self, frames: torch.Tensor, fill: torch.Tensor,
                      progress: Callable[[int], None]) -> torch.Tensor:
        """Return the changes by masks of whole frames, whose occlusions are run from the later of the two frames on."""
        clips = {t: LSTMMasks(self.relevance, frame_masked(self.features, t, fill)) for t in set(frames.tolist())}
        drops = {t: torch.empty_like(self.features) for t in clips}
        base, both = self.empty_runs(len(self.every)), self._passing_runs(len(self.every))
        for s in range(len(self.features)):
            self.run_masks(0, s, self.change(self.every, self.steps[s]), base)
            for t, clip in clips.items():
                units = self._of_both(clip, s, t, base, both)
                drops[t][s] = self._value(self._units(clip.runs[-1].states)[0]) - self._value(units)
            done = [len(frames) * count // len(self.features) for count in (s, s + 1)]
            progress(done[1] - done[0])
        return torch.stack([self._change(drops[t]) for t in frames.tolist()])

    def _of_both(self, clip: LSTMMasks, s: int, t: int, base: list[Run], both: list[Run]) -> torch.Tensor:
        """Return the units (D, K) of the clip with frame t masked and each feature of frame s occluded.

        base: the runs of these occlusions in the clip without the mask. both: filled.
        """
        if s >= t:
            clip.run_masks(0, s, self.change(self.every, self.empty - clip.features[s]), both)
        else:
            starts = [(run.states[t - 1], run.cells[t - 1]) for run in base]
            fill_layers(both, self.layers, lambda frame: clip.inputs[frame, 0], t, starts)
            if not isinstance(self.pooling, LastPooling):
                both[-1].states[:t] = base[-1].states[:t]
        return self._units(both[-1].states)
