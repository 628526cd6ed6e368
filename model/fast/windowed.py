"""Convolutions on a CPU that compute only the outputs that depend on a changed box of a frame.

Temporal saliency rescaling replaces one box of pixels of a frame by a fill and repeats this for thousands of boxes. In
the first layers of an image network, a box reaches only a small window of the outputs. The other outputs are copied
from those of the unchanged frame, the reference frame. This saves a third of a ResNet-18's forward pass, and
model/fast/convolution.py saves more. The results equal those of the plain network up to rounding.

    network = WindowedNetwork(module)             # replaces the larger convolutions of the module in place
    network.find_reach(encode, frame, boxes)      # which outputs each box reaches
    network.set_reference(encode, frame)          # the unchanged frame (C, H, W)
    with network.only_windows(chosen):            # indices of boxes (n,)
        encode(frames)                            # (n, C, H, W): frame i differs from `frame` in box chosen[i] only
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.grad import conv2d_input
from torch.nn.utils import parametrize

from model.fast.convolution import StridedGradient, Winograd

MIN_MULTIPLICATIONS = 64  # per output; with fewer, copying an output takes as long as computing it
FRAMES_AT_ONCE = 16  # frames in one pass of `find_reach`, which limits its memory
CHECKED = 4  # boxes in `check_reach`
SAME = 1e-3  # largest relative difference of outputs that counts as rounding
LARGEST_SHARE = 0.6  # of a layer's outputs; if the windows are larger, the layer computes all outputs

Encode = Callable[[torch.Tensor], torch.Tensor]  # frames (n, C, H, W) -> anything; runs the network
Observer = Callable[["FastConvolution", torch.Tensor], None]  # receives a layer and its outputs (n, K, h, w)


class FastConvolution(nn.Module):
    """A convolution that can compute its outputs in one window of each input only.

    windows: (tops, lefts, height, width), the window of each input, all of one size; None to compute all outputs.
    reference: the outputs (1, K, h, w) that are copied outside the windows. reached: for rows and for columns, the
    first output that each box reaches and the one beyond the last (P, 2), or None if the layer always computes all
    outputs. observer: called with the layer and its outputs after each forward pass, or None.
    """

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.convolution = convolution
        self.strided_gradient = StridedGradient(convolution) if StridedGradient.suits(convolution) else None
        self.winograd = self.winograd_gradient = None
        if Winograd.suits(convolution):
            self.winograd = Winograd(convolution.weight)
            self.winograd_gradient = Winograd(convolution.weight.flip(2, 3).transpose(0, 1))
        self.reference = self.windows = self.observer = self.reached = None

    @staticmethod
    def suits(module: nn.Module) -> bool:
        """Return whether a module is a convolution that this class can replace and make faster."""
        if type(module) is not nn.Conv2d or not is_plain(module):
            return False
        if isinstance(module.padding, str) or module.padding_mode != "zeros":
            return False
        large = module.kernel_size != (1, 1) and module.weight[0].numel() >= MIN_MULTIPLICATIONS
        return large or StridedGradient.suits(module)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the convolution, such as `weight`, which some networks read."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("convolution"), name)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.is_cuda or torch.is_autocast_enabled("cpu"):
            return self.convolution(inputs)
        outputs = _InputGradientOnly.apply(inputs, self)
        if self.observer is not None:
            self.observer(self, outputs)
        return outputs

    def compute(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs (n, K, h, w) of inputs (n, C, H, W) by the fastest algorithm."""
        if self.winograd is not None:
            outputs = self.winograd(inputs)
            return outputs if self.convolution.bias is None else outputs + self.convolution.bias.view(-1, 1, 1)
        if self.windows is None:
            return self.convolution(inputs)
        tops, lefts, height, width = self.windows
        outputs = self.reference.expand(len(inputs), -1, -1, -1).clone(memory_format=torch.channels_last)
        inside = functional.conv2d(self.cut(inputs), self.convolution.weight, self.convolution.bias,
                                   self.convolution.stride, 0, self.convolution.dilation, self.convolution.groups)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            outputs[i, :, top:top + height, left:left + width] = inside[i]
        return outputs

    def cut(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the part of each input that its window depends on (n, C, height, width), with zeros as padding."""
        tops, lefts, *counts = self.windows
        c = self.convolution
        sizes = zip(counts, c.stride, c.dilation, c.kernel_size, strict=True)
        height, width = ((n - 1) * stride + dilation * (kernel - 1) + 1 for n, stride, dilation, kernel in sizes)
        cuts = inputs.new_zeros(len(inputs), c.in_channels, height, width).to(memory_format=torch.channels_last)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            top, left = top * c.stride[0] - c.padding[0], left * c.stride[1] - c.padding[1]
            part = inputs[i, :, max(top, 0):top + height, max(left, 0):left + width]
            y, x = max(-top, 0), max(-left, 0)
            cuts[i, :, y:y + part.shape[1], x:x + part.shape[2]] = part
        return cuts

    def gradient(self, output_gradient: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Return the gradient with respect to an input of shape (n, C, H, W), given that with respect to the output."""
        if self.winograd_gradient is not None:
            return self.winograd_gradient(output_gradient)
        if self.strided_gradient is not None:
            return self.strided_gradient(output_gradient, shape[2:])
        c = self.convolution
        return conv2d_input(shape, c.weight, output_gradient, c.stride, c.padding, c.dilation, c.groups)

    def choose_windows(self, chosen: torch.Tensor) -> None:
        """Set the smallest windows, all of one size, that hold the outputs that the chosen boxes (n,) reach."""
        if self.reached is None:
            return
        shape, starts, sizes = self.reference.shape[-2:], [], []
        for reached, count in zip(self.reached, shape, strict=True):  # rows, then columns
            first, beyond = reached[chosen].unbind(1)
            sizes.append(int((beyond - first).max()))
            starts.append(first.clamp(max=count - sizes[-1]).tolist())
        small = sizes[0] * sizes[1] <= LARGEST_SHARE * shape[0] * shape[1]
        self.windows = (*starts, *sizes) if small else None


class _InputGradientOnly(torch.autograd.Function):
    """Run a FastConvolution, and in the backward pass the gradient of the full convolution with respect to its input.

    That gradient depends only on the weights and the shape of the input, so no tensor is saved for the backward pass.
    """

    @staticmethod
    def forward(ctx, inputs, layer):
        ctx.layer, ctx.shape = layer, inputs.shape
        return layer.compute(inputs)

    @staticmethod
    def backward(ctx, output_gradient):
        return ctx.layer.gradient(output_gradient, ctx.shape), None


class WindowedNetwork:
    """The larger convolutions of an image network in eval mode. They are replaced in place by FastConvolution layers.

    In all methods, `encode` is a function that runs the network on frames (n, C, H, W).
    """

    def __init__(self, network: nn.Module):
        self.layers = []
        for name, module in list(network.named_modules()):
            if FastConvolution.suits(module):
                self.layers.append(FastConvolution(module))
                network.set_submodule(name, self.layers[-1])

    @torch.no_grad()
    def find_reach(self, encode: Encode, frame: torch.Tensor, boxes: torch.Tensor) -> None:
        """Find the outputs of each layer that depend on each box (P, 4) of a frame (C, H, W).

        A box is (top, bottom, left, right), where bottom and right are one beyond the last row and column. All pixels
        in the rows of a box are set to NaN, then all pixels in its columns. NaN spreads through every multiplication,
        addition and maximum, even through a weight of zero, so the outputs that become NaN are exactly those that are
        computed from these pixels. The outputs that a box reaches lie where both sets of outputs overlap. A layer that
        does not run exactly once on each frame has no windows.
        """
        rows = self._reach(encode, frame, boxes[:, :2], axis=1)
        columns = self._reach(encode, frame, boxes[:, 2:], axis=2)
        for layer in self.layers:
            layer.reached = [rows[layer], columns[layer]] if layer in rows and layer in columns else None

    def _reach(self, encode: Encode, frame: torch.Tensor, spans: torch.Tensor,
               axis: int) -> dict[FastConvolution, torch.Tensor]:
        """Return for each layer the first output and the one beyond the last (P, 2) that spans of pixels (P, 2) reach.

        Spans and outputs are counted along an axis of the frame: 1 for rows, 2 for columns. Layers that do not run
        exactly once on each frame are left out.
        """
        distinct, which = spans.unique(dim=0, return_inverse=True)  # (S, 2), (P,)
        frames = frame.repeat(len(distinct), 1, 1, 1)
        for with_nan, (first, beyond) in zip(frames, distinct.tolist(), strict=True):
            with_nan.narrow(axis, first, beyond - first).fill_(torch.nan)
        masks = {layer: [] for layer in self.layers}

        def keep_mask(layer: FastConvolution, outputs: torch.Tensor) -> None:
            masks[layer].append(outputs.isnan().any(1))  # (n, h, w)

        sizes = [len(part) for part in frames.split(FRAMES_AT_ONCE)]
        with self._observed_by(keep_mask):
            for part in frames.split(FRAMES_AT_ONCE):
                encode(part)
        return {layer: _bounds(torch.cat(mask).any(3 - axis))[which] for layer, mask in masks.items()
                if list(map(len, mask)) == sizes}

    @torch.no_grad()
    def set_reference(self, encode: Encode, frame: torch.Tensor) -> None:
        """Make a frame (C, H, W) the reference: keep the outputs that it has in each layer."""

        def keep_outputs(layer: FastConvolution, outputs: torch.Tensor) -> None:
            layer.reference = outputs.clone()  # because the network may change its outputs in place

        with self._observed_by(keep_outputs):
            encode(frame[None])

    @torch.no_grad()
    def check_reach(self, encode: Encode, frame: torch.Tensor, boxes: torch.Tensor) -> None:
        """Do without windows if they change the outputs of the network for some boxes (P, 4) of a frame (C, H, W).

        A network that replaces NaN by numbers would hide what the boxes reach.
        """
        chosen = torch.linspace(0, len(boxes) - 1, min(CHECKED, len(boxes)), device=boxes.device).long()
        frames = frame.repeat(len(chosen), 1, 1, 1)
        for changed, (top, bottom, left, right) in zip(frames, boxes[chosen].tolist(), strict=True):
            changed[:, top:bottom, left:right] = 1 + frame.max() - frame[:, top:bottom, left:right]
        self.set_reference(encode, frame)
        expected = encode(frames)
        with self.only_windows(chosen):
            found = encode(frames)
        if (found - expected).abs().max() > SAME * expected.abs().max():
            for layer in self.layers:
                layer.reached = None

    @contextmanager
    def _observed_by(self, observer: Observer) -> Iterator[None]:
        for layer in self.layers:
            layer.observer = observer
        try:
            yield
        finally:
            for layer in self.layers:
                layer.observer = None

    @contextmanager
    def only_windows(self, chosen: torch.Tensor) -> Iterator[None]:
        """Compute during the block only the outputs that the chosen boxes (n,) reach; frame i changes in box i."""
        for layer in self.layers:
            layer.choose_windows(chosen)
        try:
            yield
        finally:
            for layer in self.layers:
                layer.windows = None


def is_plain(layer: nn.Module) -> bool:
    """Return whether nothing was added to a layer: no hooks, and no weights that are computed from others."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return not any(hooks) and not parametrize.is_parametrized(layer)


def _bounds(masks: torch.Tensor) -> torch.Tensor:
    """Return the first True and the place beyond the last True of each row: (S, count) -> (S, 2)."""
    masks = masks.int()
    return torch.stack([masks.argmax(1), masks.shape[1] - masks.flip(1).argmax(1)], 1)
