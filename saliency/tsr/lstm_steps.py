"""One layer of an LSTM, forwards and backwards, written out for batches of sequences and without autograd.

    layer = layers_of(lstm)[0]
    run = fill_run(empty_run(T, N, layer.recurs), layer, inputs, 0, state, cell)      # the states of N sequences
    slopes = gate_slopes(run.gates, cells_before, run.bent)                           # of all frames

Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997, with the forget gate of Gers,
Schmidhuber and Cummins, "Learning to Forget", Neural Computation 12, 2000. The sums of the candidates are doubled: with
tanh(z) = 2 sigmoid(2 z) - 1, all gates need one call of the sigmoid, which takes less time than PyTorch's tanh.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import pad

ALIGNED = 16  # float32 numbers in a cache line; a product with rows of 556 numbers takes longer than with 560


class Layer(NamedTuple):
    """The weights of a layer with H units: reads (4 H, inputs), recurs (4 H, H), bias (4 H,). Candidates are doubled.

    back (4 H, H + inputs + padding): recurs and reads, side by side, and zeros up to a multiple of ALIGNED columns.
    """

    reads: torch.Tensor
    recurs: torch.Tensor
    bias: torch.Tensor
    back: torch.Tensor


class Run(NamedTuple):
    """The values of a layer for N sequences of T frames.

    gates (T, N, 4 H): input gate, forget gate, candidates and output gate, all after the sigmoid. cells, bent =
    tanh(cells), and states = output gate times bent: (T, N, H).
    """

    gates: torch.Tensor
    cells: torch.Tensor
    bent: torch.Tensor
    states: torch.Tensor

    def before(self, values: torch.Tensor) -> torch.Tensor:
        """Return the cells or states one frame earlier, 0 before the first frame, (T, N, H)."""
        return torch.cat([torch.zeros_like(values[:1]), values[:-1]])


def layers_of(lstm: nn.LSTM) -> list[Layer]:
    """Return the weights of all layers, from the bottom up."""
    found = []
    for number in range(lstm.num_layers):
        reads, recurs, bias, other = (getattr(lstm, f"{name}_l{number}").detach().clone()
                                      for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        bias += other
        for weight in (reads, recurs, bias):
            weight.unflatten(0, (4, -1))[2] *= 2
        back = torch.cat([recurs, reads], 1)
        found.append(Layer(reads, recurs, bias, pad(back, (0, -back.shape[1] % ALIGNED))))
    return found


def empty_run(length: int, count: int, recurs: torch.Tensor) -> Run:
    """Return a Run without values for a layer with the weights recurs (4 H, H)."""
    gates, size = recurs.shape
    return Run(recurs.new_empty(length, count, gates), *(recurs.new_empty(length, count, size) for _ in range(3)))


def passing_run(length: int, count: int, recurs: torch.Tensor, states: bool) -> Run:
    """Return an empty_run whose frames share their memory, which then stays in the cache of a processor.

    After it is filled, it holds the values of the last frame. states: whether it keeps the states of all frames.
    """
    shared = [values.expand(length, -1, -1) for values in empty_run(1, count, recurs)]
    if states:
        shared[-1] = recurs.new_empty(length, count, recurs.shape[1])
    return Run(*shared)


def fill_run(run: Run, layer: Layer, inputs: Callable[[int], torch.Tensor], first: int, state: torch.Tensor,
             cell: torch.Tensor) -> Run:
    """Compute the values of a Run from frame `first` on, in place, and return it.

    inputs: returns what the gates of a frame read from below, (4 H,) or (N, 4 H), with the bias. state, cell: those of
    the frame before `first`, (1, H) or (N, H).
    """
    for s in range(first, len(run.gates)):
        gates, cells, bent = run.gates[s], run.cells[s], run.bent[s]
        if s == first:
            torch.add(inputs(s), state @ layer.recurs.T, out=gates)
        else:
            torch.addmm(inputs(s), state, layer.recurs.T, out=gates)
        entry, keep, candidate, leave = gates.sigmoid_().chunk(4, 1)
        torch.mul(keep, cell, out=cells).sub_(entry).addcmul_(entry, candidate, value=2)
        torch.mul(cells, 2, out=bent).sigmoid_().mul_(2).sub_(1)
        state, cell = torch.mul(leave, bent, out=run.states[s]), cells
    return run


def fill_layers(runs: list[Run], layers: list[Layer], read: Callable[[int], torch.Tensor], first: int,
                starts: list[tuple[torch.Tensor, torch.Tensor]]) -> list[Run]:
    """Compute the values of all layers of an LSTM from frame `first` on, in place, and return the runs.

    read: the inputs of fill_run for the bottom layer. starts: for each layer, the states and cells of the frame before.
    """
    for number, (layer, run, start) in enumerate(zip(layers, runs, starts, strict=True)):
        below = partial(read_states, runs[number - 1], layer) if number else read
        fill_run(run, layer, below, first, *start)
    return runs


def read_states(run: Run, layer: Layer, s: int) -> torch.Tensor:
    """Return what a layer's gates read of the states of the layer below in frame s, with the bias, (N, 4 H)."""
    return torch.addmm(layer.bias, run.states[s], layer.reads.T)


def gate_slopes(gates: torch.Tensor, before: torch.Tensor, bent: torch.Tensor) -> torch.Tensor:
    """Return the slopes (..., 4 H) of the cell by the sums of its three gates, and of the state by that of the last.

    gates (..., 4 H), bent (..., H): see Run. before (..., H): the cells of the frame before.
    """
    slopes = torch.addcmul(gates, gates, gates, value=-1)
    entry, _, candidate, _ = gates.chunk(4, -1)
    for part, factor in zip(slopes.chunk(4, -1), (2 * candidate - 1, before, 2 * entry, bent), strict=True):
        part *= factor
    return slopes


def cell_slopes(gates: torch.Tensor, bent: torch.Tensor) -> torch.Tensor:
    """Return the slopes (..., H) of the states by the cells. gates (..., 4 H), bent (..., H): see Run."""
    return gates.chunk(4, -1)[3] * (1 - bent * bent)


def step_matrix(slopes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the matrix (2 H, M) from the gradients of cell and state, side by side, to those of what weights read.

    slopes (4 H,): see gate_slopes. weights (4 H, M): of a layer.
    """
    entry, keep, candidate, leave = zip(weights.chunk(4), slopes[:, None].chunk(4), strict=True)
    by_cell, by_state = (matrix := weights.new_empty(len(weights) // 2, weights.shape[1])).chunk(2)
    torch.mul(*entry, out=by_cell).addcmul_(*keep).addcmul_(*candidate)
    torch.mul(*leave, out=by_state)
    return matrix
