"""Training: resumed runs are those never stopped, chance comes from the seed, and what must not change does not."""

import math
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import main
from data.annotation import read_annotation, write_annotation
from model import training as training_module
from model.checkpoint import ModelInfo, load_model, read_checkpoint
from model.cnn_lstm import build_model
from model.normalisation import normalisation
from model.training import (
    MirroredClips,
    Vectors,
    best_epoch,
    epoch_batches,
    evaluate,
    keep_vectors,
    train_epoch,
)
from tests.conftest import refused, run_command, train_options
from tests.toys import Trainable

CPU = torch.device("cpu")
INFO = ModelInfo("cnnlstm", {}, ["running", "walking"], 32, 6, [0.5] * 3, [0.5] * 3)


def toy():
    torch.manual_seed(3)
    return Trainable()


def vectors(count=24, uneven=False, seed=5):
    """Sequences of vectors (T = 3, P = 4) of two classes that a line can tell apart, in two views."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % (4 if uneven else 2) % 2 * (1 - torch.arange(count) % (4 if uneven else 2) // 2)
    content = torch.randn(count, 2, 3, 4, generator=generator)
    content[..., 0] += 4.0 * labels[:, None, None] - 2
    return Vectors(content, labels)


def train(folder, model=None, n_epochs=3, lr_rate=1e-2, seed=0, training=None, validation=True):
    model = model or toy()
    history = training_module.train(
        model, INFO, training or vectors(uneven=True), vectors(8, seed=6) if validation else None, folder,
        finetune=False, n_epochs=n_epochs, batch_size=8, lr_rate=lr_rate, weight_decay=0.0, seed=seed, device=CPU,
    )
    return model, history


def same(a, b):
    """Whether two values from checkpoints are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def written(folder):
    return {name: (folder / name).read_bytes() for name in ("log.csv", "metrics.json")}


@pytest.mark.parametrize("more", [[], ["--finetune", "--backbone", "shufflenet_v2_x0_5", "--sample_duration", 2]])
def test_a_resumed_run_equals_one_never_stopped(data_set, tmp_path, monkeypatch, more):
    """Killed in the second epoch, then resumed: same log, same weights, same optimizer, bit by bit."""
    run_command("main", *train_options(data_set, tmp_path / "whole", *more))
    epochs = []

    def dies_in_the_second(*args):
        epochs.append(1)
        if len(epochs) == 2:
            list(args[2])  # draws the batches, as an epoch that is under way has
            raise KeyboardInterrupt
        return train_epoch(*args)

    monkeypatch.setattr("model.training.train_epoch", dies_in_the_second)
    options = train_options(data_set, tmp_path / "parts", *more)
    with pytest.raises(SystemExit) as ended:
        run_command("main", *options)
    assert ended.value.code == 130
    assert len(read_checkpoint(tmp_path / "parts" / "last.pth")["history"]) == 1
    run_command("main", *options)
    assert len(epochs) == 3
    assert written(tmp_path / "parts") == written(tmp_path / "whole")
    for name in ("last.pth", "best.pth"):
        assert same(read_checkpoint(tmp_path / "parts" / name), read_checkpoint(tmp_path / "whole" / name))


def test_a_killed_run_has_its_log_and_a_resumed_one_no_gap(data_set, tmp_path, monkeypatch):
    """Dead between last.pth and the log of the second epoch; TensorBoard's log, here a stand-in, has every row once."""
    shown = []

    class Writer:
        def __init__(self, folder):
            shown.clear()

        def add_scalar(self, name, value, epoch):
            shown.append((name, float(value), epoch))

        def flush(self):
            """Nothing is held back."""

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setattr(main, "find_spec", lambda name: True)
    options = train_options(data_set, tmp_path, "--n_epochs", 3, "--tensorboard", "--save_interval", 2)
    write_log = main.write_csv

    def dies(path, rows):
        if path.exists():
            raise KeyboardInterrupt
        write_log(path, rows)

    monkeypatch.setattr(main, "write_csv", dies)
    with pytest.raises(SystemExit):
        run_command("main", *options)
    assert len(read_checkpoint(tmp_path / "last.pth")["history"]) == 2
    assert [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().splitlines()] == ["epoch", "1"]
    assert (tmp_path / "curves.png").is_file() and (tmp_path / "epoch_2.pth").is_file()
    monkeypatch.setattr(main, "write_csv", write_log)
    run_command("main", *options)
    assert [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().splitlines()] == ["epoch", "1", "2", "3"]
    history = read_checkpoint(tmp_path / "last.pth")["history"]
    names = {"train_loss": "loss/train", "train_accuracy": "accuracy/train", "validation_loss": "loss/validation",
             "validation_accuracy": "accuracy/validation"}
    assert shown == [(name, row[key], row["epoch"]) for row in history for key, name in names.items()]
    assert same(load_model(tmp_path / "epoch_2.pth")[1].epoch, 2) and not (tmp_path / "epoch_3.pth").exists()
    run_command("main", *options, "--overwrite", "--n_epochs", 1)
    assert not (tmp_path / "epoch_2.pth").exists()


