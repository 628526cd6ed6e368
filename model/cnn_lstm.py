"""CNN-LSTM: an image network on every frame, a head over the frames, a small classifier.

Follows pranoyr/cnn-lstm and sakshikakde/interpretability_of_lstm in structure. Saliency is fast because frames do not
meet before the head:

    features = model.encode(clips)        # (B, T, C, H, W) -> (B, T, D)
    scores = model.classify(features)     # (B, T, D) -> (B, classes)

The model follows the contract in model/contract.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from model.backbones import build_backbone
from model.cbam import add_cbam
from model.checks import check_clips
from model.heads import HEADS
from runtime.errors import UserError


class ModelKind(NamedTuple):
    """One kind of model: an image network on each frame, and a head over the frames.

    line: one line for --help. head: the name, in model.heads.HEADS, of a new model's head if none is chosen.
    unnamed_head: the head of a checkpoint that names none. adapt_backbone: a function that changes the backbone.
    """

    line: str
    head: str = "lstm"
    unnamed_head: str = "lstm"
    adapt_backbone: Callable[[nn.Module], nn.Module] | None = None


MODELS = {
    "cnnlstm": ModelKind("an image network and the head that --head names"),
    "cnnlstm_attn": ModelKind("with input-cell attention before an LSTM (Ismail et al. 2019)", "cell_attention",
                              "cell_attention"),
    "cnnlstm_cbam": ModelKind("with CBAM in a ResNet, needs --finetune (Woo et al. 2018)", adapt_backbone=add_cbam),
}


class CNNLSTM(nn.Module):
    """A classifier of clips.

    num_classes: scores per clip. backbone, backbone_weights, adapt_backbone: see model.backbones.build_backbone.
    head: a name in model.heads.HEADS, with its own options in `head_options`. classifier_size: units between the head
    and the class scores, 0 for a linear classifier. num_layers: of the head. None for either of the two is the head's
    default. The other arguments are sizes. All that a checkpoint needs to build the model again is in `config`.
    """

    frames_independent = True
    checked_by_fitted = True  # tests check the models of this project for what model.contract.fitted checks

    def __init__(self, num_classes: int, backbone: str = "resnet18", backbone_weights: str = "none", *,
                 head: str = "lstm", adapt_backbone: Callable | None = None, feature_size: int = 300,
                 hidden_size: int = 256, num_layers: int | None = None, classifier_size: int | None = None,
                 dropout: float = 0.0, vector_dropout: float = 0.0, **head_options):
        super().__init__()
        classifier_size = HEADS[head].classifier_size if classifier_size is None else classifier_size
        num_layers = HEADS[head].num_layers if num_layers is None else num_layers
        options = {option.name: option.default for option in HEADS[head].options} | head_options
        self.config = {
            "num_classes": num_classes, "backbone": backbone, "feature_size": feature_size, "hidden_size": hidden_size,
            "num_layers": num_layers, "classifier_size": classifier_size, "dropout": dropout, "head": head,
            "vector_dropout": vector_dropout, **options,
        }
        self.backbone, self.backbone_size = build_backbone(backbone, backbone_weights, adapt_backbone)
        self.vector_dropout = nn.Dropout1d(vector_dropout) if vector_dropout else nn.Identity()
        self.projection = nn.Linear(self.backbone_size, feature_size)
        self.head = HEADS[head].build(feature_size, hidden_size, num_layers, **options)
        self.classifier = build_classifier(self.head.output_size, classifier_size, num_classes, dropout)

    def describe(self, clips: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the backbone's vector of each frame: (B, T, C, H, W) -> (B, T, P).

        lengths (B,): the number of frames of each clip, T if None. The backbone does not read later frames, so that
        batch norm does not count them; their vectors are 0.
        """
        check_clips(clips)
        if lengths is None:
            vectors = self.backbone(clips.flatten(0, 1))  # (B*T, P)
            return vectors.unflatten(0, clips.shape[:2])
        true = torch.arange(clips.shape[1], device=clips.device) < lengths[:, None]  # (B, T)
        vectors = self.backbone(clips[true])  # (N, P), N true frames of all clips
        padded = vectors.new_zeros(*true.shape, vectors.shape[1])
        padded[true] = vectors
        return padded

    def project(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the features of vectors: (B, T, P) -> (B, T, D). This is the first layer that is always trained.

        Training drops the same numbers of the vectors in all frames of a clip, so that what is dropped does not look
        like a change between frames (Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent
        Neural Networks", NeurIPS 2016).
        """
        kept = self.vector_dropout(vectors.transpose(1, 2)).transpose(1, 2)  # (B, T, P)
        return self.projection(kept)

    def encode(self, clips: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the features of each frame, seen by itself: (B, T, C, H, W) -> (B, T, D). lengths: see `describe`."""
        return self.project(self.describe(clips, lengths))

    def classify(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return class scores (logits) of sequences of features: (B, T, D) -> (B, classes).

        lengths (B,): the number of frames of each clip, T if None. Later frames have no influence.
        """
        return self.classifier(self.head(features, lengths))

    def forward(self, clips: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return class scores of clips: (B, T, C, H, W) -> (B, classes). lengths (B,): see `describe`."""
        return self.classify(self.encode(clips, lengths), lengths)

    def head_modules(self) -> list[tuple[str, nn.Module]]:
        """Return the parts after the backbone, from the top down.

        The parts of the head count singly, unless it has parameters that lie in none of its parts.
        """
        if list(self.head.parameters(recurse=False)):
            inside = [("head", self.head)]
        else:
            inside = list(self.head.named_children())[::-1]
        return [("classifier", self.classifier), *inside, ("projection", self.projection)]

    def backbone_modules(self) -> list[tuple[str, nn.Module]]:
        """Return the parts of the backbone."""
        return [("backbone", self.backbone)]


def choose_head(kind: str, head: str | None) -> str:
    """Return the head of a new model: `head`, or that of its kind if it is None. UserError if they contradict."""
    if kind == "cnnlstm_attn" and head not in (None, MODELS[kind].head):
        raise UserError(f"--head {head} was given, but --model {kind} has the head {MODELS[kind].head}; leave one of "
                        "them out")
    return head or MODELS[kind].head


class CentredLinear(nn.Linear):
    """A linear layer whose outputs have the mean 0, so that evidence for one class is evidence against the others."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        scores = super().forward(states)
        return scores - scores.mean(-1, keepdim=True)


def build_classifier(size: int, hidden: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Return the layers from the head's output (B, size) to class scores, with `hidden` units between them, if any."""
    if not hidden:
        return nn.Sequential(nn.Dropout(dropout), CentredLinear(size, num_classes))
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout),
                         nn.Linear(hidden, num_classes))


def build_model(kind: str, num_classes: int, backbone: str = "resnet18", backbone_weights: str = "none",
                head: str | None = None, **sizes) -> CNNLSTM:
    """Build a model of a kind in MODELS; `sizes` are further arguments of CNNLSTM.

    head: by default that of a checkpoint which names none. ValueError if there is no such head.
    """
    entry = MODELS[kind]
    if head not in (None, *HEADS):
        raise UserError(f"unknown head {head!r}; known are: {', '.join(HEADS)}")
    return CNNLSTM(num_classes, backbone, backbone_weights, head=head or entry.unnamed_head,
                   adapt_backbone=entry.adapt_backbone, **sizes)
