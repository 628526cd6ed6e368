"""The kinds of models that `--model` offers. Importing this module does not import PyTorch."""

from typing import NamedTuple

from model.heads import HEADS
from runtime.declare import Option


class ModelKind(NamedTuple):
    """head: a name in model.heads.HEADS. adapt_backbone: the place of a function that changes the image network."""

    head: str
    line: str
    adapt_backbone: str = ""

    @property
    def options(self) -> tuple[Option, ...]:
        return HEADS[self.head].options


MODELS = {
    "cnnlstm": ModelKind("lstm", "an LSTM reads the frames"),
    "cnnlstm_attn": ModelKind("cell_attention", "input-cell attention before the LSTM (Ismail et al. 2019)"),
    "cnnlstm_cbam": ModelKind("lstm", "a ResNet with CBAM before the LSTM, needs --finetune (Woo et al. 2018)",
                              "model.cbam:add_cbam"),
}
DEFAULT_MODEL = "cnnlstm"
