"""The arithmetic of single convolutions on a CPU, where PyTorch's own takes more of it than is needed.

    Winograd(weight)(pictures)                        # 3x3 kernels, 4 times fewer multiplications
    Phases(convolution)(slopes, (H, W))               # of a first layer with stride, in half the time

Both equal the plain convolution and its gradient with respect to the pictures up to rounding.
"""

import torch
from torch import nn
from torch.nn import functional

# Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(4x4, 3x3), section 4.3.
INPUT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
         [0, 4, 0, -5, 0, 1]]  # fmt: skip
KERNEL = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
          [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]  # fmt: skip
OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
TILE, OVERLAP = 4, 2  # outputs along a side of a tile, and how many more inputs they need
MANY_CHANNELS = 192  # below, moving the tiles takes as long as the multiplications that are spared
FEW_CHANNELS = 4


class Winograd(nn.Module):
    """A 3x3 convolution with stride 1 and padding 1, by minimal filtering of 4x4 tiles; weight (K, C, 3, 3)."""

    def __init__(self, weight):
        super().__init__()
        outputs, channels = weight.shape[:2]
        taps = _both_axes(KERNEL, weight) @ weight.permute(2, 3, 1, 0).reshape(9, -1)
        self.register_buffer("weight", taps.view(-1, channels, outputs), persistent=False)  # (36, C, K)
        self.register_buffer("input", _both_axes(INPUT, weight), persistent=False)
        self.register_buffer("output", _both_axes(OUTPUT, weight), persistent=False)

    @staticmethod
    def suits(convolution):
        sizes = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
        channels = min(convolution.in_channels, convolution.out_channels)
        return sizes == ((3, 3), (1, 1), (1, 1), (1, 1)) and convolution.groups == 1 and channels >= MANY_CHANNELS

    def forward(self, pictures):
        """(n, C, H, W) -> (n, K, H, W), channels last."""
        n, channels, height, width = pictures.shape
        rows, columns = -(-height // TILE), -(-width // TILE)
        margins = (0, 0, 1, 1 + columns * TILE - width, 1, 1 + rows * TILE - height)
        padded = functional.pad(pictures.permute(0, 2, 3, 1), margins)
        tiles = padded.unfold(1, TILE + OVERLAP, TILE).unfold(2, TILE + OVERLAP, TILE)  # (n, rows, columns, C, 6, 6)
        tiles = tiles.permute(0, 1, 2, 4, 5, 3).reshape(n * rows * columns, -1, channels)
        products = torch.bmm((self.input @ tiles).transpose(0, 1), self.weight)  # (36, tiles, K)
        found = (self.output @ products.transpose(0, 1)).view(n, rows, columns, TILE, TILE, -1)
        found = found.transpose(2, 3).reshape(n, rows * TILE, columns * TILE, -1)
        return found[:, :height, :width].permute(0, 3, 1, 2)


def _both_axes(matrix, like):
    """What a matrix does along both axes of a square, as one matrix."""
    matrix = torch.tensor(matrix, dtype=torch.double)
    return torch.kron(matrix, matrix).to(like)


class Phases(nn.Module):
    """The gradient of a convolution of stride s > 1 from few channels, as the first of an image network.

    Every s x s block of pixels gets its gradient from the same slopes, so one convolution with C * s * s outputs gives
    it (the sub-pixel convolution of Shi et al., CVPR 2016).
    """

    def __init__(self, convolution):
        super().__init__()
        (kernel, _), (self.stride, _), (padding, _) = convolution.kernel_size, convolution.stride, convolution.padding
        self.before, after = (kernel - 1 - padding) // self.stride, (self.stride - 1 + padding) // self.stride
        self.padding = max(self.before, after) + 1
        offsets = torch.arange(-self.before, after + 1)
        taps = torch.arange(self.stride)[:, None] + padding - self.stride * offsets  # (phase, offset)
        taps = torch.where((taps >= 0) & (taps < kernel), taps, -1)
        weight = functional.pad(convolution.weight, (0, 1, 0, 1))  # zero at tap -1
        weight = weight[:, :, taps][..., taps]  # (K, C, phase, offset, phase, offset)
        weight = weight.permute(1, 2, 4, 0, 3, 5).flatten(0, 2)  # (C * s * s, K, offset, offset)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last), persistent=False)

    @staticmethod
    def suits(convolution):
        sizes = (convolution.kernel_size, convolution.stride, convolution.padding)
        square = all(len(set(sides)) == 1 for sides in sizes)
        plain = square and convolution.groups == 1 and convolution.dilation == (1, 1)
        return plain and convolution.stride[0] > 1 and convolution.in_channels <= FEW_CHANNELS

    def forward(self, slopes, size):
        """Slopes (n, K, h, w) -> (n, C, H, W)."""
        blocks = functional.conv2d(slopes, self.weight, padding=self.padding)
        first, (height, width) = self.padding - self.before, size
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        pixels = functional.pixel_shuffle(blocks[..., first:first + rows, first:first + columns], self.stride)
        return pixels[..., :height, :width]
