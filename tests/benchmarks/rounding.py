"""How much gradient maps and TSR change when convolutions round their numbers, as TF32 on a GPU does.

    python3 -m tests.benchmarks.rounding                                   # the bundled model
    python3 -m tests.benchmarks.rounding --resume_path snapshots/run/best.pth --bits 8 10

The inputs, weights and output gradients of every convolution are rounded to a number of bits after the leading one:
TF32 has 10, bfloat16 7, float32 23. A row per number has the largest difference of the gradient map, and of TSR of the
features, from those without rounding, relative to their largest value. The last row rounds the pixels of the clip to
256 levels instead, which lie between those of the video.
"""

import argparse
import sys
import warnings

import torch
from torch import nn

import opts
from model.checkpoint import load_model
from saliency.gradient import frame_gradient
from saliency.methods import FEATURE_METHODS, attribute
from saliency.results.averages import format_table
from tests.benchmarks.tsr import walker


def to_bits(tensor: torch.Tensor, bits: int) -> torch.Tensor:
    """Return numbers rounded to `bits` bits after the leading one."""
    mantissa, exponent = torch.frexp(tensor)  # 0.5 <= |mantissa| < 1
    return torch.ldexp((mantissa * 2 ** (bits + 1)).round() / 2 ** (bits + 1), exponent)


class Rounded(torch.autograd.Function):
    """Round a tensor on the way forward, or its gradient on the way back."""

    @staticmethod
    def forward(ctx, tensor, forward_bits, backward_bits):
        ctx.bits = backward_bits
        return to_bits(tensor, forward_bits) if forward_bits else tensor.view_as(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return (to_bits(gradient, ctx.bits) if ctx.bits else gradient), None, None


class RoundedConvolution(nn.Module):
    """A convolution whose products are those of rounded numbers, in both directions."""

    def __init__(self, convolution: nn.Conv2d, bits: int):
        super().__init__()
        self.convolution, self.bits = convolution, bits
        with torch.no_grad():
            convolution.weight.copy_(to_bits(convolution.weight, bits))

    def forward(self, frames):
        return Rounded.apply(self.convolution(Rounded.apply(frames, self.bits, 0)), 0, self.bits)


def round_convolutions(model: nn.Module, bits: int) -> nn.Module:
    """Replace all convolutions of a model by rounded ones, in place; return the model."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            model.set_submodule(name, RoundedConvolution(module, bits))
    return model


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def maps_of(model: nn.Module, clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient (T, C, H, W) and TSR of the features (T, D) of class 0."""
    return frame_gradient(model, clip, 0), attribute(FEATURE_METHODS["tsr"], model, clip, 0).map


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resume_path", default=opts.PRETRAINED)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--size", type=int, default=120)
    parser.add_argument("--bits", type=int, nargs="+", default=[7, 10, 16, 23])
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")  # about the time
    clip = walker(args.frames, args.size, torch.device("cpu"))
    exact, rows = maps_of(load_model(args.resume_path)[0], clip), []
    pixels = (clip - clip.min()) / (clip.max() - clip.min())
    pixels = (pixels * 255).round() / 255 * (clip.max() - clip.min()) + clip.min()
    tries = {f"convolutions, {bits} bits": (round_convolutions(load_model(args.resume_path)[0], bits), clip)
             for bits in args.bits} | {"pixels, to 256 levels": (load_model(args.resume_path)[0], pixels)}
    for name, (model, shown) in tries.items():
        gradient, features = map(relative, maps_of(model, shown), exact)
        rows.append({"rounded": name, "gradient": f"{gradient:.1e}", "TSR of features": f"{features:.1e}"})
    print(format_table(rows, ["rounded", "gradient", "TSR of features"], ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
