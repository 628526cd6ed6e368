"""The registry of heads: the parts of models that turn the features of all frames of a clip into one vector.

A head is a module with `output_size` and forward(features (B, T, D), lengths=None) -> (B, output_size). Frames meet in
the head only. Frames at or beyond a clip's length must have no influence. docs/models.md compares the heads, and
docs/architecture.md shows how to add one.

Heads that have a state per frame share the poolings of model/heads/pooling.py.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from model.heads.attention import AttentionHead
from model.heads.bilstm import BiLSTMHead
from model.heads.cell_attention import CellAttentionHead
from model.heads.change import ChangeHead
from model.heads.gru import GRUHead
from model.heads.lstm import LSTMHead
from model.heads.mean import MeanHead
from model.heads.pooling import POOLINGS
from model.heads.tcn import TCNHead
from model.heads.transformer import TransformerHead
from runtime.declare import Option


class HeadEntry(NamedTuple):
    """One head.

    build: the class. line: one line for --help. options: the keyword arguments of the class besides feature_size,
    hidden_size and num_layers. classifier_size: units between the head and the class scores
    in a new model; 0 for a linear classifier, whose scores for one class are evidence against the others. dropout,
    vector_dropout: shares of the classifier's inputs and of the backbone's outputs that the training of a new model
    drops. num_layers: layers of a new model, the default of the class. unnamed: arguments of CNNLSTM for a checkpoint
    that does not name them, where the defaults of a new model have changed since.
    """

    build: type[nn.Module]
    line: str
    options: tuple[Option, ...] = ()
    classifier_size: int = 128
    dropout: float = 0.5
    vector_dropout: float = 0.0
    num_layers: int = 1
    unnamed: Mapping[str, Any] = {}


def pooling_option(default: str) -> Option:
    """Return the option of a head that has states of the frames."""
    return Option("pooling", str, default, "how the states of the frames become one vector: the last, their mean, "
                  "their maximum, or a sum with learned weights", choices=tuple(POOLINGS))


def layer_dropout_option(default: float) -> Option:
    """Return the option of a head whose own layers have dropout."""
    return Option("layer_dropout", float, default, "share of units dropped inside the layers of the head", least=0,
                  most=1)


HEADS = {
    "lstm": HeadEntry(
        LSTMHead, "the states of an LSTM over the changes between frames, or over the features",
        (Option("reads", str, "changes", "what the LSTM reads: the change of the features over two frames, or the "
                "features", choices=("changes", "features")), pooling_option("attention"), layer_dropout_option(0.2)),
        classifier_size=0, dropout=0.0, vector_dropout=0.35,
        unnamed={"reads": "features", "pooling": "last", "layer_dropout": 0.0, "classifier_size": 128}),
    "change": HeadEntry(
        ChangeHead, "changes between frames, a convolution over five frames, a gate over time",
        (Option("change_dropout", float, 0.2, "share of the changes between frames that training drops", least=0,
                most=1),), classifier_size=0, dropout=0.0, vector_dropout=0.35,
    ),
    "bilstm": HeadEntry(BiLSTMHead, "the states of an LSTM that reads in both directions",
                        (pooling_option("last"),)),
    "gru": HeadEntry(GRUHead, "the states of a GRU", (pooling_option("last"),)),
    "cell_attention": HeadEntry(
        CellAttentionHead, "an LSTM that reads summaries of all frames so far",
        (Option("attention_rows", int, 20, "number of summaries per frame", least=1),
         Option("attention_size", int, 50, "units that score the frames of a summary", least=1),
         pooling_option("last")),
    ),
    "attention": HeadEntry(AttentionHead, "a weighted sum of the features of the frames"),
    "transformer": HeadEntry(
        TransformerHead, "a transformer encoder with sinusoidal positions",
        (Option("attention_heads", int, 4, "attention heads per layer, a divisor of --hidden_size", least=1),
         layer_dropout_option(0.1), pooling_option("mean")), num_layers=2,
    ),
    "tcn": HeadEntry(
        TCNHead, "dilated convolutions that read the frame and those before it",
        (layer_dropout_option(0.2), pooling_option("last")), num_layers=4,
    ),
    "mean": HeadEntry(MeanHead, "a small network on each frame, then the mean over time"),
}
