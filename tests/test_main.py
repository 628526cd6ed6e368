"""Training runs from the command line."""

import shutil
import sys
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch

import main
from data.annotation import read_annotation, write_annotation
from model.checkpoint import load_model, read_checkpoint
from model.cnn_lstm import MODELS, build_model
from model.contract import last_layer
from model.normalisation import normalisation
from model.training import train_epoch
from model.vectors import keep_vectors
from opts import PRETRAINED
from runtime import training_log
from runtime.files import read_json
from tests.bad_cases import options_of
from tests.runs import data_options, refused, run_command, same, table, train_options, use
from tests.tiny_data import DURATION


def test_a_training_run(trained):
    assert {path.name for path in trained.iterdir()} == {
        "last.pth", "best.pth", "log.csv", "curves.png", "opts.json", "metrics.json", "confusion_validation.png",
        "confusion_testing.png", ".lock",
    }
    log = table(trained / "log.csv")
    assert [row["epoch"] for row in log] == ["1", "2"]
    assert list(log[0]) == ["epoch", "train_loss", "train_accuracy", "train_balanced_accuracy", "validation_loss",
                            "validation_accuracy", "validation_balanced_accuracy"]
    metrics, recipe = read_json(trained / "metrics.json"), read_json(trained / "opts.json")
    assert np.sum(metrics["testing"]["confusion"]) == 4
    best = log[metrics["best_epoch"] - 1]
    assert float(best["validation_accuracy"]) == metrics["validation"]["accuracy"]
    assert float(best["validation_loss"]) == pytest.approx(metrics["validation"]["loss"], rel=1e-5)
    assert recipe["options"]["backbone"] == "squeezenet1_1"
    assert recipe["versions"]["torch"] == torch.__version__.split("+")[0]


def test_training_needs_the_same_options_to_go_on(data_set, trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "run")
    line = refused(capsys, "main", *train_options(data_set, folder, "--hidden_size", 8))
    assert "was made with --hidden_size 16 (now 8)" in line
    shutil.copy(folder / "best.pth", folder / "last.pth")  # a checkpoint, but without the optimizer
    assert "last.pth belongs to another run" in refused(capsys, "main", *train_options(data_set, folder))
    (folder / "note.txt").write_text("mine")
    run_command("main", *train_options(data_set, folder, "--hidden_size", 8, "--overwrite", "--n_epochs", 1))
    assert len(table(folder / "log.csv")) == 1
    assert load_model(folder / "last.pth")[1].config["hidden_size"] == 8
    assert (folder / "note.txt").read_text() == "mine"


def written(folder):
    """Return the files of a run that hold no times."""
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
    monkeypatch.setattr(training_log, "find_spec", lambda name: True)
    options = train_options(data_set, tmp_path, "--n_epochs", 3, "--tensorboard", "--save_interval", 2)
    write_log = training_log.write_csv

    def dies(path, rows):
        if path.exists():
            raise KeyboardInterrupt
        write_log(path, rows)

    monkeypatch.setattr(training_log, "write_csv", dies)
    with pytest.raises(SystemExit):
        run_command("main", *options)
    assert len(read_checkpoint(tmp_path / "last.pth")["history"]) == 2
    assert [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().splitlines()] == ["epoch", "1"]
    assert (tmp_path / "curves.png").is_file() and (tmp_path / "epoch_2.pth").is_file()
    monkeypatch.setattr(training_log, "write_csv", write_log)
    run_command("main", *options)
    assert [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().splitlines()] == ["epoch", "1", "2", "3"]
    history = read_checkpoint(tmp_path / "last.pth")["history"]
    names = {f"{part}_{quantity}": f"{quantity}/{part}" for part in ("train", "validation")
             for quantity in ("loss", "accuracy", "balanced_accuracy")}
    assert shown == [(name, row[key], row["epoch"]) for row in history for key, name in names.items()]
    assert same(load_model(tmp_path / "epoch_2.pth")[1].epoch, 2) and not (tmp_path / "epoch_3.pth").exists()
    run_command("main", *options, "--overwrite", "--n_epochs", 1)
    assert not (tmp_path / "epoch_2.pth").exists()


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
    labels, clips, *_ = read_annotation(data_set.annotation)
    write_annotation(tmp_path / "three.json", ["flying", *labels],
                     clips | {"person11_walking_d1_1": ("training", "flying")})
    shutil.copytree(data_set.images, tmp_path / "images")
    (tmp_path / "images" / "flying").mkdir()
    clip = tmp_path / "images" / "walking" / "person11_walking_d1_1"
    clip.rename(tmp_path / "images" / "flying" / clip.name)
    run_command("main", *train_options(data_set, tmp_path / "three", "--annotation_path", tmp_path / "three.json",
                                       "--video_path", tmp_path / "images", *options))
    state = read_checkpoint(tmp_path / "three" / "last.pth")["state_dict"]
    last = f"{last_layer(load_model(trained / 'best.pth')[0])}."
    assert len(state[f"{last}weight"]) == 3
    assert same({name: weight for name, weight in state.items() if not name.startswith(last)},
                {name: weight for name, weight in start.items() if not name.startswith(last)})
    assert "with a new last layer for other classes" in capsys.readouterr().out


