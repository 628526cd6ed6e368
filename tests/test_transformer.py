"""model/heads/transformer.py: positions, masks, and what training drops."""

import math

import pytest
import torch

from model.heads.transformer import TransformerHead, sinusoids


def head(**options):
    torch.manual_seed(0)
    return TransformerHead(6, 8, **options).double().eval()


def features(length=7):
    return torch.randn(2, length, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("size", [6, 7])
def test_positions_by_hand(size):
    found = sinusoids(3, size)
    assert found.shape == (3, size)
    for t in range(3):
        for i in range(size):
            angle = t / 10000 ** ((i - i % 2) / size)
            assert found[t, i].item() == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle))


def test_the_order_of_the_frames_matters():
    layer, x = head(), features()
    assert not torch.allclose(layer(x), layer(x.flip(1)), atol=1e-3)


@pytest.mark.parametrize(("size", "heads"), [(10, 4), (8, 0), (8, -2), (8, 16)])
def test_sizes_that_do_not_fit(size, heads):
    with pytest.raises(ValueError, match=rf"--hidden_size {size} and --attention_heads {heads}; the size must be"):
        TransformerHead(6, size, attention_heads=heads)


def test_one_layer_equals_its_equations():
    """Layer norm, attention of each frame over the true frames, a residual; layer norm, two layers, a residual."""
    layer, x, length = head(num_layers=1, attention_heads=2, pooling="last"), features()[:1], 5
    (block,) = layer.encoder.layers
    states = layer.embedding(x[0, :length]) + sinusoids(length, 8)
    query, key, value = (block.norm1(states) @ block.self_attn.in_proj_weight.T + block.self_attn.in_proj_bias).chunk(
        3, 1)
    parts = [(query[:, part] @ key[:, part].T / 2).softmax(1) @ value[:, part] for part in (slice(4), slice(4, 8))]
    states = states + block.self_attn.out_proj(torch.cat(parts, 1))
    states = states + block.linear2(block.linear1(block.norm2(states)).relu())
    torch.testing.assert_close(layer(x, torch.tensor([length]))[0], layer.encoder.norm(states)[-1])
