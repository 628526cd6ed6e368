"""The registry of heads: what a model does with the features of a clip's frames.

A head is a module with `output_size` and forward(features (B, T, D), lengths=None) -> (B, output_size). Frames meet in
the head only. Steps at or beyond a clip's length must have no influence. docs/architecture.md shows how to add one.
"""

from typing import NamedTuple

from runtime.declare import Option


class HeadEntry(NamedTuple):
    """place: the class; line: one line for --help; options: its keyword arguments beyond the sizes of an LSTM."""

    place: str
    line: str
    options: tuple[Option, ...] = ()


HEADS = {
    "lstm": HeadEntry("model.heads.lstm:LSTMHead", "the state of an LSTM after the last frame"),
    "cell_attention": HeadEntry(
        "model.heads.cell_attention:CellAttentionHead", "an LSTM that reads summaries of all frames so far",
        (Option("attention_rows", int, 20, "number of summaries per step", least=1),
         Option("attention_size", int, 50, "units that score the frames of a summary", least=1)),
    ),
}
