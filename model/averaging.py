"""The average of a model's weights over the last epochs, which is what training evaluates and saves.

Single epochs differ by the noise of their batches, most of all with few people to learn from. The average of the
weights has less of it (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; as an
exponential average in Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017).

    average = WeightAverage(parameters)
    average.update()                    # after each epoch
    with average.in_use():              # the parameters hold the average during the block
        evaluate(...)
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

MEMORY = 10  # epochs over which the average reaches back, about


class WeightAverage:
    """An exponential average of parameters, equal to their mean while there are fewer epochs than MEMORY."""

    def __init__(self, parameters: list[nn.Parameter]):
        self.parameters, self.epochs = parameters, 0
        self.held = [weight.detach().clone() for weight in parameters]  # the average; in use, the own values

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights as they are now, after an epoch."""
        self.epochs += 1
        share = max(1 / self.epochs, 1 / MEMORY)
        for mean, weight in zip(self.held, self.parameters, strict=True):
            mean.lerp_(weight, share)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Give the parameters the average during the block, and afterwards their own values again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for held, weight in zip(self.held, self.parameters, strict=True):
            before = weight.clone()
            weight.copy_(held)
            held.copy_(before)

    def resume(self, own: list[torch.Tensor], epochs: int) -> None:
        """Go on from a checkpoint: the parameters hold the average, `own` are their own values after some epochs."""
        self.epochs = epochs
        with torch.no_grad():
            for mean, weight, value in zip(self.held, self.parameters, own, strict=True):
                mean.copy_(weight)
                weight.copy_(value)
