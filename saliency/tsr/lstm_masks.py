"""TSR of features through an LSTM: what a mask of one feature leaves as it is, is computed once.

    masks = LSTMMasks(relevance, features)
    changes = masks.changes(frames, parts, fill, progress)       # as saliency.tsr.features.feature_changes

A mask of a feature of frame t leaves all states before frame t as they are. Frame t reads the mask as a multiple of a
column of the input weights, and later frames read it through the states only. On the way back, the frames before t have
the slopes of the unmasked clip. There, a step is a linear function of the gradients of cell and state, 2 H numbers
instead of 4 H gates, and its matrix is the same for all masks of a frame. The way from the gates to the features is
linear too, so it is taken once for the sum over all points, unless the points have different factors.
"""

from collections.abc import Callable

import torch
from torch import nn

from model.heads.lstm import LSTMHead
from model.heads.pooling import LastPooling
from saliency.gradient import with_gradients
from saliency.methods.sequences import MeanGradient
from saliency.scores import target_score
from saliency.tsr.lstm_steps import (
    Run,
    cell_slopes,
    empty_run,
    fill_layers,
    fill_run,
    gate_slopes,
    layers_of,
    step_matrix,
)
from saliency.tsr.masks import GradientMasks


def has_lstm_head(model: nn.Module) -> bool:
    """Return whether a model is a CNN-LSTM with the head `lstm`, of any number of layers and with any pooling."""
    config = getattr(model, "config", None)
    return isinstance(config, dict) and config.get("head") == "lstm" and isinstance(model.head, LSTMHead)


