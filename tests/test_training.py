"""Training: resumed runs are those never stopped, chance comes from the seed, and what must not change does not."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from model import training as training_module
from model.batches import epoch_batches
from model.checkpoint import ModelInfo, read_checkpoint
from model.training import best_epoch, evaluate, mean_probabilities
from model.vectors import MirroredClips, Vectors, keep_vectors
from tests.runs import same
from tests.toys import Trainable

CPU = torch.device("cpu")
INFO = ModelInfo("cnnlstm", {}, ["running", "walking"], 32, 6, [0.5] * 3, [0.5] * 3)


def toy():
    """Return a new model."""
    torch.manual_seed(3)
    return Trainable()


def vectors(count=24, uneven=False, seed=5):
    """Return sequences of vectors (T = 3, P = 4) of two classes that a line can tell apart, in two views."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % (4 if uneven else 2) % 2 * (1 - torch.arange(count) % (4 if uneven else 2) // 2)
    content = torch.randn(count, 2, 3, 4, generator=generator)
    content[..., 0] += 4.0 * labels[:, None, None] - 2
    return Vectors(content, labels)


def train(folder, model=None, n_epochs=3, lr_rate=1e-2, seed=0, training=None, validation=True):
    """Train the toy. Return it and the rows of the log."""
    model = model or toy()
    history = training_module.train(
        model, INFO, training or vectors(uneven=True), vectors(8, seed=6) if validation else None, folder,
        finetune=False, n_epochs=n_epochs, batch_size=8, lr_rate=lr_rate, weight_decay=0.0, seed=seed, device=CPU,
    )
    return model, history


def test_more_epochs_later_are_the_same_epochs(tmp_path):
    whole, history = train(tmp_path / "whole", n_epochs=5)
    for n_epochs in (2, 3, 5, 5, 4):  # in the end nothing is left to do
        parts, again = train(tmp_path / "parts", n_epochs=n_epochs)
    assert same(history, again)
    assert same(parts.state_dict(), whole.state_dict())
    assert same(read_checkpoint(tmp_path / "parts" / "best.pth"), read_checkpoint(tmp_path / "whole" / "best.pth"))


def test_a_toy_problem_is_learnt(tmp_path):
    _, history = train(tmp_path, n_epochs=30, lr_rate=0.1)
    assert history[0]["train_loss"] > 0.3 > 0.1 > history[-1]["train_loss"]
    assert history[-1]["train_accuracy"] > 0.9
    assert best_epoch(history)["validation_accuracy"] == 1
    assert best_epoch(history)["validation_loss"] < 0.01
    assert read_checkpoint(tmp_path / "best.pth")["epoch"] == best_epoch(history)["epoch"]
    assert read_checkpoint(tmp_path / "last.pth")["epoch"] == 30


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    _, history = train(tmp_path, validation=False)
    assert list(history[-1]) == ["epoch", "train_loss", "train_accuracy", "train_balanced_accuracy"]
    assert read_checkpoint(tmp_path / "best.pth")["epoch"] == 3


def test_finetuning_trains_everything(tmp_path):
    clips = SimpleNamespace(labels=[0, 1, 0, 1])
    data = ClipsInMemory(torch.randn(4, 3, 4, 5, 5), clips.labels)
    model, before = toy(), toy().state_dict()
    training_module.train(model, INFO, MirroredClips(data), data, tmp_path, finetune=True, n_epochs=1, batch_size=2,
                          lr_rate=1e-2, weight_decay=0.0, seed=0, device=CPU)
    assert not [name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])]


class ClipsInMemory(Dataset):
    """Clips (N, T, C, H, W) and their labels."""

    def __init__(self, clips, labels):
        self.clips, self.labels = clips, labels

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return self.clips[index], self.labels[index]


def test_kept_vectors_are_those_of_the_backbone():
    data, model = ClipsInMemory(torch.randn(3, 2, 4, 5, 5), [0, 1, 1]), toy().eval()
    model.backbone.running_mean.normal_()
    kept = keep_vectors(model, data, CPU, mirrored=True)
    assert kept.vectors.shape == (3, 2, 2, 4)
    torch.testing.assert_close(kept.vectors[:, 0], model.describe(data.clips))
    torch.testing.assert_close(kept.vectors[:, 1], model.describe(data.clips.flip(-1)))
    assert keep_vectors(model, data, CPU).vectors.shape == (3, 1, 2, 4)
    views = set()
    for epoch in range(20):
        kept.draw(torch.Generator().manual_seed(epoch))
        views.add(tuple(kept.view.tolist()))
        assert torch.equal(kept[1][0], kept.vectors[1, kept.view[1]])
    assert len(views) == 8


