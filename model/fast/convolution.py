"""Faster CPU algorithms for two kinds of convolutions.

    Winograd(weight)(inputs)                                  # 3x3 kernels: 4 times fewer multiplications
    StridedGradient(convolution)(output_gradient, (H, W))     # input gradient of a strided first layer: half the time

Both agree up to rounding with PyTorch's convolution and its gradient with respect to the input.
"""

import torch
from torch import nn
from torch.nn import functional

# The matrices B', G and A' of F(4x4, 3x3) in Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
# CVPR 2016, section 4.3.
INPUT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
         [0, 4, 0, -5, 0, 1]]  # fmt: skip
KERNEL = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
          [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]  # fmt: skip
OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
TILE = 4  # outputs along one side of a tile
OVERLAP = 2  # inputs along one side of a tile beyond its outputs: the kernel size minus 1
WINOGRAD_MIN_CHANNELS = 192  # with fewer channels, rearranging the tiles takes as long as it saves
STRIDED_MAX_CHANNELS = 4  # StridedGradient is meant for layers that read images


class Winograd(nn.Module):
    """A convolution with weight (K, C, 3, 3), stride 1, padding 1 and no bias, by Winograd's minimal filtering."""

    def __init__(self, weight: torch.Tensor):
        super().__init__()
        outputs, channels = weight.shape[:2]
        transformed = _on_both_axes(KERNEL, weight) @ weight.permute(2, 3, 1, 0).reshape(9, -1)  # (36, C * K)
        self.register_buffer("weight", transformed.view(-1, channels, outputs), persistent=False)  # (36, C, K)
        self.register_buffer("input", _on_both_axes(INPUT, weight), persistent=False)  # (36, 36)
        self.register_buffer("output", _on_both_axes(OUTPUT, weight), persistent=False)  # (16, 36)

    @staticmethod
    def suits(convolution: nn.Conv2d) -> bool:
        """Return whether this algorithm can compute the convolution and is faster than PyTorch."""
        sizes = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
        channels = min(convolution.in_channels, convolution.out_channels)
        can_compute = sizes == ((3, 3), (1, 1), (1, 1), (1, 1)) and convolution.groups == 1
        return can_compute and channels >= WINOGRAD_MIN_CHANNELS

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs (n, K, H, W), channels last, of inputs (n, C, H, W)."""
        n, channels, height, width = inputs.shape
        rows, columns = -(-height // TILE), -(-width // TILE)  # tiles, rounded up
        margins = (0, 0, 1, 1 + columns * TILE - width, 1, 1 + rows * TILE - height)
        padded = functional.pad(inputs.permute(0, 2, 3, 1), margins)  # (n, 4 * rows + 2, 4 * columns + 2, C)
        tiles = padded.unfold(1, TILE + OVERLAP, TILE).unfold(2, TILE + OVERLAP, TILE)  # (n, rows, columns, C, 6, 6)
        tiles = tiles.permute(0, 1, 2, 4, 5, 3).reshape(n * rows * columns, -1, channels)  # (tiles, 36, C)
        products = torch.bmm((self.input @ tiles).transpose(0, 1), self.weight)  # (36, tiles, K)
        outputs = (self.output @ products.transpose(0, 1)).view(n, rows, columns, TILE, TILE, -1)
        outputs = outputs.transpose(2, 3).reshape(n, rows * TILE, columns * TILE, -1)
        return outputs[:, :height, :width].permute(0, 3, 1, 2)


def _on_both_axes(matrix: list[list[float]], like: torch.Tensor) -> torch.Tensor:
    """Return the matrix that applies `matrix` to both axes of a flattened square, in the type of `like`."""
    matrix = torch.tensor(matrix, dtype=torch.double)
    return torch.kron(matrix, matrix).to(like)


class StridedGradient(nn.Module):
    """The gradient of a convolution with stride s > 1 with respect to its input of few channels C.

    All pixels of an s x s block of the input depend on the same few outputs. One convolution over the output gradient
    therefore computes C * s * s numbers per block, and a pixel shuffle moves them to their places (the sub-pixel
    convolution of Shi et al., CVPR 2016).
    """

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        (kernel, _), (self.stride, _), (padding, _) = convolution.kernel_size, convolution.stride, convolution.padding
        self.before = (kernel - 1 - padding) // self.stride  # outputs before a block that depend on it
        after = (self.stride - 1 + padding) // self.stride
        self.padding = max(self.before, after) + 1
        offsets = torch.arange(-self.before, after + 1)
        taps = torch.arange(self.stride)[:, None] + padding - self.stride * offsets  # (pixel of the block, offset)
        outside = kernel  # the tap of a weight that is zero
        taps = torch.where((taps >= 0) & (taps < kernel), taps, outside)
        weight = functional.pad(convolution.weight, (0, 1, 0, 1))  # (K, C, kernel + 1, kernel + 1)
        weight = weight[:, :, taps][..., taps]  # (K, C, row of the block, offset, column of the block, offset)
        weight = weight.permute(1, 2, 4, 0, 3, 5).flatten(0, 2)  # (C * s * s, K, offset, offset)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last), persistent=False)

    @staticmethod
    def suits(convolution: nn.Conv2d) -> bool:
        """Return whether this algorithm can compute the convolution's gradient and is faster than PyTorch."""
        sizes = (convolution.kernel_size, convolution.stride, convolution.padding)
        square = all(len(set(sides)) == 1 for sides in sizes)
        plain = square and convolution.groups == 1 and convolution.dilation == (1, 1)
        return plain and convolution.stride[0] > 1 and convolution.in_channels <= STRIDED_MAX_CHANNELS

    def forward(self, output_gradient: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Return the gradient with respect to the input (n, C, *size), given that with respect to the output."""
        blocks = functional.conv2d(output_gradient, self.weight, padding=self.padding)  # (n, C * s * s, rows, columns)
        first, (height, width) = self.padding - self.before, size
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        pixels = functional.pixel_shuffle(blocks[..., first:first + rows, first:first + columns], self.stride)
        return pixels[..., :height, :width]
