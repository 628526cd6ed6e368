"""Clips of different lengths in one batch: each is read as if it were alone."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from data.clips import Clip
from data.training_clips import ClipDataset
from model import training as training_module
from model.batches import epoch_batches, mixes_lengths, own_loader, padded_batch
from model.checkpoint import ModelInfo, read_checkpoint
from model.cnn_lstm import CNNLSTM
from model.heads import HEADS
from model.training import evaluate, mean_probabilities, train_epoch
from model.vectors import AfterBackbone, MirroredClips, keep_vectors
from runtime import processes
from tests.forks import forked, forks
from tests.runs import same
from tests.tiny_data import numbered, write_clip
from tests.toys import Trainable

CPU = torch.device("cpu")
LENGTHS, LABELS = [3, 5, 1, 5], [0, 1, 1, 0]


class Mixed(Dataset):
    """Clips (L, 3, 32, 32) of different lengths, in memory."""

    true_lengths, labels = LENGTHS, LABELS

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.clips = [torch.randn(length, 3, 32, 32, generator=generator) for length in LENGTHS]

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return self.clips[index], self.labels[index]


def model_with(head, backbone="squeezenet1_1", **options):
    """Return a model whose scores depend on all frames."""
    torch.manual_seed(1)
    model = CNNLSTM(2, backbone, head=head, feature_size=6, hidden_size=8, classifier_size=0, **options).eval()
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and not name.startswith("backbone."):
            nn.init.uniform_(weight, -0.5, 0.5)
    return model


def test_a_batch_is_padded_with_zeros_and_tells_the_lengths():
    inputs, lengths, labels = padded_batch([(torch.ones(2, 3), 1), (torch.full((3, 3), 2.0), 0)], 4)
    assert inputs[..., 0].tolist() == [[1, 1, 0, 0], [2, 2, 2, 0]]
    assert lengths.tolist() == [2, 3] and labels.tolist() == [1, 0]


def test_only_data_sets_that_mix_lengths_have_padded_batches():
    data = Mixed()
    assert mixes_lengths(data) and not mixes_lengths([1, 2])
    assert [len(batch) for batch in own_loader(data, 2)] == [3, 3]
    mirrored = MirroredClips(data)
    for inputs, lengths, labels in epoch_batches(mirrored, 4, 0, 1):
        assert sorted(zip(lengths.tolist(), labels.tolist(), strict=True)) == sorted(zip(LENGTHS, LABELS, strict=True))
        assert not any(row[length:].any() for row, length in zip(inputs, lengths, strict=True))
    data.true_lengths = [5, 5, 5, 5]
    assert len(next(iter(own_loader(data, 1)))) == 2


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("finetune", [True, False])
def test_scores_and_losses_are_those_of_each_clip_alone(head, finetune):
    model, data = model_with(head), Mixed()
    with torch.no_grad():
        alone = torch.cat([model(clip[None]) for clip in data.clips])
    assert alone.std(0).min() > 1e-3
    expected = cross_entropy(alone, torch.tensor(LABELS)).item()
    forward = model if finetune else AfterBackbone(model)
    inputs = data if finetune else keep_vectors(model, data, CPU)
    loss, confusion = evaluate(forward, own_loader(inputs, 3), CPU, 2)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert confusion.sum(1).tolist() == [2, 2]
    probabilities = mean_probabilities(forward, own_loader(inputs, 3), CPU)
    torch.testing.assert_close(probabilities, alone.softmax(1).mean(0), rtol=1e-4, atol=1e-5)
    standing = torch.optim.SGD(model.parameters(), lr=0.0)
    batches = DataLoader(inputs, 4, collate_fn=partial(padded_batch, longest=5))
    loss, _ = train_epoch(forward, list(model.parameters()), batches, standing, CPU, 2)
    assert loss == pytest.approx(expected, abs=1e-5)


def test_gradients_of_weights_are_those_of_each_clip_alone():
    model, data = model_with("lstm").double(), Mixed()
    clips = [clip.double() for clip in data.clips]
    weights = list(model.parameters())
    alone = torch.cat([model(clip[None]) for clip in clips])
    expected = torch.autograd.grad(cross_entropy(alone, torch.tensor(LABELS)), weights)
    inputs, lengths, labels = padded_batch(list(zip(clips, LABELS, strict=True)), 7)
    found = torch.autograd.grad(cross_entropy(model(inputs, lengths), labels), weights)
    assert all(gradient.any() for gradient in expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_batch_norm_sees_the_true_frames_only():
    """In training: its statistics are those of the 14 true frames, whatever stands in the padding."""
    model, data = model_with("lstm", "resnet18").train(), Mixed()
    norm = model.backbone.get_submodule("bn1")
    seen = []
    norm.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    inputs, lengths, _ = padded_batch([data[index] for index in range(4)], 6)
    inputs[0, 4] = 1e6
    vectors = model.describe(inputs, lengths)
    assert len(seen[0]) == sum(LENGTHS)
    torch.testing.assert_close(norm.running_mean, 0.1 * seen[0].mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    assert not vectors[0, 3:].any() and vectors[0, :3].any()


def train(folder, model, data, n_epochs=2, finetune=True):
    info = ModelInfo("cnnlstm", {}, ["running", "walking"], 32, 5, [0.5] * 3, [0.5] * 3)
    training = MirroredClips(data) if finetune else keep_vectors(model, data, CPU, mirrored=True)
    return training_module.train(model, info, training, data if finetune else training, folder, finetune=finetune,
                                 n_epochs=n_epochs, batch_size=3, lr_rate=1e-3, weight_decay=0.0, seed=0, device=CPU)


@pytest.mark.parametrize("finetune", [True, False])
def test_a_run_with_mixed_lengths_goes_on_as_if_it_had_never_stopped(tmp_path, finetune):
    for name, epochs in (("whole", [3]), ("parts", [1, 3])):
        for n_epochs in epochs:
            train(tmp_path / name, model_with("lstm"), Mixed(), n_epochs, finetune)
    whole, parts = (read_checkpoint(tmp_path / name / "last.pth") for name in ("whole", "parts"))
    assert same(whole, parts)


@forks
def test_two_processes_train_to_the_weights_of_one(tmp_path):
    """With dropout before and in the head, and with a share whose clips are all of full length."""
    def run(folder):
        train(tmp_path / folder, model_with("lstm", vector_dropout=0.3), Mixed(), finetune=False)

    def together():
        with processes.together():
            run("two")

    codes, printed = forked(tmp_path / "log", together)
    assert codes == [0, 0], printed
    run("one")
    one, two = (read_checkpoint(tmp_path / name / "last.pth") for name in ("one", "two"))
    del one["state_dict"]["projection.bias"]  # the scores do not depend on it, so its gradient is rounding
    for name, weight in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], weight, atol=1e-5, rtol=0)


def test_a_model_that_reads_the_padding_is_not_trained(tmp_path):
    with pytest.raises(ValueError, match="Trainable: steps at or beyond `lengths` change its scores"):
        torch.manual_seed(0)
        data = Mixed()
        data.clips = [nn.functional.pad(clip[..., :4, :4], (0, 0, 0, 0, 0, 1)) for clip in data.clips]
        train(tmp_path, Trainable(), data)
    assert not list(tmp_path.iterdir())


def test_clips_on_disk_tell_their_true_lengths(tmp_path):
    for length in (2, 4, 6):
        write_clip(tmp_path / str(length), numbered(length), n_frames=length != 4)
    clips = [Clip(str(length), "walking", "training", tmp_path / str(length)) for length in (2, 4, 6)]
    for duration, lengths in ((4, [2, 4, 4]), (None, [2, 4, 6])):
        dataset = ClipDataset(clips, ["walking"], 8, duration, torch.from_numpy)
        assert dataset.true_lengths == lengths == [len(dataset[index][0]) for index in range(3)]
