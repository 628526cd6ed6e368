"""The heads of this project, computed by rules (rules.py). With the usual rules, the scores are those of the model.

Each function takes the rules, the module and a signal of features (N, T, D), and returns the signal of the vector
(N, H). The heads are those in RULED_HEADS, with every pooling.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import linear

from model.cnn_lstm import CNNLSTM
from model.heads.lstm import changes
from model.heads.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling
from runtime.errors import UserError
from saliency.propagation.rules import Pair, Rules

Signal = torch.Tensor | Pair


def class_scores_by(rules: Rules, model: CNNLSTM, features: Signal) -> Signal:
    """Return the class scores (N, classes) of features (N, T, D), as model.classify does. The model is in eval mode."""
    return layers(rules, model.classifier, HEADS_BY_RULES[model.config["head"]](rules, model.head, features))


def layers(rules: Rules, network: nn.Sequential, signal: Signal) -> Signal:
    """Return the output of linear layers and functions of one number."""
    names = {nn.ReLU: "relu", nn.Tanh: "tanh"}
    for layer in network:
        if type(layer) in names:
            signal = rules.bend(names[type(layer)], signal)
        elif not isinstance(layer, nn.Dropout):  # which does nothing in eval mode
            signal = rules.linear(layer, signal)
    return signal


def pool(rules: Rules, pooling: nn.Module, states: Signal) -> Signal:
    """Return the pooled states: (N, T, H) -> (N, H)."""
    if isinstance(pooling, LastPooling):
        return rules.arrange(lambda z: z[:, -1], states)
    if isinstance(pooling, MeanPooling):
        return rules.linear(lambda z: z.mean(1), states)
    if isinstance(pooling, MaxPooling):
        return rules.largest(states)
    assert isinstance(pooling, AttentionPooling)
    return weighted_sum(rules, layers(rules, pooling.score, states), states)


def weighted_sum(rules: Rules, scores: Signal, states: Signal) -> Signal:
    """Return the sum of states (N, T, H) with the softmax over time of scores (N, T, 1) as weights, (N, H)."""
    weighted = rules.product(torch.mul, rules.softmax(scores, 1), states)
    return rules.linear(lambda z: z.sum(1), weighted)


def change(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    states = features
    for number, convolution in enumerate(head.convolutions):
        first = changes if number == 0 else torch.clone

        def convolved(frames, convolution=convolution, first=first):
            return convolution(first(frames).transpose(1, 2)).transpose(1, 2)

        states = rules.bend("relu", rules.linear(convolved, states))  # (N, T, H)
    return weighted_sum(rules, layers(rules, head.gate, states), states)


def mean(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    return pool(rules, head.pooling, layers(rules, head.layers, features))


def attention(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    return pool(rules, head.pooling, features)


def lstm(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    inputs = rules.arrange(changes, features) if head.reads_changes else features
    return pool(rules, head.pooling, recurrent(rules, head.lstm, inputs, lstm_step))


def gru(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    return pool(rules, head.pooling, recurrent(rules, head.gru, features, gru_step))


def bilstm(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    states = recurrent(rules, head.lstm, features, lstm_step)  # (N, T, 2 H)
    if not head.only_last:
        return pool(rules, head.pooling, states)
    half = head.lstm.hidden_size
    return rules.arrange(lambda z: torch.cat([z[:, -1, :half], z[:, 0, half:]], 1), states)


def cell_attention(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    scores = layers(rules, head.attention.score, features)  # (N, T, rows), of each input
    steps = features[0].shape[1] if isinstance(features, Pair) else features.shape[1]
    scores = rules.arrange(lambda z: z.transpose(1, 2)[:, None].expand(-1, steps, -1, -1), scores)  # (N, T, rows, T)
    past = torch.ones(steps, steps, device=head.lstm.weight_ih_l0.device, dtype=head.lstm.weight_ih_l0.dtype).tril()
    weights = rules.arrange(lambda z: z.flatten(1, 2), rules.softmax(scores, -1, past[:, None]))  # (N, T * rows, T)
    summaries = rules.product(torch.matmul, weights, features)  # (N, T * rows, D)
    summaries = rules.arrange(lambda z: z.unflatten(1, (steps, -1)).flatten(2), summaries)  # (N, T, rows * D)
    return pool(rules, head.pooling, recurrent(rules, head.lstm, summaries, lstm_step))


def tcn(rules: Rules, head: nn.Module, features: Signal) -> Signal:
    states = rules.arrange(lambda z: z.transpose(1, 2), features)  # (N, D, T)
    for block in head.blocks:
        found = states
        for convolution in block.convolutions:
            found = rules.bend("relu", rules.linear(convolution, found))
        states = rules.bend("relu", rules.linear(lambda z, before, block=block: z + block.residual(before), found,
                                                 states))
    return pool(rules, head.pooling, rules.arrange(lambda z: z.transpose(1, 2), states))


def recurrent(rules: Rules, network: nn.RNNBase, signal: Signal, step: Callable) -> Signal:
    """Return the states of the top layer of an LSTM or a GRU, (N, T, H), or (N, T, 2 H) in both directions."""
    for layer in range(network.num_layers):
        directions = [one_direction(rules, network, signal, step, f"l{layer}")]
        if network.bidirectional:
            flipped = rules.arrange(lambda z: z.flip(1), signal)
            backwards = one_direction(rules, network, flipped, step, f"l{layer}_reverse")
            directions.append(rules.arrange(lambda z: z.flip(1), backwards))
        signal = joined(directions, 2)
    return signal


def one_direction(rules: Rules, network: nn.RNNBase, signal: Signal, step: Callable, name: str) -> Signal:
    """Return the states (N, T, H) of a layer that reads the signal (N, T, D) from its first frame on."""
    w_ih, w_hh, b_ih, b_hh = (
        getattr(network, f"{kind}_{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    read = rules.arrange(lambda z: linear(z, w_ih, b_ih), signal)  # (N, T, gates * H)
    state = [rules.zeros(signal, network.hidden_size)] * 2  # the output, and the cell of an LSTM
    outputs = []
    for t in range(signal[0].shape[1] if isinstance(signal, Pair) else signal.shape[1]):
        inputs = rules.arrange(lambda z, t=t: z[:, t], read)
        state = step(rules, inputs, state, w_hh, b_hh)
        outputs.append(rules.arrange(lambda z: z[:, None], state[0]))
    return joined(outputs, 1)


def lstm_step(rules: Rules, inputs: Signal, state: list, w_hh: torch.Tensor, b_hh: torch.Tensor) -> list:
    """Return the next output and cell (N, H) of an LSTM. inputs (N, 4 H): what the gates read from the frame."""
    before, cell = state
    sums = rules.linear(lambda z, h: z + linear(h, w_hh, b_hh), inputs, before)
    entry, keep, candidate, exit_ = parts(rules, sums, 4)
    entry, keep, exit_ = (rules.bend("sigmoid", gate) for gate in (entry, keep, exit_))
    cell = rules.linear(torch.add, rules.product(torch.mul, keep, cell),
                        rules.product(torch.mul, entry, rules.bend("tanh", candidate)))
    return [rules.product(torch.mul, exit_, rules.bend("tanh", cell)), cell]


def gru_step(rules: Rules, inputs: Signal, state: list, w_hh: torch.Tensor, b_hh: torch.Tensor) -> list:
    """Return the next output (N, H) of a GRU, twice. inputs (N, 3 H): what the gates read from the frame."""
    before = state[0]
    from_state = rules.arrange(lambda h: linear(h, w_hh, b_hh), before)  # (N, 3 H)
    (reset, update, fresh), (reset_h, update_h, fresh_h) = parts(rules, inputs, 3), parts(rules, from_state, 3)
    reset, update = (rules.bend("sigmoid", rules.linear(torch.add, *both))
                     for both in ((reset, reset_h), (update, update_h)))
    candidate = rules.bend("tanh", rules.linear(torch.add, fresh, rules.product(torch.mul, reset, fresh_h)))
    renew = rules.arrange(lambda z: 1 - z, update)
    output = rules.linear(torch.add, rules.product(torch.mul, renew, candidate),
                          rules.product(torch.mul, update, before))
    return [output, output]


def parts(rules: Rules, signal: Signal, count: int) -> list[Signal]:
    """Return the numbers (N, count * H) of a signal in `count` equal parts (N, H)."""
    return [rules.arrange(lambda z, number=number: z.chunk(count, 1)[number], signal) for number in range(count)]


def joined(signals: list[Signal], dim: int) -> Signal:
    """Return several signals as one, put together along a dimension."""
    if isinstance(signals[0], Pair):
        return Pair(*(torch.cat(each, dim) for each in zip(*signals, strict=True)))
    return torch.cat(signals, dim)


HEADS_BY_RULES = {"change": change, "lstm": lstm, "bilstm": bilstm, "gru": gru, "cell_attention": cell_attention,
                  "attention": attention, "tcn": tcn, "mean": mean}
RULED_HEADS = tuple(HEADS_BY_RULES)


def check_head(model: nn.Module) -> None:
    """Raise ValueError unless the model is a CNN-LSTM of this project with one of the heads that have rules."""
    config = getattr(model, "config", None)
    head = config.get("head") if isinstance(config, dict) else None
    if head not in RULED_HEADS:
        found = f"the head {head}" if head else f"the head of {type(model).__name__}"
        raise UserError(f"the rules of LRP and DeepLIFT are not defined for {found}; they are for the heads "
                        f"{', '.join(RULED_HEADS)}")
