"""CBAM: attention over channels, then over places, on the branch of each residual block of a ResNet.

Woo, Park, Lee and Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, equations 1 to 3.

    model = CNNLSTMCBAM(2, "resnet18")
    picture = spatial_attention(model, clip)      # (T, C, H, W) -> (T, H', W'), in 0..1
"""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from model.cnn_lstm import CNNLSTM

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


class AttendedBasicBlock(BasicBlock):
    """torchvision's block of two convolutions, its branch followed by CBAM."""

    def forward(self, x):
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(self.cbam(branch) + (x if self.downsample is None else self.downsample(x)))


class AttendedBottleneck(Bottleneck):
    """torchvision's block of three convolutions, its branch followed by CBAM."""

    def forward(self, x):
        branch = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        branch = self.bn3(self.conv3(branch))
        return self.relu(self.cbam(branch) + (x if self.downsample is None else self.downsample(x)))


ATTENDED = {BasicBlock: AttendedBasicBlock, Bottleneck: AttendedBottleneck}


def add_cbam(network):
    """Put CBAM into every block of a torchvision ResNet, in place, and return it. ValueError for other networks.

    The blocks stay and change their class, so that weights keep their names.
    """
    if not isinstance(network, ResNet):
        raise ValueError(
            f"CBAM sits in the residual blocks of a ResNet, this backbone is a {type(network).__name__}; choose "
            "--backbone resnet18, resnet34, resnet50 or another resnet"
        )
    for block in (*network.layer1, *network.layer2, *network.layer3, *network.layer4):
        block.cbam = CBAM((block.bn3 if isinstance(block, Bottleneck) else block.bn2).num_features)
        block.__class__ = ATTENDED[type(block)]
    return network


class CNNLSTMCBAM(CNNLSTM):
    """A CNNLSTM whose image network, a ResNet, has CBAM in its residual blocks.

    The attention is part of the backbone, and is trained only where the backbone is.
    """

    adapt_backbone = staticmethod(add_cbam)


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