def test_tensorboard_that_is_not_installed_is_one_line(data_set, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(main, "find_spec", lambda name: None)
    line = refused(capsys, "main", *train_options(data_set, tmp_path, "--tensorboard"))
    assert "TensorBoard is not installed" in line and not list(tmp_path.iterdir())


def test_the_loss_is_printed_every_so_many_batches(capsys):
    model, batches = toy().eval(), DataLoader(vectors(40), 8)

    def forward(inputs):
        return model.classify(model.project(inputs))

    losses = [torch.nn.functional.cross_entropy(forward(inputs), labels).item() for inputs, labels in batches]
    standing = torch.optim.SGD(model.parameters(), lr=0.0)
    train_epoch(forward, list(model.parameters()), batches, standing, CPU, 2, 7)
    assert capsys.readouterr().out == (f"epoch 7, batch 2 of 5: loss {sum(losses[:2]) / 2:.4f}\n"
                                       f"epoch 7, batch 4 of 5: loss {sum(losses[2:4]) / 2:.4f}\n")


def test_flags_of_normalisation_and_sizes_are_in_the_checkpoint(data_set, tmp_path):
    run_command("main", *train_options(data_set, tmp_path, "--n_epochs", 1, "--model", "cnnlstm_attn", "--std_norm",
                                       "--attention_rows", 3, "--attention_size", 5, "--mean_dataset", "kinetics"))
    model, info = load_model(tmp_path / "best.pth")
    assert (info.config["attention_rows"], info.config["attention_size"]) == (3, 5)
    assert model.head.attention.score[0].out_features == 5 and model.head.attention.rows == 3
    assert (info.mean, info.std) == normalisation("kinetics", std_norm=True)


def test_training_starts_from_the_weights_of_another_run(data_set, trained, tmp_path, capsys):
    options = ["--pretrain_path", trained / "best.pth", "--n_epochs", 1, "--lr_rate", 0]
    run_command("main", *train_options(data_set, tmp_path / "same", *options))
    start = read_checkpoint(trained / "best.pth")["state_dict"]
    assert same(read_checkpoint(tmp_path / "same" / "last.pth")["state_dict"], start)
    assert "a new last layer" not in capsys.readouterr().out
    labels, clips = read_annotation(data_set.annotation)
    write_annotation(tmp_path / "three.json", ["flying", *labels], clips)
    run_command("main", *train_options(data_set, tmp_path / "three", "--annotation_path", tmp_path / "three.json",
                                       *options))
    state = read_checkpoint(tmp_path / "three" / "last.pth")["state_dict"]
    assert len(state["classifier.4.weight"]) == 3
    assert same({name: weight for name, weight in state.items() if "classifier.4." not in name},
                {name: weight for name, weight in start.items() if "classifier.4." not in name})
    assert "with a new last layer for other classes" in capsys.readouterr().out


def test_more_epochs_later_are_the_same_epochs(tmp_path):
    whole, history = train(tmp_path / "whole", n_epochs=5)
    for n_epochs in (2, 3, 5, 5, 4):  # in the end nothing is left to do
        parts, again = train(tmp_path / "parts", n_epochs=n_epochs)
    assert same(history, again)
    assert same(parts.state_dict(), whole.state_dict())
    assert same(read_checkpoint(tmp_path / "parts" / "best.pth"), read_checkpoint(tmp_path / "whole" / "best.pth"))


def test_the_seed_decides(tmp_path):
    runs = [train(tmp_path / str(k), seed=seed)[0].state_dict() for k, seed in enumerate((0, 0, 1))]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


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
    assert list(history[-1]) == ["epoch", "train_loss", "train_accuracy"]
    assert read_checkpoint(tmp_path / "best.pth")["epoch"] == 3


def test_a_frozen_backbone_stays_as_it_was(data_set, tmp_path):
    """Weights and the running statistics of its batch norms; everything after it is trained."""
    run_command("main", *train_options(data_set, tmp_path, "--backbone", "shufflenet_v2_x0_5", "--n_epochs", 1))
    torch.manual_seed(0)
    fresh = build_model("cnnlstm", 2, "shufflenet_v2_x0_5", hidden_size=16, dropout=0.5).state_dict()
    trained = read_checkpoint(tmp_path / "last.pth")["state_dict"]
    assert sum("running_mean" in name for name in trained) > 10
    for name, tensor in fresh.items():
        assert torch.equal(tensor, trained[name.removeprefix("head.")]) == name.startswith("backbone."), name


def test_finetuning_trains_everything(tmp_path):
    clips = SimpleNamespace(labels=[0, 1, 0, 1])
    data = ClipsInMemory(torch.randn(4, 3, 4, 5, 5), clips.labels)
    model, before = toy(), toy().state_dict()
    training_module.train(model, INFO, MirroredClips(data), data, tmp_path, finetune=True, n_epochs=1, batch_size=2,
                          lr_rate=1e-2, weight_decay=0.0, seed=0, device=CPU)
    assert not [name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])]


