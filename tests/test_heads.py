"""What holds for every head with every pooling: lengths, gradients, TSR, sanity checks, checkpoints, training."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from model.checkpoint import ModelInfo, load_model, save_checkpoint
from model.cnn_lstm import CNNLSTM
from model.contract import check_parts, frames_are_independent
from model.heads import HEADS
from saliency.fills import background
from saliency.gradient import feature_gradient, frame_gradient, head_gradient
from saliency.patches import patch_boxes
from saliency.sanity import random_head_models, randomise
from saliency.tsr import feature_rescaling, temporal_saliency_rescaling
from saliency.tsr.algorithm import magnitude
from saliency.tsr.literal import LiteralRelevance
from tests.toys import HEAD_CASES, SMALL, with_head

every_case = pytest.mark.parametrize(("head", "options"), HEAD_CASES)
every_head = pytest.mark.parametrize("head", HEADS)


@every_case
def test_a_clip_padded_to_twice_its_length_has_the_same_scores(head, options):
    torch.manual_seed(0)
    model = CNNLSTM(3, "squeezenet1_1", head=head, **SMALL, **options).eval()
    features = torch.randn(2, 6, 6)
    padded = torch.cat([features, 50 * torch.randn(2, 6, 6)], 1).requires_grad_(True)
    scores = model.classify(padded, torch.tensor([6, 6]))
    torch.testing.assert_close(scores, model.classify(features), rtol=0, atol=1e-5)
    gradient, = torch.autograd.grad(scores[:, 0].sum(), padded)
    assert not gradient[:, 6:].any() and gradient[:, :6].any()


@every_case
def test_gradients_are_finite_and_reach_every_weight(head, options):
    """DistributedDataParallel fails at weights that have no gradient."""
    model, clip = with_head(head, **options)
    assert frames_are_independent(model, clip)
    for gradient in (frame_gradient(model, clip, 1), feature_gradient(model, clip, 1)):
        assert gradient.isfinite().all() and gradient.any()
    cross_entropy(model.train()(clip[None]), torch.tensor([1])).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@every_case
def test_tsr_equals_the_literal_loop(head, options):
    model, clip = with_head(head, **options)
    result = temporal_saliency_rescaling(model, clip, 1, patch=9, tolerance=0)
    literal, fill = LiteralRelevance(clip, magnitude(model, clip, 1)), background(clip)
    whole = torch.tensor([0, 17, 0, 17]).expand(6, 4)
    time_delta, _ = literal.changes(torch.arange(6), whole, fill)
    torch.testing.assert_close(result.time_delta, time_delta, rtol=0, atol=1e-9 * time_delta.max().item())
    boxes, _ = patch_boxes(17, 17, 9)
    chosen = result.important.nonzero()[:, 0]
    patch_delta, _ = literal.changes(chosen.repeat_interleave(4), boxes.repeat(len(chosen), 1), fill)
    assert len(chosen) and patch_delta.any()
    torch.testing.assert_close(result.patch_delta[chosen].flatten(), patch_delta, rtol=0,
                               atol=1e-9 * patch_delta.max().item())


@every_case
def test_tsr_of_features_equals_a_loop(head, options):
    model, clip = with_head(head, **options)
    features = model.encode(clip[None])[0].detach()
    filling, before = background(features), head_gradient(model, features[None], 1)[0].abs()

    def delta(t, masked):
        changed = features.clone()
        changed[t, masked] = filling[masked]
        return (head_gradient(model, changed[None], 1)[0].abs() - before).abs().sum()

    result = feature_rescaling(model, features, 1)
    expected = torch.stack([delta(t, slice(None)) for t in range(6)])
    torch.testing.assert_close(result.time_delta, expected, rtol=0, atol=1e-9 * expected.max().item())
    for t in result.important.nonzero()[:, 0].tolist():
        expected = torch.stack([delta(t, d) for d in range(6)])
        torch.testing.assert_close(result.feature_delta[t], expected, rtol=0, atol=1e-9 * expected.max().item())


def trained(model):
    """Change every weight a little, so that none has a value that a reset gives, and return the model."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 + 0.1 * torch.rand_like(weight))
    return model


def randomised_names(model):
    """Return the names of the parameters that change when the head is randomised."""
    other = copy.deepcopy(model)
    randomise([part for _, part in other.head_modules()], seed=3)
    return {name for (name, old), new in zip(model.named_parameters(), other.parameters(), strict=True)
            if not (old == new).any()}


@every_case
def test_a_random_head_is_random_in_every_weight_after_the_backbone(head, options):
    """Not a single number of any weight stays, and all numbers of the backbone do."""
    model, clip = with_head(head, **options)
    check_parts(trained(model))
    after = {name for name, _ in model.named_parameters() if not name.startswith("backbone.")}
    assert randomised_names(model) == after
    assert {name.split(".")[0] for name in after} == {"classifier", "head", "projection"}
    for other in random_head_models(model, draws=2):
        kept = [name for name, weight in other.named_parameters()
                if name in after and (weight == model.get_parameter(name)).any()]
        assert kept == []
        torch.testing.assert_close(other.describe(clip[None]), model.describe(clip[None]).detach())


@pytest.mark.parametrize(("kind", "head"), [("cnnlstm", "lstm"), ("cnnlstm_attn", "cell_attention")])
def test_a_checkpoint_from_before_there_were_poolings_has_the_last_state(tmp_path, kind, head):
    torch.manual_seed(0)
    plain = HEADS[head].unnamed
    model = CNNLSTM(2, "squeezenet1_1", head=head, num_layers=1, **(SMALL | plain)).eval()
    config = {name: value for name, value in model.config.items() if name not in ("pooling", "head", *plain)}
    save_checkpoint(tmp_path / "old.pth", model, ModelInfo(kind, config, ["a", "b"], 32, 6, [0.5] * 3, [0.5] * 3))
    again, _ = load_model(tmp_path / "old.pth")
    assert again.config == model.config and again.config["pooling"] == "last"
    features = torch.randn(2, 5, 6)
    assert again.classify(features).equal(model.classify(features))


@pytest.mark.parametrize(("change", "complaint"), [
    ({"pooling": "median"}, "unknown pooling 'median'; known are: last, mean, max, attention"),
    ({"attention_heads": 3}, "must be a multiple of the number of attention"), ({"layer_dropout": 7.0}, "dropout"),
])
def test_a_checkpoint_with_an_impossible_option_is_refused(tmp_path, change, complaint):
    model = CNNLSTM(2, "squeezenet1_1", head="transformer", **SMALL)
    info = ModelInfo("cnnlstm", model.config | change, ["a", "b"], 32, 6, [0.5] * 3, [0.5] * 3)
    save_checkpoint(tmp_path / "bad.pth", model, info)
    with pytest.raises(ValueError, match=complaint):
        load_model(tmp_path / "bad.pth")
