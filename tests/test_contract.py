"""The sequence-model contract: what breaks it fails loudly, and what follows it may look otherwise than a CNNLSTM."""

import pytest
import torch
from torch import nn

from model.cnn_lstm import CNNLSTM, build_model
from model.contract import SequenceModel, check_lengths, check_parts, frames_are_independent
from model.heads import HEADS
from saliency.sanity import check
from saliency.tsr import temporal_saliency_rescaling
from tests.toys import SMALL, Gru, Linear, MeanOfBackbone, example


class Bare(nn.Module):
    """A model with `encode`, `classify` and the statement, and nothing else."""

    frames_independent = True

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.Tanh(), nn.Conv2d(4, 6, 3), nn.Flatten())
        self.gru, self.scores = nn.GRU(24, 8, batch_first=True), nn.Linear(8, 2)

    def encode(self, clips):
        return self.backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])

    def classify(self, features):
        return self.scores(self.gru(features)[0][:, -1])


class Mixing(Linear):
    """A model that states that its frames are independent, and lets each see the mean of all."""

    frames_independent = True

    def encode(self, clips):
        return (clips + clips.mean(1, keepdim=True)).flatten(2)

    def head_modules(self):
        return [("all", self)]

    def backbone_modules(self):
        return []


class MixingInTime(Mixing):
    """An encoder whose features depend on the frames before, and not on those after."""

    def encode(self, clips):
        return clips.cumsum(1).flatten(2)


def parts(model, head=(), backbone=()):
    """Let a model list other parts than it has."""
    model.head_modules = lambda: [(name, model.get_submodule(name)) for name in head]
    model.backbone_modules = lambda: [(name, model.get_submodule(name)) for name in backbone]
    return model


@pytest.mark.parametrize(("kind", "head"), [*(("cnnlstm", head) for head in HEADS), ("cnnlstm_cbam", None)])
def test_models_of_the_project_follow_the_contract(kind, head):
    model = build_model(kind, 2, "resnet18", head=head, **SMALL).eval()
    assert isinstance(model, SequenceModel)
    check_parts(model)
    assert frames_are_independent(model, torch.randn(3, 3, 32, 32))
    assert frames_are_independent(model, torch.randn(1, 3, 32, 32))


def test_encode_classify_and_the_statement_are_enough_to_be_fast():
    """Without the lists of modules, and without a forward of its own; the lists serve the sanity checks alone."""
    model, clip = Bare(), torch.randn(3, 3, 12, 12)
    assert not isinstance(model, SequenceModel) and frames_are_independent(model, clip)
    exact = temporal_saliency_rescaling(model, clip, 0, patch=6, tolerance=0)
    rough = temporal_saliency_rescaling(model, clip, 0, patch=6)
    model.frames_independent = False
    with pytest.warns(UserWarning, match="Bare states frames_independent = False .*, so TSR takes up to 7 maps"):
        literal = temporal_saliency_rescaling(model, clip, 0, patch=6)
    torch.testing.assert_close(exact.tsr, literal.tsr, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(rough.tsr, literal.tsr, rtol=1e-2, atol=1e-2)
    assert exact.passes and literal.passes is None
    with pytest.raises(ValueError, match="Bare has no head_modules and no backbone_modules, which name"):
        check(model, [example()], ["gradient"], draws=1)


def test_a_part_that_is_left_out_fails_the_sanity_check():
    """Which would keep its trained weights while the check claims to have randomised all of them."""
    forgetful = parts(Gru(), ["classifier"], ["backbone"])
    with pytest.raises(ValueError, match=r"Gru: 4 parameters are in neither head_modules\(\) and backbone_modules\(\) "
                                         r"\(first: gru\.weight_ih_l0\)"):
        check(forgetful, [example()], ["gradient"], draws=1)
    own = MeanOfBackbone()
    own.scale = nn.Parameter(torch.ones(1))  # of the model itself, in none of its modules
    with pytest.raises(ValueError, match=r"1 parameters are in neither .* \(first: scale\)"):
        check(own, [example()], ["gradient"], draws=1)


@pytest.mark.parametrize("model", [Mixing(), MixingInTime()])
@pytest.mark.parametrize("value", [-2.0, 0.0, 0.5, 1.0, None])
def test_frames_that_meet_in_the_encoder_are_found_even_where_all_frames_are_equal(model, value):
    """With frames of one value, and of noise that is the same in all frames."""
    torch.manual_seed(0)
    frame = torch.randn(3, 5, 5) if value is None else torch.full((3, 5, 5), value)
    clip = frame.expand(3, -1, -1, -1).double()
    with pytest.raises(ValueError, match="states frames_independent = True, but a frame's features change"):
        frames_are_independent(model, clip)
    with pytest.raises(ValueError, match="set it to False"):
        temporal_saliency_rescaling(model, clip, 0)
    with pytest.raises(ValueError, match="set it to False"):
        frames_are_independent(model, clip[:1])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layers", [2])
def test_steps_beyond_the_length_of_a_clip_have_no_influence(head, layers):
    """Not in the last digit, and not on the gradient."""
    torch.manual_seed(0)
    model = CNNLSTM(3, "squeezenet1_1", head=head, num_layers=layers, **SMALL).double().eval()
    features, lengths = torch.randn(4, 6, 6, dtype=torch.double), torch.tensor([1, 3, 5, 6])
    scores = model.classify(features, lengths)
    beyond = torch.arange(6)[None] >= lengths[:, None]  # (B, T)
    other = torch.where(beyond[..., None], 1e6 * torch.randn_like(features), features)
    assert model.classify(other, lengths).equal(scores)
    for row, length in enumerate(lengths.tolist()):
        alone = model.classify(features[row:row + 1, :length])[0]
        torch.testing.assert_close(scores[row], alone, rtol=1e-12, atol=1e-14)
    other.requires_grad_(True)
    gradient = torch.autograd.grad(model.classify(other, lengths).sum(), other)[0].abs().sum(2)  # (B, T)
    assert not gradient[beyond].any() and gradient[~beyond].any()
    whole = model.classify(features, torch.full((4,), 6))
    torch.testing.assert_close(model.classify(features), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("head", HEADS)
def test_heads_that_read_what_follows_a_clip_are_found(head):
    torch.manual_seed(0)
    model, features = CNNLSTM(2, "squeezenet1_1", head=head, **SMALL | {"classifier_size": 0}).eval(), torch.randn(4, 6)
    check_lengths(model, features)
    check_lengths(model, features[:1])
    model.classify = lambda features, lengths=None: model.classifier(model.head(features))
    with pytest.raises(ValueError, match="CNNLSTM: steps at or beyond `lengths` change its scores"):
        check_lengths(model, features)
