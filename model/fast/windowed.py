"""An image network for saliency on a CPU: convolutions computed only where a frame differs from a reference frame.

A box of changed pixels reaches few outputs of the first layers, and a saliency map of thousands of boxes asks for the
same frame thousands of times. Outputs that no changed pixel reaches are copied from those of the frame unchanged, which
spares a ResNet-18 a third of its forward pass; model/convolution.py spares some more. The numbers stay the same.

    local = LocalNetwork(network)                     # its larger convolutions are replaced in place
    local.learn(encode, frame, boxes)                 # which outputs each box reaches
    local.refer(encode, frame)                        # (C, H, W), the frame unchanged
    with local.changed(chosen):                       # indices of boxes (n,)
        encode(frames)                                # (n, C, H, W): `frame`, but for a box in each
"""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

from model.fast.convolution import Phases, Winograd

WORTHWHILE = 64  # multiplications per output, in a kernel that overlaps: with fewer, copying takes as long as computing
AT_ONCE = 16  # frames whose reach is found together
LARGEST_SHARE = 0.6  # of a layer's outputs: where boxes reach more, all are computed


class FastConvolution(nn.Module):
    """A convolution that can be told to compute its outputs in a window of each picture only.

    windows: (tops, lefts, height, width) of the outputs to be computed, the others being those of `reference`
    (1, C, H, W); None for all. watch: called with the layer and its outputs, or None.
    """

    def __init__(self, convolution):
        super().__init__()
        self.convolution = convolution
        self.phases = Phases(convolution) if Phases.suits(convolution) else None
        self.winograd = self.turned = None
        if Winograd.suits(convolution):
            self.winograd = Winograd(convolution.weight)
            self.turned = Winograd(convolution.weight.flip(2, 3).transpose(0, 1))  # its gradient
        self.reference = self.windows = self.watch = self.reached = None

    @staticmethod
    def suits(module):
        if not isinstance(module, nn.Conv2d) or isinstance(module.padding, str) or module.padding_mode != "zeros":
            return False
        return (module.kernel_size != (1, 1) and module.weight[0].numel() >= WORTHWHILE) or Phases.suits(module)

    def forward(self, pictures):
        if pictures.is_cuda or torch.is_autocast_enabled("cpu"):
            return self.convolution(pictures)
        outputs = _Convolve.apply(pictures, self)
        if self.watch:
            self.watch(self, outputs)
        return outputs

    def compute(self, pictures):
        if self.winograd:
            outputs = self.winograd(pictures)
            return outputs if self.convolution.bias is None else outputs + self.convolution.bias.view(-1, 1, 1)
        if self.windows is None:
            return self.convolution(pictures)
        tops, lefts, height, width = self.windows
        outputs = self.reference.expand(len(pictures), -1, -1, -1).clone(memory_format=torch.channels_last)
        inside = functional.conv2d(self.cut(pictures), self.convolution.weight, self.convolution.bias,
                                   self.convolution.stride, 0, self.convolution.dilation, self.convolution.groups)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            outputs[i, :, top:top + height, left:left + width] = inside[i]
        return outputs

    def cut(self, pictures):
        """What the windows' outputs depend on, zero where that is padding: (n, C, height, width)."""
        tops, lefts, *counts = self.windows
        c = self.convolution
        sizes = zip(counts, c.stride, c.dilation, c.kernel_size, strict=True)
        height, width = ((count - 1) * step + dilation * (kernel - 1) + 1 for count, step, dilation, kernel in sizes)
        cuts = pictures.new_zeros(len(pictures), c.in_channels, height, width).to(memory_format=torch.channels_last)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            top, left = top * c.stride[0] - c.padding[0], left * c.stride[1] - c.padding[1]
            part = pictures[i, :, max(top, 0):top + height, max(left, 0):left + width]
            y, x = max(-top, 0), max(-left, 0)
            cuts[i, :, y:y + part.shape[1], x:x + part.shape[2]] = part
        return cuts

    def gradient(self, slopes, shape):
        """Of the pictures, of that shape (n, C, H, W), given that of the outputs."""
        if self.turned:
            return self.turned(slopes)
        if self.phases:
            return self.phases(slopes, shape[2:])
        c = self.convolution
        return conv2d_input(shape, c.weight, slopes, c.stride, c.padding, c.dilation, c.groups)

    def choose_windows(self, chosen):
        """Windows, all of one size, that hold what the chosen boxes reach."""
        shape, starts, sizes = self.reference.shape[-2:], [], []
        for reached, count in zip(self.reached, shape, strict=True):
            first, beyond = reached[chosen].unbind(1)
            sizes.append(int((beyond - first).max()))
            starts.append(first.clamp(max=count - sizes[-1]).tolist())
        small = 0 < sizes[0] * sizes[1] <= LARGEST_SHARE * shape[0] * shape[1]
        self.windows = (*starts, *sizes) if small else None


class _Convolve(torch.autograd.Function):
    """Gradients with respect to pictures only, of which nothing needs to be kept."""

    @staticmethod
    def forward(ctx, pictures, layer):
        ctx.layer, ctx.shape = layer, pictures.shape
        return layer.compute(pictures)

    @staticmethod
    def backward(ctx, slopes):
        return ctx.layer.gradient(slopes, ctx.shape), None


class LocalNetwork:
    """An image network in eval mode, whose larger convolutions it replaces in place. Its layers: FastConvolution."""

    def __init__(self, network):
        self.layers = []
        for name, module in list(network.named_modules()):
            if FastConvolution.suits(module):
                self.layers.append(FastConvolution(module))
                network.set_submodule(name, self.layers[-1])

    @torch.no_grad()
    def learn(self, encode, frame, boxes):
        """Find out what each box (P, 4) of top, bottom, left, right reaches, by letting NaN spread from there."""
        for layer in self.layers:
            layer.reached = []
        for axis in (1, 2):  # rows, then columns
            spans, which = boxes[:, 2 * axis - 2:2 * axis].unique(dim=0, return_inverse=True)
            poisoned = frame.repeat(len(spans), 1, 1, 1)
            for picture, (first, beyond) in zip(poisoned, spans.tolist(), strict=True):
                picture.narrow(axis, first, beyond - first).fill_(torch.nan)
            hits = {layer: [] for layer in self.layers}
            with self._watching(lambda layer, outputs, hits=hits: hits[layer].append(outputs.isnan().any(1))):
                for part in poisoned.split(AT_ONCE):
                    encode(part)
            for layer, hit in hits.items():
                hit = torch.cat(hit).any(3 - axis).int()  # (spans, outputs along the axis)
                beyond = hit.shape[1] - hit.flip(1).argmax(1)
                layer.reached.append(torch.stack([hit.argmax(1), beyond], 1)[which])  # (P, 2)

    @torch.no_grad()
    def refer(self, encode, frame):
        with self._watching(lambda layer, outputs: setattr(layer, "reference", outputs)):
            encode(frame[None])

    @contextmanager
    def _watching(self, watch):
        for layer in self.layers:
            layer.watch = watch
        try:
            yield
        finally:
            for layer in self.layers:
                layer.watch = None

    @contextmanager
    def changed(self, chosen):
        for layer in self.layers:
            layer.choose_windows(chosen)
        try:
            yield
        finally:
            for layer in self.layers:
                layer.windows = None
