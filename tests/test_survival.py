"""A few of the kills of tests.benchmarks.kills, and other early ends: a full disk, files that vanish, decoders."""

import errno
import faulthandler
import json
import os
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch

from data import clips
from data.video import write_video
from model.checkpoint import save_checkpoint
from runtime.files import whole_folder
from saliency.gradient import feature_gradient, frame_gradient
from saliency.summary import checked_methods
from tests.benchmarks.damage import write_uncompressed
from tests.benchmarks.kills import DATA, TRAIN, WAYS, prepared, survive
from tests.conftest import DURATION, bytes_of, data_options, moving_block, refused, run_command, train_options
from tests.toys import cnn_lstm

CLIP = "person22_walking_d1_1"
VIDEO_SCRIPTS = ("inference", "frame_saliency", "feature_saliency")
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("kills"))


@linux
@pytest.mark.parametrize("kind", WAYS)
def test_sigkill(world, kind, monkeypatch):
    short = {
        "training": [("main", [*TRAIN, "--n_epochs", "4"])],
        "saliency": [("feature_saliency", [*DATA, "--resume_path", "run/best.pth", "--limit", "2", "--result_path",
                                           "out"])],
    }
    monkeypatch.setitem(WAYS, kind, [short.get(kind, WAYS[kind][0])])
    counts, wrong = survive(kind, 2, world, share=0.0, whole=1)
    assert counts["kills"] == 2 and not wrong, wrong


def test_a_folder_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    """Killed while the old one is taken apart, the new one is in place."""
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "old").write_text("old")
    seen = []
    monkeypatch.setattr("runtime.files.shutil.rmtree", lambda folder, **options: seen.append(
        sorted(path.name for path in (tmp_path / "clip").iterdir())))
    with whole_folder(tmp_path / "clip") as folder:
        (folder / "new").write_text("new")
    assert seen == [["new"]]


def test_a_folder_takes_its_place_when_its_files_are_on_the_disk(tmp_path, monkeypatch):
    flushed = []

    def note(descriptor):
        flushed.append((os.fstat(descriptor).st_size, (tmp_path / "clip").exists()))

    monkeypatch.setattr("runtime.files.os.fsync", note)
    with whole_folder(tmp_path / "clip") as folder:
        (folder / "a").write_text("a")
        (folder / "b").write_text("bb")
    assert sorted(flushed) == [(1, False), (2, False)]
    assert sorted(path.name for path in (tmp_path / "clip").iterdir()) == ["a", "b"]


# Videos


def abort(path):
    faulthandler.disable()  # pytest's would print all its stack
    os.abort()


def hang(path):
    time.sleep(60)


def use(script, trained, results, *more):
    run_command(script, "--resume_path", trained / "best.pth", "--result_path", results, "--video", *more)


@linux
@pytest.mark.parametrize(("script", "behave", "reason"), [
    *((script, abort, "died (Aborted)") for script in VIDEO_SCRIPTS), ("inference", hang, "took longer than 3 seconds"),
    ("inference", partial(clips._windows_of, duration=DURATION), "holds no frame"),
])
def test_a_bad_video_costs_only_itself(data_set, trained, tmp_path, capsys, monkeypatch, script, behave, reason):
    bad = tmp_path / "bad.avi"
    bad.write_text("a film")
    windows_of = clips._windows_of
    monkeypatch.setattr(clips, "TIME_LIMIT", 3)
    monkeypatch.setattr(clips, "_windows_of",
                        lambda path, duration: behave(path) if path == bad else windows_of(path, duration))
    use(script, trained, tmp_path / "out", tmp_path / "bad.avi", data_set.video, "--limit", 1)
    printed = capsys.readouterr()
    assert f"1 of 2 videos cannot be decoded and are left out: {tmp_path / 'bad.avi'}: " in printed.err
    assert reason in printed.err
    assert "1 clips" in printed.out
    line = refused(capsys, script, "--resume_path", trained / "best.pth", "--video", tmp_path / "bad.avi")
    assert "none of the 1 videos can be decoded" in line
    assert reason in line


@linux
def test_a_decoder_that_dies_at_a_window_costs_that_window(data_set, trained, tmp_path, capsys, monkeypatch):
    window = clips._window
    monkeypatch.setattr(clips, "_window", lambda clip: abort(clip) if clip.first == 0 else window(clip))
    use("feature_saliency", trained, tmp_path, data_set.video)
    printed = capsys.readouterr()
    assert "walk_00001 is left out: the process working on it died (Aborted)" in printed.err
    assert "1 clips explained, 0 kept from before, 1 left out" in printed.out


@linux
def test_the_avi_that_opencv_dies_of(trained, tmp_path, capsys):
    """Uncompressed bgr24, 180 x 144, stored upside down: OpenCV's own conversion aborts the process."""
    frames = np.random.default_rng(0).integers(0, 255, (DURATION, 144, 180, 3), dtype=np.uint8)
    write_uncompressed(tmp_path / "raw.avi", frames)
    use("inference", trained, tmp_path / "out", tmp_path / "raw.avi")
    assert "1 clips" in capsys.readouterr().out


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 700)])
def test_smallest_frames(trained, tmp_path, capsys, height, width):
    write_uncompressed(tmp_path / "video.avi", np.full((2, height, width, 3), 90, np.uint8))
    use("feature_saliency", trained, tmp_path / "out", tmp_path / "video.avi")
    assert "1 clips explained" in capsys.readouterr().out


