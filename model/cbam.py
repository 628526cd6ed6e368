"""CBAM: attention over channels, then over places, on the branch of each residual block of a ResNet.

Woo, Park, Lee and Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, equations 1 to 3.

    model = build_model("cnnlstm_cbam", 2, "resnet18")
    picture = spatial_attention(model, clip)      # (T, C, H, W) -> (T, H', W'), in 0..1
"""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

GATE = ".cbam.spatial.2"  # the sigmoid of a block's spatial attention, by the end of its name
OPEN = 3.0  # a new gate lets sigmoid(3) = 95 % of anything through: weights trained without it keep their meaning


class CBAM(nn.Module):
    """(N, C, H, W) -> the same shape, each channel and then each place scaled by a number in 0..1."""

    def __init__(self, channels, reduction=16, kernel_size=7):
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False), nn.BatchNorm2d(1), nn.Sigmoid(),
        )
        for layer, bias in ((self.channel[-1], OPEN / 2), (self.spatial[1], OPEN)):  # the first is added twice
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)

    def forward(self, maps):
        scores = self.channel(maps.mean((2, 3))) + self.channel(maps.amax((2, 3)))  # (N, C)
        maps = maps * scores.sigmoid()[:, :, None, None]
        return maps * self.spatial(torch.cat([maps.amax(1, keepdim=True), maps.mean(1, keepdim=True)], 1))


class _AttendedBlock(nn.Module):
    """A residual block of torchvision with CBAM on its branch. It takes over the block's layers, with their names."""

    last_norm = "bn2"

    def __init__(self, block: nn.Module):
        super().__init__()
        for name, layer in block.named_children():
            self.add_module(name, layer)
        if block.downsample is None:
            self.downsample = None
        self.cbam = CBAM(getattr(block, self.last_norm).num_features)

    def shortcut(self, x):
        return x if self.downsample is None else self.downsample(x)


class AttendedBasicBlock(_AttendedBlock):
    """torchvision's block of two convolutions, with CBAM on its branch."""

    def forward(self, x):
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(self.cbam(branch) + self.shortcut(x))


class AttendedBottleneck(_AttendedBlock):
    """torchvision's block of three convolutions, with CBAM on its branch."""

    last_norm = "bn3"

    def forward(self, x):
        branch = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        branch = self.bn3(self.conv3(branch))
        return self.relu(self.cbam(branch) + self.shortcut(x))


ATTENDED = {BasicBlock: AttendedBasicBlock, Bottleneck: AttendedBottleneck}


def add_cbam(network: nn.Module) -> nn.Module:
    """Put CBAM into every block of a torchvision ResNet, in place, and return the network.

    The weights keep their names. ValueError for other networks.
    """
    if not isinstance(network, ResNet):
        raise ValueError(
            f"CBAM sits in the residual blocks of a ResNet, but this backbone is a {type(network).__name__}; choose "
            "--backbone resnet18, resnet34, resnet50 or another resnet"
        )
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for place, block in enumerate(layer):
            layer[place] = ATTENDED[type(block)](block)
    return network


def has_attention(model: nn.Module) -> bool:
    """Return whether the model's image network has CBAM in its blocks."""
    return any(name.endswith(GATE) for name, _ in model.named_modules())


def spatial_attention(model, clip):
    """Where the last block looks: the spatial attention of its CBAM for each frame of a normalised clip.

    clip (T, C, H, W) -> (T, H', W') in 0..1, in eval mode. The model, folded or not, is left as it was. ValueError
    without CBAM.
    """
    gates = [module for name, module in model.named_modules() if name.endswith(GATE)]
    if not gates:
        raise ValueError(f"a {type(model).__name__} has no spatial attention; train one with --model cnnlstm_cbam")
    modes = [(module, module.training) for module in model.modules()]
    maps = []
    hooks = [gate.register_forward_hook(lambda module, inputs, output: maps.append(output[:, 0])) for gate in gates]
    try:
        with torch.no_grad():
            model.eval().describe(clip[None])
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return maps[-1]
