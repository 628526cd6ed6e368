"""The registry of heads: the parts of models that turn the features of all frames of a clip into one vector.

A head is a module with `output_size` and forward(features (B, T, D), lengths=None) -> (B, output_size). Frames meet in
the head only. Frames at or beyond a clip's length must have no influence. docs/architecture.md shows how to add a head.
"""

from typing import NamedTuple

from runtime.declare import Option


class HeadEntry(NamedTuple):
    """One head.

    place: of the class, as for runtime.declare.load. line: one line for --help. options: the keyword arguments of the
    class besides feature_size, hidden_size and num_layers. classifier_size: units between the head and the class scores
    in a new model; 0 for a linear classifier, whose scores for one class are evidence against the others. dropout,
    vector_dropout: shares of the classifier's inputs and of the backbone's outputs that the training of a new model
    drops.
    """

    place: str
    line: str
    options: tuple[Option, ...] = ()
    classifier_size: int = 128
    dropout: float = 0.5
    vector_dropout: float = 0.0


HEADS = {
    "change": HeadEntry(
        "model.heads.change:ChangeHead", "changes between frames, a convolution over five frames, a gate over time",
        (Option("change_dropout", float, 0.2, "share of the changes between frames that training drops", least=0,
                most=1),), classifier_size=0, dropout=0.0, vector_dropout=0.35,
    ),
    "lstm": HeadEntry("model.heads.lstm:LSTMHead", "the state of an LSTM after the last frame"),
    "cell_attention": HeadEntry(
        "model.heads.cell_attention:CellAttentionHead", "an LSTM that reads summaries of all frames so far",
        (Option("attention_rows", int, 20, "number of summaries per frame", least=1),
         Option("attention_size", int, 50, "units that score the frames of a summary", least=1)),
    ),
}