def test_largest_frames(tmp_path):
    write_video(tmp_path / "8k.avi", [np.full((4320, 7680, 3), 90, np.uint8)])
    found, _ = clips.clips_of_videos([tmp_path / "8k.avi"], DURATION)
    assert clips.resize(clips.read_frames(found[0]), 32).shape == (1, 32, 32, 3)


def test_a_header_that_overstates_its_frames(trained, tmp_path, capsys):
    write_video(tmp_path / "video.avi", moving_block(1, 1, DURATION)[0])
    content = bytearray((tmp_path / "video.avi").read_bytes())
    for place in (48, content.find(b"strh") + 40):  # of the file, of its stream
        content[place : place + 4] = (10**9).to_bytes(4, "little")
    (tmp_path / "video.avi").write_bytes(content)
    use("inference", trained, tmp_path / "out", tmp_path / "video.avi")
    assert f"video.avi frames 1-{DURATION}: " in capsys.readouterr().out


# Files


@pytest.mark.parametrize("script", ["main", *VIDEO_SCRIPTS])
def test_a_full_disk_is_one_line_and_leaves_no_half_file(data_set, trained, tmp_path, capsys, monkeypatch, script):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    options = train_options(data_set, tmp_path) if script == "main" else [
        *data_options(data_set), "--resume_path", trained / "best.pth", "--result_path", tmp_path, "--limit", 1]
    monkeypatch.setattr("runtime.files.os.fsync", full)
    line = refused(capsys, script, *options)
    assert "No space left on device" in line and "make room and run the same command" in line
    assert set(bytes_of(tmp_path)) <= {".lock"}
    if script == "main":
        monkeypatch.undo()
        run_command(script, *options)


def test_an_image_that_vanishes_between_listing_and_reading(own_data_set, trained, tmp_path, capsys, monkeypatch):
    read = clips.read_image

    def vanish(path):
        if CLIP in str(path):
            path.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(clips, "read_image", vanish)
    options = [*data_options(own_data_set), "--resume_path", trained / "best.pth"]
    run_command("inference", *options, "--result_path", tmp_path / "out")
    printed = capsys.readouterr()
    assert f"{CLIP} is left out: " in printed.err
    assert "image_00001.jpg" in printed.err
    assert "3 clips classified, 1 left out" in printed.out


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"gradient": 3}', '{"gradient": {}}',
                                     '{"gradient": {"auc_flow_frame": "0.5"}}',
                                     '{"gradient": {"auc_flow_frame": 1e999}}'])
def test_figures_of_another_form_are_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"clip.metrics.json does not hold the metrics of a clip; remove "):
        checked_methods(json.loads(content), tmp_path / "clip" / "metrics.json")


# Sizes that a file claims, numbers that are none


@pytest.mark.parametrize(("name", "value"), [("hidden_size", 10**6), ("num_layers", 10**9), ("feature_size", 10**8)])
def test_sizes_that_a_checkpoint_claims_take_no_memory(trained, tmp_path, capsys, name, value):
    content = torch.load(trained / "best.pth", weights_only=True)
    torch.save(content | {"config": content["config"] | {name: value}}, tmp_path / "big.pth")
    line = refused(capsys, "inference", "--resume_path", tmp_path / "big.pth", "--video", tmp_path / "none.avi")
    assert "big.pth" in line


@pytest.mark.parametrize("gradient", [frame_gradient, feature_gradient])
def test_what_is_not_finite_is_named_where_it_arises(gradient):
    model, clip = cnn_lstm()
    with pytest.raises(ValueError, match="the input of the model holds values that are not finite"):
        gradient(model, clip * torch.nan, 0)
    with torch.no_grad():
        model.classifier[-1].weight.fill_(3e38)
        model.classifier[-1].bias.fill_(3e38)
        model.classifier[1].bias.fill_(10)
    with pytest.raises(ValueError, match="the score holds values that are not finite"):
        gradient(model, clip, 0)


def test_a_model_that_overflows_is_refused(data_set, trained, tmp_path, capsys):
    content = torch.load(trained / "best.pth", weights_only=True)
    content["state_dict"]["classifier.4.bias"].fill_(3e38)
    content["state_dict"]["classifier.4.weight"].fill_(3e38)
    content["state_dict"]["classifier.1.bias"].fill_(100)
    torch.save(content, tmp_path / "big.pth")
    for script in VIDEO_SCRIPTS:
        line = refused(capsys, script, *data_options(data_set), "--resume_path", tmp_path / "big.pth", "--result_path",
                       tmp_path / script)
        assert "not finite" in line


def test_a_failed_save_of_a_checkpoint_leaves_nothing(tmp_path, trained, monkeypatch):
    from model.checkpoint import load_model

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "best.pth", *load_model(trained / "best.pth"))
    assert not list(tmp_path.iterdir())
