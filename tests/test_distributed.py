"""Two processes train to the same weights as one process.

torchrun itself is started once, which takes seconds; elsewhere its variables are set in forked processes.
"""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.ops import StochasticDepth

from model import distributed
from model.batches import padded_batch
from model.checkpoint import read_checkpoint
from model.cnn_lstm import CNNLSTM
from model.heads import HEADS
from model.vectors import AfterBackbone
from runtime import processes
from tests.forks import forked, forks
from tests.runs import ROOT, run_command, train_options
from tests.toys import SMALL


def test_torchrun_goes_on_from_one_process_to_the_same_weights(data_set, tmp_path):
    """With dropout, and a last batch smaller than the others; the first epoch is one process's."""
    def options(folder, epochs):
        return list(map(str, train_options(data_set, tmp_path / folder, "--batch_size", 3, "--n_epochs", epochs)))

    run_command("main", *options("one", 2))
    run_command("main", *options("two", 1))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "main.py"]
    ended = subprocess.run([*torchrun, *options("two", 2)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("training: 8 clips") == ended.stdout.count("best epoch") - 1 == 1
    one, two = (read_checkpoint(tmp_path / name / "last.pth") for name in ("one", "two"))
    assert one["state_dict"].keys() == two["state_dict"].keys()
    for name, weight in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], weight, atol=1e-5, rtol=0)
    assert [list(row) for row in one["history"]] == [list(row) for row in two["history"]]
    for before, now in zip(one["history"], two["history"], strict=True):
        assert now == pytest.approx(before, abs=1e-5)


class Turn(nn.Module):
    """Exchange channels and columns, so that the order in memory is not that of the dimensions."""

    def forward(self, maps):
        return maps.transpose(1, 3)


def steps():
    """Loss, gradients and statistics of three batches, the second of fewer clips than there are processes."""
    torch.manual_seed(0)
    model = nn.Sequential(  # clips (B, 2, 2, 5, 5)
        nn.Flatten(0, 1), nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), StochasticDepth(0.5, "row"), nn.Dropout(0.5),
        Turn(), nn.Dropout(0.5), Turn(), nn.ReLU(), nn.Flatten(), nn.Unflatten(0, (-1, 2)), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(72, 2),
    ).double()
    clips, labels = torch.randn(5, 2, 2, 5, 5).double(), torch.tensor([0, 1, 1, 0, 1])
    forward, found = distributed.share_batches(model.train(), list(model.parameters())), []
    for total in (5, 1, 4):
        torch.manual_seed(total)
        counts, rows = distributed.begin_batch(total), distributed.share(total)
        model.zero_grad()
        scores = forward(clips[rows])
        loss = cross_entropy(scores, labels[rows]) * counts * len(scores) / total
        loss.backward()
        found += [sum(processes.gather(loss.detach())) / processes.world(),
                  *(weight.grad.clone() for weight in model.parameters()), *(item.clone() for item in model.buffers())]
    return found


def head_steps(head):
    """Return the gradients of two batches of vectors (5, 4, 512) in training, with dropout, for a head."""
    torch.manual_seed(0)
    dropout = {"dropout": 0.5, "vector_dropout": 0.3}
    model = CNNLSTM(2, "squeezenet1_1", head=head, **SMALL, **dropout).double().train()
    vectors, labels = torch.randn(5, 4, 512).double(), torch.tensor([0, 1, 1, 0, 1])
    parameters = [weight for name, weight in model.named_parameters() if not name.startswith("backbone.")]
    forward, found = distributed.share_batches(AfterBackbone(model), parameters), []
    for total in (5, 4):  # unused weights would make the second batch fail
        torch.manual_seed(total)
        counts, rows = distributed.begin_batch(total), distributed.share(total)
        model.zero_grad()
        scores = forward(vectors[rows])
        (cross_entropy(scores, labels[rows]) * counts * len(scores) / total).backward()
        trained = [(name, weight.grad) for name, weight in model.named_parameters() if weight.grad is not None]
        assert len(trained) == len(parameters)
        found.append({name: gradient.clone() for name, gradient in trained})
    return found


@forks
def test_every_head_trains_on_two_processes_as_on_one(tmp_path):
    def together():
        with processes.together():
            torch.save({head: head_steps(head) for head in HEADS}, tmp_path / f"{processes.rank()}.pt")

    codes, printed = forked(tmp_path / "log", together)
    assert codes == [0, 0], printed
    whole = {head: head_steps(head) for head in HEADS}
    for number in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{number}.pt"), whole, rtol=1e-9, atol=1e-12)


class OfTrueFrames(nn.Module):
    """Clips (B, T, 2, 5, 5), of which the backbone reads the true frames only, as that of a CNNLSTM."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), StochasticDepth(0.5, "row"),
                                      nn.Dropout(0.5), nn.ReLU(), nn.Flatten())
        self.dropout, self.norm, self.classifier = nn.Dropout(0.3), nn.BatchNorm1d(36), nn.Linear(36, 2)

    def forward(self, clips, lengths=None):
        true = torch.ones(clips.shape[:2], dtype=torch.bool)
        if lengths is not None:
            true = torch.arange(clips.shape[1]) < lengths[:, None]  # (B, T)
        vectors = clips.new_zeros(*true.shape, 36)
        vectors[true] = self.backbone(clips[true])
        return self.classifier(self.norm(self.dropout(vectors).sum(1)))


def mixed_steps():
    """Return what `steps` returns without losses, for clips of different lengths."""
    torch.manual_seed(0)
    model, lengths = OfTrueFrames().double().train(), torch.tensor([1, 4, 3, 2, 1])
    clips, labels, found = torch.randn(5, 4, 2, 5, 5).double(), torch.tensor([0, 1, 1, 0, 1]), []
    forward = distributed.share_batches(model, list(model.parameters()))
    for order in ([0, 1, 2, 3, 4], [1, 0], [2, 3, 0, 4], [1]):
        torch.manual_seed(len(order))
        counts, rows = distributed.begin_batch(len(order), mixed=True), distributed.share(len(order))
        batch = [(clips[index, :lengths[index]], labels[index]) for index in order[rows]]
        *inputs, own_labels = padded_batch(batch, 4)
        if len(order) == 1:
            forward.eval()  # batch norm needs two rows
        model.zero_grad()
        scores = forward(*inputs)
        (cross_entropy(scores, own_labels) * counts * len(scores) / len(order)).backward()
        found += [*(weight.grad.clone() for weight in model.parameters()), *(item.clone() for item in model.buffers())]
    return found


@forks
@pytest.mark.parametrize("work", [steps, mixed_steps])
def test_batch_norm_and_chance_are_those_of_the_whole_batch(tmp_path, work):
    def together():
        with processes.together():
            torch.save(work(), tmp_path / f"{processes.rank()}.pt")

    codes, printed = forked(tmp_path / "log", together)
    assert codes == [0, 0], printed
    for number in range(2):
        for mine, whole in zip(torch.load(tmp_path / f"{number}.pt"), work(), strict=True):
            torch.testing.assert_close(mine, whole, rtol=1e-9, atol=1e-12)
