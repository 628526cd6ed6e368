"""CBAM: attention over channels, then over positions, in each residual block of a ResNet.

Woo, Park, Lee and Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, equations 1 to 3.

    model = build_model("cnnlstm_cbam", 2, "resnet18")
    maps = spatial_attention(model, clip)      # (T, C, H, W) -> (T, H', W'), in 0..1
"""

import torch
from torch import nn

from model.contract import as_it_was
from model.vision import models
from runtime.errors import UserError

SPATIAL_SIGMOID = ".cbam.spatial.2"  # the end of the name of the layer that returns a block's spatial attention
INITIAL_SCORE = 3.0  # new attention is sigmoid(3) = 0.95 everywhere, so a pretrained network works almost as before


class CBAM(nn.Module):
    """The attention module: scales each channel, then each position, of feature maps by a number in 0..1.

    channels: of the feature maps. reduction: channels per hidden unit of the channel attention. kernel_size: of the
    convolution of the spatial attention, in pixels of the feature maps.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7):
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False), nn.BatchNorm2d(1), nn.Sigmoid(),
        )
        # The channel attention adds the scores of two poolings, so each gets half of the initial score.
        for layer, bias in ((self.channel[-1], INITIAL_SCORE / 2), (self.spatial[1], INITIAL_SCORE)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the scaled feature maps: (N, C, H, W) -> (N, C, H, W)."""
        scores = self.channel(maps.mean((2, 3))) + self.channel(maps.amax((2, 3)))  # (N, C)
        maps = maps * scores.sigmoid()[:, :, None, None]
        pooled = torch.cat([maps.amax(1, keepdim=True), maps.mean(1, keepdim=True)], 1)  # (N, 2, H, W)
        return maps * self.spatial(pooled)


class AttendedBlock(nn.Module):
    """A residual block of torchvision, of two or three convolutions, with CBAM at the end of its branch.

    Its layers keep their names.
    """

    def __init__(self, block: nn.Module):
        super().__init__()
        for name, layer in block.named_children():
            self.add_module(name, layer)
        self.downsample = block.downsample  # of the input that is added to the branch, or None
        self.convolutions = [number for number in "123" if hasattr(block, f"conv{number}")]
        self.cbam = CBAM(getattr(block, f"bn{self.convolutions[-1]}").num_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = x
        for number in self.convolutions:
            branch = branch if number == "1" else self.relu(branch)
            branch = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(branch))
        return self.relu(self.cbam(branch) + (x if self.downsample is None else self.downsample(x)))


def add_cbam(network: nn.Module) -> nn.Module:
    """Add CBAM to every block of a torchvision ResNet in place and return the network.

    The weights of the ResNet keep their names. Raises ValueError for other networks.
    """
    if not isinstance(network, models.ResNet):
        raise UserError(
           f"CBAM needs the residual blocks of a ResNet, but this backbone is a {type(network).__name__}; choose "
           "--backbone resnet18, resnet34, resnet50 or another resnet"
       )
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for index, block in enumerate(layer):
            layer[index] = AttendedBlock(block)
    return network


def has_attention(model: nn.Module) -> bool:
    """Return whether the model's backbone has CBAM in its blocks."""
    return any(name.endswith(SPATIAL_SIGMOID) for name, _ in model.named_modules())


def spatial_attention(model: nn.Module, clip: torch.Tensor) -> torch.Tensor:
    """Return the spatial attention of the last block for each frame: (T, C, H, W), normalised -> (T, H', W') in 0..1.

    The model runs in eval mode and is left as it was. It may be folded. Raises ValueError if it has no CBAM.
    """
    sigmoids = [module for name, module in model.named_modules() if name.endswith(SPATIAL_SIGMOID)]
    if not sigmoids:
        raise UserError(f"a {type(model).__name__} has no spatial attention; train one with --model cnnlstm_cbam")
    maps = []  # of all blocks, in the order of the forward pass
    hooks = [sigmoid.register_forward_hook(lambda module, inputs, output: maps.append(output[:, 0]))
             for sigmoid in sigmoids]
    try:
        with torch.no_grad(), as_it_was(model, clip.device):
            model.describe(clip[None])
    finally:
        for hook in hooks:
            hook.remove()
    return maps[-1]