class ClipsInMemory(Dataset):
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


def test_an_epoch_depends_on_seed_and_number_alone():
    def order(seed, epoch):
        data = Vectors(torch.arange(40.0).view(40, 1, 1, 1), torch.arange(40) % 2)
        return torch.cat([inputs.flatten() for inputs, _ in epoch_batches(data, 8, seed, epoch)]).tolist()

    first = order(0, 1)
    torch.rand(5)
    assert order(0, 1) == first
    assert first not in (order(0, 2), order(1, 1))


def test_evaluation_by_hand():
    scores = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [0.0, math.log(9)], [0.0, math.log(9)]])
    loader = DataLoader(ClipsInMemory(scores, [0, 1, 1, 0]), 3)
    loss, accuracy, confusion = evaluate(lambda inputs: inputs, loader, CPU, 2)
    losses = [math.log(2), math.log(4), -math.log(0.9), math.log(10)]
    assert loss == pytest.approx(sum(losses) / 4, rel=1e-6)
    assert accuracy == 0.5  # of equal scores the first counts
    assert confusion.tolist() == [[1, 1], [1, 1]]


def test_best_epoch():
    rows = [{"epoch": k, "validation_accuracy": accuracy, "validation_loss": loss}
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


def test_weights_that_overflow_in_the_last_step_are_noticed(tmp_path):
    one_batch = vectors(8)
    with pytest.raises(ValueError, match="training diverged"):
        train(tmp_path, training=one_batch, lr_rate=3e37, n_epochs=1)
    assert not list(tmp_path.iterdir())


def test_divergence_on_the_command_line_is_one_line(data_set, tmp_path, capsys, monkeypatch):
    broken = Vectors(torch.full((4, 1, 6, 512), torch.nan), [0, 1, 0, 1])
    monkeypatch.setattr(main, "keep_vectors", lambda *args: broken)
    with pytest.raises(SystemExit) as ended:
        run_command("main", *train_options(data_set, tmp_path))
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "last.pth").exists()


@pytest.mark.parametrize("change", [{"classes": ["walking", "running"]}, {"state_dict": {}}, {"optimizer": None}])
def test_last_pth_of_another_run_is_refused(tmp_path, change):
    train(tmp_path, n_epochs=1)
    content = read_checkpoint(tmp_path / "last.pth") | change
    torch.save({name: value for name, value in content.items() if value is not None}, tmp_path / "last.pth")
    with pytest.raises(ValueError, match=r"last.pth is of another run"):
        train(tmp_path)