def test_clips_are_mirrored_left_to_right_half_of_the_time():
    data = ClipsInMemory(torch.randn(200, 1, 1, 2, 3), [0] * 200)
    mirrored = MirroredClips(data)
    mirrored.draw(torch.Generator().manual_seed(0))
    assert 70 < sum(mirrored.mirrored) < 130
    for index in range(200):
        expected = data.clips[index].flip(-1) if mirrored.mirrored[index] else data.clips[index]
        assert torch.equal(mirrored[index][0], expected)


def test_even_classes_are_each_seen_once_and_uneven_ones_equally_often():
    even = Vectors(torch.arange(40.0).view(40, 1, 1, 1), torch.arange(40) % 2)
    for epoch in (1, 2):
        seen = torch.cat([inputs.flatten() for inputs, _ in epoch_batches(even, 8, 0, epoch)])
        assert sorted(seen.tolist()) == list(range(40))
        assert seen.tolist() != list(range(40))
    uneven = Vectors(torch.zeros(2000, 1, 1, 1), (torch.arange(2000) % 10 == 0).long())
    labels = torch.cat([labels for _, labels in epoch_batches(uneven, 100, 0, 1)])
    assert len(labels) == 2000
    assert 900 < labels.sum() < 1100  # 5 standard deviations about 1000


def test_evaluation_by_hand():
    scores = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [0.0, math.log(9)], [0.0, math.log(9)]])
    loader = DataLoader(ClipsInMemory(scores, [0, 1, 1, 0]), 3)
    loss, confusion = evaluate(lambda inputs: inputs, loader, CPU, 2)
    losses = [math.log(2), math.log(4), -math.log(0.9), math.log(10)]
    assert loss == pytest.approx(sum(losses) / 4, rel=1e-6)
    assert confusion.tolist() == [[1, 1], [1, 1]]  # of equal scores the first counts
    probabilities = mean_probabilities(lambda inputs: inputs, loader, CPU)
    assert probabilities.tolist() == pytest.approx([(1 / 2 + 3 / 4 + 2 / 10) / 4, (1 / 2 + 1 / 4 + 18 / 10) / 4])


def test_best_epoch():
    rows = [{"epoch": k, "validation_balanced_accuracy": accuracy, "validation_accuracy": 1 - accuracy,
             "validation_loss": loss}
            for k, (accuracy, loss) in enumerate([(0.5, 0.1), (0.9, 0.7), (0.9, 0.4), (0.9, 0.4), (0.8, 0.0)])]
    assert best_epoch(rows)["epoch"] == 2
    assert best_epoch([{"epoch": 1}, {"epoch": 2}])["epoch"] == 2


def test_divergence_stops_the_run_and_keeps_what_was_good(tmp_path):
    train(tmp_path, n_epochs=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broken = vectors(uneven=True)
    broken.vectors[:] = math.inf
    with pytest.raises(ValueError, match=r"training diverged \(loss nan.*lower --lr_rate"):
        train(tmp_path, n_epochs=8, training=broken)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("change", [
    {"classes": ["walking", "running"]}, {"state_dict": {}}, {"optimizer": None}, {"history": [3]},
])
def test_last_pth_of_another_run_is_refused(tmp_path, change):
    train(tmp_path, n_epochs=1)
    content = read_checkpoint(tmp_path / "last.pth") | change
    torch.save({name: value for name, value in content.items() if value is not None}, tmp_path / "last.pth")
    with pytest.raises(ValueError, match=r"last.pth belongs to another run"):
        train(tmp_path)


def test_finetuning_saves_the_statistics_of_the_averaged_weights(tmp_path):
    """Batch norm after a layer that is trained: mean and variance are those that the saved weights have."""
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), torch.randn(6, 3)
    batches = [[data[:3], torch.zeros(3)], [data[3:], torch.zeros(3)]]
    model(data)  # as training does, with other weights
    with torch.no_grad():
        model[0].weight += 1
    training_module.estimate_statistics(model, batches, CPU, 6, 3)
    outputs = model[0](data).detach().view(2, 3, 4)
    torch.testing.assert_close(model[1].running_mean, outputs.mean((0, 1)))
    torch.testing.assert_close(model[1].running_var, outputs.var(1).mean(0))
    assert not model.training and model[1].momentum == 0.1
    clips = ClipsInMemory(torch.randn(8, 3, 4, 5, 5), [0, 1] * 4)
    trained = toy()
    training_module.train(trained, INFO, MirroredClips(clips), None, tmp_path, finetune=True, n_epochs=2, batch_size=4,
                          lr_rate=1e-2, weight_decay=0.0, seed=0, device=CPU)
    torch.testing.assert_close(trained.backbone.running_mean, clips.clips.mean((0, 1, 3, 4)))
