"""CNN-LSTM: an image network on every frame, an LSTM over the frames, a small classifier on its last state.

Follows pranoyr/cnn-lstm and sakshikakde/interpretability_of_lstm in structure. The two halves are methods of their own,
because everything that saliency gains in speed rests on frames not meeting before the second:

    features = model.encode(clips)        # (B, T, C, H, W) -> (B, T, D)
    scores = model.classify(features)     # (B, T, D) -> (B, classes)
"""

from contextlib import nullcontext

import torch
from torch import nn

from model.backbones import build_backbone


class CNNLSTM(nn.Module):
    """num_classes scores per clip; the other arguments are sizes and names, kept in `config` for the checkpoint."""

    adapt_backbone = None  # a subclass may change the image network: a function of it, see build_backbone

    def __init__(self, num_classes, backbone="resnet18", backbone_weights="none", feature_size=300, hidden_size=256,
                 num_layers=1, classifier_size=128, dropout=0.0):
        super().__init__()
        self.config = {
            "num_classes": num_classes, "backbone": backbone, "feature_size": feature_size, "hidden_size": hidden_size,
            "num_layers": num_layers, "classifier_size": classifier_size, "dropout": dropout,
        }
        self.backbone, self.backbone_size = build_backbone(backbone, backbone_weights, self.adapt_backbone)
        self.projection = nn.Linear(self.backbone_size, feature_size)
        self.lstm = nn.LSTM(feature_size, hidden_size, num_layers, batch_first=True)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(hidden_size, classifier_size), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(classifier_size, num_classes),
        )

    def describe(self, clips):
        """What the image network says of each frame: (B, T, C, H, W) -> (B, T, P)."""
        vectors = self.backbone(clips.flatten(0, 1))  # (B*T, P)
        return vectors.unflatten(0, clips.shape[:2])

    def project(self, vectors):
        """(B, T, P) -> (B, T, D), the first trained layer when the backbone is frozen."""
        return self.projection(vectors)

    def encode(self, clips):
        """Features of each frame, seen by itself: (B, T, C, H, W) -> (B, T, D)."""
        return self.project(self.describe(clips))

    def classify(self, features):
        """Class scores (logits) of sequences of features: (B, T, D) -> (B, classes)."""
        with _differentiable_lstm(self, features):
            states, _ = self.lstm(features)  # (B, T, hidden)
        return self.classifier(states[:, -1])

    def forward(self, clips):
        return self.classify(self.encode(clips))


def _differentiable_lstm(model, features):
    """cuDNN refuses an LSTM's backward in eval mode: use PyTorch's own kernels there."""
    if features.is_cuda and not model.training and torch.is_grad_enabled():
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()