def test_a_frozen_backbone_stays_as_it_was(data_set, tmp_path):
    """Weights and the running statistics of its batch norms; everything after it is trained."""
    run_command("main", *train_options(data_set, tmp_path, "--backbone", "shufflenet_v2_x0_5", "--n_epochs", 1))
    torch.manual_seed(0)
    fresh = build_model("cnnlstm", 2, "shufflenet_v2_x0_5", head=MODELS["cnnlstm"].head, hidden_size=16,
                        dropout=0.5).state_dict()
    trained = read_checkpoint(tmp_path / "last.pth")["state_dict"]
    assert sum("running_mean" in name for name in trained) > 10
    for name, tensor in fresh.items():
        assert torch.equal(tensor, trained[name.removeprefix("head.")]) == name.startswith("backbone."), name


@pytest.mark.parametrize("content", [b"", b"weights", None])
def test_a_last_pth_that_is_none(good, results, capsys, content):
    source = {"state_dict": {}, "format": 1, "model": "cnnlstm", "config": {}, "classes": ["running", "walking"],
              "sample_size": 32, "sample_duration": DURATION, "mean": [0.0] * 3, "std": [1.0] * 3}
    torch.save(source, results / "last.pth") if content is None else (results / "last.pth").write_bytes(content)
    before = (results / "last.pth").read_bytes()
    assert "last.pth" in refused(capsys, "main", *options_of("main", good, results)[:-1])
    assert (results / "last.pth").read_bytes() == before


def test_imagenet_weights_without_a_network(good, results, capsys, monkeypatch):
    def offline(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(results / "hub"))
    line = refused(capsys, "main", *options_of("main", good, results), "--backbone_weights", "imagenet")
    assert "no route to host" in line
    assert "'none'" in line
    assert "PATH" in line


def test_a_checkpoint_knows_its_training(trained):
    _, info = load_model(trained / "best.pth")
    assert info.training_groups == ["kth person 11", "kth person 12"] and len(info.training_clips) == 8 and info.grey


def test_accuracy_is_about_people_that_are_new(data_set, trained, tmp_path, capsys):
    use("inference", data_set, trained, tmp_path / "all", "--subset", "all")
    assert "8 of 16 clips are of people, groups or videos in the training data; on the others: balanced" in (
        capsys.readouterr().out)
    metrics = read_json(tmp_path / "all" / "metrics.json")
    assert np.sum(metrics["confusion"]) == 8 == np.sum(metrics["in_training"]["confusion"]) == metrics["n_in_training"]
    run_command("inference", *data_options(data_set), "--subset", "training", "--result_path", tmp_path / "other",
                "--resume_path", trained / "best.pth", "--dataset", "folder")  # other names of groups, the same images
    assert "8 of 8 clips are of people, groups or videos in the training data, so this says nothing about others" in (
        capsys.readouterr().out)


def test_the_bundled_model_knows_its_people():
    _, info = load_model(PRETRAINED)
    assert {f"kth person {person}" for person in (1, 4, 7, 9, 15)} <= set(info.training_groups)
    assert "kth person 2" not in info.training_groups and info.grey


def test_mirroring_is_a_property_of_the_data_set(data_set, tmp_path, capsys, monkeypatch):
    views = []
    monkeypatch.setattr(main, "keep_vectors", lambda model, dataset, device, mirrored, *more: views.append(mirrored)
                        or keep_vectors(model, dataset, device, mirrored, *more))
    for dataset, more, mirrored in (("kth", [], True), ("folder", [], False), ("kth", ["--no_mirror"], False),
                                    ("folder", ["--mirror"], True)):
        run_command("main", *train_options(data_set, tmp_path / f"{dataset}{len(more)}", "--dataset", dataset,
                                           "--n_epochs", 1, *more))
        assert ("half of the training windows are mirrored" in capsys.readouterr().out) == mirrored
        assert views == [mirrored, False, False]
        views.clear()


def test_fewer_epochs_and_a_learning_rate_of_0_are_told(data_set, trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "run")
    run_command("main", *train_options(data_set, folder, "--n_epochs", 1))
    assert "--n_epochs 1 was given, but this run has 2 epochs already" in capsys.readouterr().err
    run_command("main", *train_options(data_set, tmp_path / "still", "--n_epochs", 1, "--lr_rate", 0))
    assert "--lr_rate 0: training changes no weight" in capsys.readouterr().err


def test_the_normalisation_of_the_weights_is_taken_and_told(data_set, trained, tmp_path, capsys):
    content = torch.load(trained / "best.pth", weights_only=True) | {"mean": [0.4, 0.5, 0.6], "std": [1.0, 1.0, 1.0]}
    torch.save(content, tmp_path / "other.pth")
    for flag in ("--pretrain_path", "--backbone_weights"):
        run_command("main", *train_options(data_set, tmp_path / flag, "--n_epochs", 1, flag, tmp_path / "other.pth"))
        assert "pixels are normalised as in the training of" in capsys.readouterr().out
        assert load_model(tmp_path / flag / "last.pth")[1].mean == [0.4, 0.5, 0.6]
