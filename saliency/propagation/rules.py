"""Rules: the operations that heads consist of, each with the gradient that a method propagates by.

    linear     a layer, or a sum of several signals; it may add a constant
    arrange    a choice, a reordering, or a multiple of numbers of one signal
    bend       a function of each number by itself, by its name in FUNCTIONS
    product    a gate times a signal, or another product that is linear in both
    largest    the largest value over the frames

`Rules` has the usual gradients, so its gradient is that of the model. A signal is what the operations take and return:
a tensor, or with DifferenceRules a Pair.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

FUNCTIONS = {  # name: (function, derivative)
    "relu": (torch.relu, lambda z: (z > 0).to(z)),
    "tanh": (torch.tanh, lambda z: 1 - z.tanh() ** 2),
    "sigmoid": (torch.sigmoid, lambda z: z.sigmoid() * (1 - z.sigmoid())),
    "exp": (torch.exp, torch.exp),
    "reciprocal": (torch.reciprocal, lambda z: -1 / z ** 2),
}
THROUGH_ZERO = ("relu", "tanh")  # functions with f(0) = 0


class WithGradient(torch.autograd.Function):
    """A value whose gradient with respect to a signal of the same shape is given."""

    @staticmethod
    def forward(context, signal, value, gradient):
        context.save_for_backward(gradient)
        return value.view_as(value)

    @staticmethod
    def backward(context, gradient):
        return gradient * context.saved_tensors[0], None, None


def with_gradient(signal: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return `value`, with the gradient with respect to `signal` replaced by `gradient`. All have the same shape."""
    return WithGradient.apply(signal, value.detach(), gradient.detach())


def ratio(numbers: torch.Tensor, divisors: torch.Tensor) -> torch.Tensor:
    """Return numbers / divisors; a divisor of 0 counts as 1."""
    return numbers / torch.where(divisors == 0, torch.ones_like(divisors), divisors)


class Rules:
    """The usual gradients."""

    def linear(self, function: Callable, *signals):
        """Apply a function that is linear in its signals, up to a constant."""
        return function(*signals)

    def arrange(self, function: Callable, signal):
        """Apply a function that chooses, reorders or scales the numbers of a signal, up to a constant."""
        return function(signal)

    def bend(self, name: str, signal):
        """Apply a function in FUNCTIONS to each number."""
        return FUNCTIONS[name][0](signal)

    def product(self, function: Callable, gate, signal):
        """Apply a function of a gate and a signal that is linear in both, such as torch.mul."""
        return function(gate, signal)

    def largest(self, signal):
        """Return the largest value over the frames, (N, T, H) -> (N, H)."""
        return signal.amax(1)

    def zeros(self, like, size: int):
        """Return zeros (N, size) for each sequence of a signal (N, T, ...)."""
        return like.new_zeros(len(like), size)

    def softmax(self, signal, dim: int, mask: torch.Tensor | None = None):
        """Return a softmax over a dimension. mask: 1 for the numbers that take part, 0 for the others."""
        powers = self.bend("exp", self.arrange(lambda z: z - self.shift(signal, dim), signal))
        powers = powers if mask is None else self.arrange(lambda z: z * mask, powers)
        total = self.linear(lambda z: z.sum(dim, keepdim=True), powers)
        return self.product(torch.mul, self.bend("reciprocal", total), powers)

    def shift(self, signal, dim: int) -> torch.Tensor:
        """Return what is subtracted before exp, so that no power is too large; it does not change a softmax."""
        return signal.detach().amax(dim, keepdim=True)


class RelevanceRules(Rules):
    """Layer-wise relevance propagation (LRP) with the epsilon rule, and gates that only scale.

    The relevance R of an output z goes to its inputs in proportion to their parts z_i of z: R_i = z_i R / (z + epsilon
    sign(z)) (Bach et al., PLOS ONE 2015, equation 58). A bias is such a part; it keeps its share. Functions of one
    number pass their relevance on. In a product of a gate and a signal, the signal gets all of it (Arras, Montavon,
    Müller and Samek, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis", WASSA 2017). The largest
    value gets all of the relevance of a maximum. If every signal x has the gradient R / x, these are the rules below
    (Ancona, Ceolini, Öztireli and Gross, ICLR 2018).
    """

    def __init__(self, epsilon: float):
        self.epsilon = epsilon

    def linear(self, function: Callable, *signals):
        value = function(*signals)
        stabilised = torch.where(value < 0, value - self.epsilon, value + self.epsilon)
        return with_gradient(value, value, ratio(value, stabilised))

    def bend(self, name: str, signal):
        value = FUNCTIONS[name][0](signal)
        if name not in THROUGH_ZERO:
            return value  # a gate, which passes no relevance
        return with_gradient(signal, value, ratio(value, signal))

    def product(self, function: Callable, gate, signal):
        return function(gate.detach(), signal)


class Pair(NamedTuple):
    """The signal of the sequences (N, ...), and that of the reference (1, ...)."""

    value: torch.Tensor
    reference: torch.Tensor


class DifferenceRules(Rules):
    """DeepLIFT's rescale rule: gradients are ratios of the differences from a reference.

    A function f of one number has the gradient (f(z) - f(z0)) / (z - z0), in which z0 is its input for the reference
    (Shrikumar, Greenside and Kundaje, "Learning Important Features Through Propagating Activation Differences", ICML
    2017, equation 12). A product a b has the gradients (b + b0) / 2 and (a + a0) / 2, which are the Shapley values of
    the two factors. A maximum over time is a chain of max(a, b) = a + relu(b - a). Every operation is complete:
    differences times gradients sum to the difference of the output. All signals are Pairs.
    """

    def linear(self, function: Callable, *signals):
        value, reference = (function(*parts) for parts in zip(*signals, strict=True))
        return Pair(value, reference)

    def arrange(self, function: Callable, signal):
        return Pair(*map(function, signal))

    def bend(self, name: str, signal):
        function, derivative = FUNCTIONS[name]
        value, reference = map(function, signal)
        difference = (signal.value - signal.reference).detach()
        # If z and z0 are close, the gradient in the middle is more exact than the ratio. A relu has no curvature.
        close = difference.abs() <= (0 if name == "relu" else torch.finfo(difference.dtype).eps ** (1 / 3))
        middle = derivative(signal.reference + difference / 2)
        gradient = torch.where(close, middle, ratio(value - reference, difference))
        return Pair(with_gradient(signal.value, value, gradient), reference.detach())

    def product(self, function: Callable, gate, signal):
        reference = function(gate.reference, signal.reference).detach()
        by_signal = function((gate.value + gate.reference).detach() / 2, signal.value)
        by_gate = function(gate.value, (signal.value + signal.reference).detach() / 2)
        gradients = by_signal + by_gate
        return Pair(gradients + (function(gate.value, signal.value) - gradients).detach(), reference)

    def largest(self, signal):
        found = self.arrange(lambda z: z[:, 0], signal)
        for t in range(1, signal.value.shape[1]):
            rise = self.bend("relu", self.linear(lambda z, best, t=t: z[:, t] - best, signal, found))
            found = self.linear(torch.add, found, rise)
        return found

    def zeros(self, like, size: int):
        return Pair(*(super(DifferenceRules, self).zeros(part, size) for part in like))

    def shift(self, signal, dim: int) -> torch.Tensor:
        return torch.maximum(*(super(DifferenceRules, self).shift(part, dim) for part in signal))
