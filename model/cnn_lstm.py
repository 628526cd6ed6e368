"""CNN-LSTM: an image network on every frame, a head over the frames, a small classifier.

Follows pranoyr/cnn-lstm and sakshikakde/interpretability_of_lstm in structure. Saliency is fast because frames do not
meet before the head:

    features = model.encode(clips)        # (B, T, C, H, W) -> (B, T, D)
    scores = model.classify(features)     # (B, T, D) -> (B, classes)

The model follows the contract in model/contract.py.
"""

from collections.abc import Callable

import torch
from torch import nn

from model.backbones import build_backbone
from model.heads import HEADS
from model.registry import MODELS
from runtime.declare import load


class CNNLSTM(nn.Module):
    """A classifier of clips.

    num_classes: scores per clip. backbone, backbone_weights, adapt_backbone: see model.backbones.build_backbone.
    head: a name in model.heads.HEADS, with its own options in `head_options`. The other arguments are sizes. All that
    a checkpoint needs to build the model again is in `config`.
    """

    frames_independent = True

    def __init__(self, num_classes: int, backbone: str = "resnet18", backbone_weights: str = "none", *,
                 head: str = "lstm", adapt_backbone: Callable | None = None, feature_size: int = 300,
                 hidden_size: int = 256, num_layers: int = 1, classifier_size: int = 128, dropout: float = 0.0,
                 **head_options):
        super().__init__()
        options = {option.name: option.default for option in HEADS[head].options} | head_options
        self.config = {
            "num_classes": num_classes, "backbone": backbone, "feature_size": feature_size, "hidden_size": hidden_size,
            "num_layers": num_layers, "classifier_size": classifier_size, "dropout": dropout, **options,
        }
        self.backbone, self.backbone_size = build_backbone(backbone, backbone_weights, adapt_backbone)
        self.projection = nn.Linear(self.backbone_size, feature_size)
        self.head = load(HEADS[head].place)(feature_size, hidden_size, num_layers, **options)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.head.output_size, classifier_size), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(classifier_size, num_classes),
        )

    def describe(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the backbone's vector of each frame: (B, T, C, H, W) -> (B, T, P)."""
        vectors = self.backbone(clips.flatten(0, 1))  # (B*T, P)
        return vectors.unflatten(0, clips.shape[:2])

    def project(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the features of vectors: (B, T, P) -> (B, T, D). This is the first layer that is always trained."""
        return self.projection(vectors)

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the features of each frame, seen by itself: (B, T, C, H, W) -> (B, T, D)."""
        return self.project(self.describe(clips))

    def classify(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return class scores (logits) of sequences of features: (B, T, D) -> (B, classes).

        lengths (B,): the number of frames of each clip, T if None. Later steps have no influence.
        """
        return self.classifier(self.head(features, lengths))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.classify(self.encode(clips))

    def head_modules(self) -> list[tuple[str, nn.Module]]:
        """Return the parts after the backbone, from the top down."""
        inside = list(self.head.named_children())[::-1]
        return [("classifier", self.classifier), *inside, ("projection", self.projection)]

    def backbone_modules(self) -> list[tuple[str, nn.Module]]:
        return [("backbone", self.backbone)]


def build_model(kind: str, num_classes: int, backbone: str = "resnet18", backbone_weights: str = "none",
                **sizes) -> CNNLSTM:
    """Build a new model of a kind in model.registry.MODELS; `sizes` are further arguments of CNNLSTM."""
    entry = MODELS[kind]
    adapt = load(entry.adapt_backbone) if entry.adapt_backbone else None
    return CNNLSTM(num_classes, backbone, backbone_weights, head=entry.head, adapt_backbone=adapt, **sizes)