class LSTMMasks(GradientMasks):
    """The head `lstm` at all n points that a MeanGradient takes of a clip's features (T, D).

    Lists with an item per layer: runs of the points, states and cells `before` each frame (2, T, n, H), slopes
    (T, n, 4 H) of gate_slopes and carries (T, n, H) of cell_slopes. inputs (T, n, 4 H): what the first layer reads.
    """

    @torch.no_grad()
    def __init__(self, relevance: MeanGradient, features: torch.Tensor):
        super().__init__(relevance, features)
        self.layers, self.pooling = layers_of(relevance.model.head.lstm), relevance.model.head.pooling
        self.runs, self.befores, self.slopes, self.carries = [], [], [], []
        below = self.points.transpose(0, 1)  # (T, n, D)
        self.inputs = below @ self.layers[0].reads.T + self.layers[0].bias
        for layer in self.layers:
            inputs, zero = below @ layer.reads.T + layer.bias, layer.bias.new_zeros(1, layer.recurs.shape[1])
            run = fill_run(empty_run(*below.shape[:2], layer.recurs), layer, inputs.__getitem__, 0, zero, zero)
            self.befores.append(torch.stack([run.before(run.states), run.before(run.cells)]))
            self.slopes.append(gate_slopes(run.gates, self.befores[-1][1], run.bent))
            self.carries.append(cell_slopes(run.gates, run.bent))
            self.runs.append(run)
            below = run.states

    def weighted_gradients(self, t: int, parts: torch.Tensor, steps: torch.Tensor, weights: torch.Tensor | None,
                           own: torch.Tensor | None) -> torch.Tensor:
        runs, rows = self.empty_runs(len(parts)), torch.arange(len(parts))
        shape = (len(self.features), len(parts))
        total = self.inputs.new_zeros(*shape, self.inputs.shape[2] if weights is None else self.features.shape[1])
        for a, step in enumerate(steps):
            self.run_masks(a, t, self.change(parts, step), runs)
            gradients = self.state_gradients(runs[-1].states, self._score)
            if weights is None:
                self.add_gate_gradients(a, t, runs, gradients, total)
            else:
                gradients = self._through_layers(a, t, runs, gradients)
                gradients = self._back(0, a, t, runs[0], gradients)  # (P, D) per frame
                for sums, weight, gradient in zip(total, weights[a], gradients, strict=True):
                    sums.addcmul_(weight, gradient)
                total[t, rows, parts] += own[a] * gradients[t][rows, parts]
        if weights is None:
            total = total @ self.layers[0].reads  # (T, P, D)
        return total.transpose(0, 1) / len(steps)

    def empty_runs(self, count: int) -> list[Run]:
        """Return runs without values for `count` masks, one for each layer."""
        return [empty_run(len(self.features), count, layer.recurs) for layer in self.layers]

    def change(self, parts: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Return what the bottom layer's gates read of a step[p] of feature parts[p], (P, 4 H)."""
        return step[:, None] * self.layers[0].reads[:, parts].T

    def run_masks(self, a: int, t: int, change: torch.Tensor, runs: list[Run]) -> None:
        """Fill the runs from frame t of point a on, where the bottom layer's gates read change (P, 4 H) in addition.

        The states of the top layer are filled before frame t too, if the pooling reads them.
        """
        fill_layers(runs, self.layers, lambda s: self.inputs[s, a] + change if s == t else self.inputs[s, a], t,
                    [before[:, t, a, None] for before in self.befores])
        if not isinstance(self.pooling, LastPooling):
            runs[-1].states[:t] = self.runs[-1].states[:t, a, None]

    def _score(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the score (P,) of pooled states (P, H)."""
        return target_score(self.relevance.model.classifier(pooled), self.relevance.target, self.relevance.score)

    def state_gradients(self, states: torch.Tensor,
                        score: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor | float]:
        """Return the gradients of a score with respect to the states (T, P, H) of the top layer, (P, H) per frame.

        score: pooled states (P, H) -> (P,). 0.0 stands for the frames that the pooling `last` does not read.
        """
        read = states[-1:] if isinstance(self.pooling, LastPooling) else states
        with with_gradients(self.relevance.model):
            read = read.transpose(0, 1).detach().requires_grad_(True)  # (P, T, H), or (P, 1, H)
            slopes = torch.autograd.grad(score(self.pooling(read)).sum(), read)[0].unbind(1)
        return [0.0] * (len(states) - len(slopes)) + list(slopes)

    def add_gate_gradients(self, a: int, t: int, runs: list[Run], gradients: list[torch.Tensor | float],
                           total: torch.Tensor) -> None:
        """Add the gradients of the bottom layer's gates to total (T, P, 4 H). gradients: see state_gradients."""
        self._back(0, a, t, runs[0], self._through_layers(a, t, runs, gradients), total)

    def _through_layers(self, a: int, t: int, runs: list[Run], gradients: list[torch.Tensor | float]) -> list:
        """Return the gradients (P, H) per frame of the bottom layer's states, given those of the top layer's."""
        for number in range(len(runs) - 1, 0, -1):
            gradients = self._back(number, a, t, runs[number], gradients)
        return gradients

    def _back(self, number: int, a: int, t: int, run: Run, arriving: list[torch.Tensor | float],
              total: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Return the gradients (P, inputs) per frame of what a layer reads, given those (P, H) of its states.

        If total (T, P, 4 H) is given, the gradients of the gates are added to it instead, and the list is empty.
        """
        layer, usual, slopes = self.layers[number], self.runs[number].gates[:, a], self.slopes[number][:, a]
        weights, size, found = layer.back if total is None else layer.recurs, run.cells.shape[2], []
        both = torch.cat([torch.zeros_like(arriving[-1]), arriving[-1]], 1)  # (P, 2 H)
        cell, state = both.chunk(2, 1)  # gradients of the cell and the state of frame s
        for s in range(len(arriving) - 1, -1, -1):
            if s >= t:
                before = run.cells[s - 1] if s > t else self.befores[number][1, t, a]
                cell.addcmul_(state, cell_slopes(run.gates[s], run.bent[s]))
                signal = gate_slopes(run.gates[s], before, run.bent[s])  # (P, 4 H)
                times_gradients(signal, cell, state)
                matrix, keep = weights, run.gates[s, :, size:2 * size]
                if total is not None:
                    total[s] += signal
            else:
                cell.addcmul_(state, self.carries[number][s, a])
                signal, matrix, keep = both, step_matrix(slopes[s], weights), usual[s, size:2 * size]
                if total is not None:
                    add_gradients(total[s], slopes[s], cell, state)
            if s or total is None:
                back = signal @ matrix  # (P, H), or (P, H + inputs + padding)
            if total is None:
                found.append(back[:, size:size + layer.reads.shape[1]])
            cell *= keep
            if s:
                torch.add(back[:, :size], arriving[s - 1], out=state)
        return found[::-1]


def times_gradients(slopes: torch.Tensor, cell: torch.Tensor, state: torch.Tensor) -> None:
    """Turn the slopes (P, 4 H) of gate_slopes into gradients of the gates, in place. cell, state (P, H): gradients."""
    gates = slopes.unflatten(1, (4, -1))
    gates[:, :3] *= cell[:, None]
    gates[:, 3] *= state


def add_gradients(total: torch.Tensor, slopes: torch.Tensor, cell: torch.Tensor, state: torch.Tensor) -> None:
    """Add the gradients of the gates to total (P, 4 H), in place. slopes (4 H,): the same for all of them."""
    gates, slopes = total.unflatten(1, (4, -1)), slopes.unflatten(0, (4, -1))
    gates[:, :3].addcmul_(slopes[:3], cell[:, None])
    gates[:, 3].addcmul_(slopes[3], state)
