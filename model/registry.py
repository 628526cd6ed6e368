"""The kinds of models that `--model` offers. Importing this module does not import PyTorch."""

from typing import NamedTuple


class ModelKind(NamedTuple):
    """One kind of model: an image network on each frame, and a head over the frames.

    line: one line for --help. head: the name, in model.heads.HEADS, of a new model's head if none is chosen.
    unnamed_head: the head of a checkpoint that names none, as those of earlier versions. adapt_backbone: the place of a
    function that changes the backbone, as for runtime.declare.load.
    """

    line: str
    head: str = "lstm"
    unnamed_head: str = "lstm"
    adapt_backbone: str = ""


LAYOUTS = ("BTCHW", "BCTHW")  # of clips, for networks of users: batch, time, channels, height, width


def is_own_model(choice: str | None) -> bool:
    """Return whether a value of --model names a function in a file of the user, "FILE.py:FUNCTION"."""
    return choice is not None and ".py:" in choice


MODELS = {
    "cnnlstm": ModelKind("an image network and the head that --head names"),
    "cnnlstm_attn": ModelKind("with input-cell attention before an LSTM (Ismail et al. 2019)", "cell_attention",
                              "cell_attention"),
    "cnnlstm_cbam": ModelKind("with CBAM in a ResNet, needs --finetune (Woo et al. 2018)", "lstm",
                              adapt_backbone="model.cbam:add_cbam"),
}
