"""Bad input on every command line: one line that says what was given and found, status 2, and nothing lost."""

import json
import multiprocessing
import os
import shutil
import struct
import sys
import zlib
from types import SimpleNamespace
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch

import opts
from data.annotation import read_annotation, write_annotation
from runtime.files import sole_writer
from tests.conftest import DURATION, bytes_of, data_options, make_data_set, refused, train_options

CLIP = "person22_walking_d1_1"
TRAINED_ON = "person11_walking_d1_1"  # of the training subset

ANY_SCRIPT = [  # options added to good ones, and a part of the complaint
    ("--annotation_path {bad}/nowhere.json", "no annotation at"),
    ("--annotation_path {bad}", "no annotation at"),
    ("--annotation_path {bad}/empty", "is not valid JSON"),
    ("--annotation_path {bad}/cut.json", "is not valid JSON"),
    ("--annotation_path {bad}/binary", "is not valid JSON"),
    ("--annotation_path {bad}/deep.json", "is not valid JSON"),
    ("--annotation_path {bad}/list.json", "should hold a list 'labels' and an object 'database'"),
    ("--annotation_path {bad}/label.json", "has label 'flying', which is none of"),
    ("--annotation_path {bad}/subset.json", "has subset 'exam', which is none of training, validation, testing"),
    ("--annotation_path {bad}/escape.json", "is no plain folder name"),
    ("--annotation_path {bad}/ghosts.json", "has frames under"),
    ("--video_path {bad}/nowhere", "no folder of extracted frames at"),
    ("--video_path {bad}/empty", "no folder of extracted frames at"),
    ("--video_path {bad}/folder", "has frames under"),
    ("--dataset ucf", "--dataset"),
    ("--model resnet", "--model"),
    ("--n_classes 3", "--n_classes 3"),
    ("--n_classes 0", "not a whole number from 1"),
    ("--n_classes two", "not a whole number from 1"),
    ("--sample_size -1", "not a whole number from 1"),
    ("--sample_size 99999999999", "not a whole number from 1"),
    ("--num_workers -1", "not a whole number from 0"),
    ("--seed -1", "not a whole number from 0"),
    ("--seed 1.5", "not a whole number from 0"),
    ("--gpu one", "--gpu"),
    ("--result_path {bad}/empty", "choose another folder"),
    ("--result_path {bad}/empty/below", "choose another folder"),
    ("--no_such_flag", "--no_such_flag"),
]
TRAINING = [
    ("--annotation_path {bad}/untrained.json", "no clip in subset 'training' (it holds: training 0, validation 1"),
    ("--video_path {bad}/zero_bytes", "image_00002.jpg (0 bytes) is not a whole picture"),
    ("--video_path {bad}/zero_bytes --num_workers 1", "image_00002.jpg (0 bytes) is not a whole picture"),
    ("--video_path {bad}/cut_short", "image_00002.jpg"),
    ("--video_path {bad}/text", "image_00002.jpg"),
    ("--video_path {bad}/bomb", "claims to be too large a picture"),
    ("--video_path {bad}/sizes", "holds frames of different sizes"),
    ("--video_path {bad}/count", "n_frames holds 'many', not a number of frames"),
    ("--video_path {bad}/fewer", "holds 6 images, n_frames says 9"),
    ("--backbone resnet19", "unknown backbone 'resnet19'; known are: "),
    ("--backbone_weights {bad}/nowhere.pth", "give 'imagenet', 'none' or an existing path"),
    ("--backbone_weights {bad}/text.pth", "is not a state dict"),
    ("--backbone_weights {good}/best.pth --backbone mobilenet_v2", "does not fit this backbone"),
    ("--sample_size 1", "cannot take frames of that size"),
    ("--sample_size 1000000", "more than the limit of 1024 MiB; give fewer or smaller frames"),
    ("--sample_duration 0", "not a whole number from 1"),
    ("--sample_duration 1000000000", "more than the limit of 1024 MiB; give fewer or smaller frames"),
    ("--hidden_size 2000000000", "out of memory"),
    ("--batch_size 0", "not a whole number from 1"),
    ("--n_epochs -5", "not a whole number from 1"),
    ("--lr_rate nan", "nan is negative, too large or not a number"),
    ("--lr_rate -1", "-1 is negative"),
    ("--lr_rate 1e300", "too large"),
    ("--weight_decay inf", "too large"),
    ("--dropout 1.5", "1.5 is not between 0 and 1"),
    ("--model cnnlstm_cbam --backbone resnet18", "has its attention in the backbone, which is frozen; give --finetune"),
    ("--model cnnlstm_cbam --finetune", "choose --backbone resnet18"),
    ("--attention_rows 5", "--attention_rows belongs to --model cnnlstm_attn"),
    ("--finetune --backbone resnet18 --batch_size 1 --sample_duration 1", "a batch would hold a single frame"),
    ("--finetune --backbone resnet18 --batch_size 7 --sample_duration 1", "8 clips of one frame, in batches of 7"),
    ("--pretrain_path {bad}/nowhere.pth", "no checkpoint at"),
    ("--pretrain_path {bad}/other.pth", "is not a checkpoint of this project"),
    ("--pretrain_path {good}/best.pth --hidden_size 8", "best.pth does not fit"),
    ("--mean_dataset ucf", "--mean_dataset"),
    ("--norm_value 0", "not a whole number from 1"),
    ("--save_interval 0", "not a whole number from 1"),
    ("--log_interval -1", "not a whole number from 1"),
]
TRAINED = [  # options of the three scripts that use a trained model
    ("--resume_path {bad}/nowhere.pth", "no checkpoint at"),
    ("--resume_path {bad}", "no checkpoint at"),
    ("--resume_path {bad}/empty", "is not a checkpoint that torch can load safely"),
    ("--resume_path {bad}/text.pth", "is not a checkpoint that torch can load safely"),
    ("--resume_path {bad}/cut.pth", "is not a checkpoint that torch can load safely"),
    ("--resume_path {bad}/pickle.pth", "is not a checkpoint that torch can load safely"),
    ("--resume_path {bad}/tensor.pth", "is not a checkpoint of this project: it holds Tensor"),
    ("--resume_path {bad}/other.pth", "is not a checkpoint of this project: it holds ['weights']"),
    ("--resume_path {bad}/shape.pth", "its weights do not fit the model it describes"),
    ("--resume_path {bad}/kind.pth", "holds a model of kind 'cnnlstm2'"),
    ("--resume_path {bad}/nan.pth", "hold values that are not finite"),
    ("--annotation_path {bad}/three.json", "has the classes running, walking, flying, but the checkpoint"),
    ("--annotation_path {bad}/untrained.json", "no clip in subset 'testing' (it holds: training 0, validation 1"),
    ("--model cnnlstm_attn", "--model cnnlstm_attn contradicts the checkpoint"),
    ("--sample_size 150", "--sample_size 150 contradicts the checkpoint"),
    ("--sample_duration 30", "--sample_duration 30 contradicts the checkpoint"),
    ("--classes walking running", "contradicts the checkpoint"),
    ("--norm_value 255", "the normalisation flags give mean and deviation [0.4501, "),
    ("--subset exam", "--subset"),
    ("--clips person99_walking_d1_1", "person99_walking_d1_1: not among the 4 clips of subset testing"),
    ("--limit 0", "not a whole number from 1"),
    (f"--clips {CLIP} --video_path {{bad}}/zero_bytes", "none of the 1 clips could be read"),
    (f"--clips {CLIP} --video_path {{bad}}/bomb", "none of the 1 clips could be read"),
    (f"--clips {CLIP} --video_path {{bad}}/fewer", "none of the 1 clips could be read"),
    ("--video {bad}/nowhere.avi", "no video at"),
    ("--video {bad}/folder", "no video at"),
    ("--video {bad}/empty", "(0 bytes) holds no frame that OpenCV can decode"),
    ("--video {bad}/text.avi", "holds no frame that OpenCV can decode"),
    ("--video {bad}/cut.avi", "holds no frame that OpenCV can decode"),
    ("--video {video} {video}", "have one name"),
    (f"--video {{video}} --clips {CLIP}", "leave one of them out"),
]
EXPLAINING = [
    ("--target flying", "--target flying: the model knows running, walking"),
    ("--target label --video {video}", "clips of --video have no label"),
    ("--score margin", "--score"),
    ("--method guesswork", "--method"),
    ("--tsr --tsr_quantile 2", "--tsr_quantile: 2 is not a number from 0 to 1"),
    ("--tsr --tsr_fill green", "--tsr_fill"),
    ("--figure_format gif", "--figure_format"),
]
PIXELS = [
    ("--tsr --tsr_patch 0", "not a whole number from 1"),
    ("--tsr --tsr_step once", "--tsr_step"),
    ("--tsr_tolerance -0.1", "--tsr_tolerance: -0.1 is not a number from 0"),
    ("--smooth 33", "--smooth 33.0 is more than the 32 pixels of a frame"),
    ("--compare gradient guesswork", "--compare"),
    (f"--clips {CLIP} --video_path {{bad}}/masks", "none of the 1 clips could be read"),
]
UTILS = [
    ("trim_videos --raw_path {bad}/nowhere", "utils/download_kth.py"),
    ("trim_videos --raw_path {bad}/folder", "no videos in the class folders"),
    ("trim_videos --raw_path {bad}/videos --classes text", "none of the 1 videos could be trimmed"),
    ("trim_videos --raw_path {bad}/videos", "none of the 3 videos could be trimmed"),
    ("trim_videos --raw_path {bad}/videos --classes flying", "--classes flying"),
    ("trim_videos --raw_path {bad}/videos --sequences {bad}/nowhere.txt", "no file of ranges at"),
    ("trim_videos --raw_path {bad}/videos --sequences {bad}/empty", "holds no line like"),
    ("trim_videos --raw_path {bad}/videos --n_frames -3", "not a whole number from 1"),
    ("trim_videos --raw_path {bad}/videos --size 0 10", "not a whole number from 1"),
    ("trim_videos --raw_path {bad}/videos --start 0", "not a whole number from 1"),
    ("trim_videos --raw_path {bad}/videos --workers -1", "-1 worker processes were asked for"),
    ("trim_videos --raw_path {bad}/videos --time_limit -1", "-1 is negative"),
    ("trim_videos --raw_path {bad}/videos --trimmed_path {bad}/empty", "choose another folder"),
    ("extract_frames --trimmed_path {bad}/nowhere", "no clips in class folders"),
    ("extract_frames --trimmed_path {bad}/videos", "none of the 3 clips could be extracted"),
    ("extract_frames --trimmed_path {bad}/videos --image_path {bad}/empty", "choose another folder"),
    ("annotate_kth --image_path {bad}/nowhere", "no clips in"),
    ("annotate_kth --image_path {bad}/folder", "no clips in"),
    ("annotate_kth --image_path {images} --testing_persons 99", "there is no clip of person 99"),
    ("annotate_kth --image_path {images} --testing_persons 11 --validation_persons 11", "nobody can be in both"),
    ("annotate_kth --image_path {images} --testing_persons eleven", "--testing_persons"),
    ("annotate_kth --image_path {images} --annotation_path {bad}/empty/kth1.json", "choose another folder"),
    ("synthesize_kth --persons 0", "KTH's names have room for persons 1 to 99"),
    ("synthesize_kth --actions flying", "--actions"),
    ("synthesize_kth --seed -1", "is not a whole number"),
    ("synthesize_kth --output {bad}/empty --persons 11 --scenarios 1", "choose another folder"),
    ("synthesize_kth --output {bad}/videos --persons 11", "which this script did not make"),
    ("download_kth --url ftp://host/folder", "is not an address of the form"),
    ("download_kth --url http://127.0.0.1:9 --output {results}/new", "no connection to http://127.0.0.1:9/walking.zip"),
    ("download_kth --classes flying", "--classes"),
]
SCRIPTS = {
    "main": ANY_SCRIPT + TRAINING,
    "inference": ANY_SCRIPT + TRAINED,
    "frame_saliency": ANY_SCRIPT + TRAINED + EXPLAINING + PIXELS,
    "feature_saliency": ANY_SCRIPT + TRAINED + EXPLAINING,
}
CASES = [(script, line, complaint) for script, cases in SCRIPTS.items() for line, complaint in cases]
CASES += [(f"utils.{line.split()[0]}", line.partition(" ")[2], complaint) for line, complaint in UTILS]


class Evil:
    """Unpickled, it would leave a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def png_that_claims(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def damage_images(bad, images):
    """Copies of the images in which one clip for training and one for testing are broken, each in its way."""
    with np.load(images / "walking" / CLIP / "masks.npz") as archive:
        masks = archive["masks"]
    for kind in ("zero_bytes", "cut_short", "text", "bomb", "sizes", "count", "fewer", "masks"):
        for clip in (TRAINED_ON, CLIP, "person19_walking_d1_1"):
            folder = shutil.copytree(images / "walking" / clip, bad / kind / "walking" / clip)
            if clip == "person19_walking_d1_1":
                continue
            second = folder / "image_00002.jpg"
            if kind == "sizes":
                cv2.imwrite(str(second), np.zeros((8, 8, 3), np.uint8))
            elif kind in ("count", "fewer"):
                (folder / "n_frames").write_text("many" if kind == "count" else "9")
            elif kind == "masks":
                np.savez(folder / "masks.npz", masks=masks[:-1])
            else:
                second.write_bytes({"zero_bytes": b"", "cut_short": second.read_bytes()[:200], "text": b"a picture",
                                    "bomb": png_that_claims(60000, 60000)}[kind])


def damage_annotations(bad, annotation):
    labels, clips = read_annotation(annotation)
    write_annotation(bad / "ghosts.json", labels, {f"ghost{k}": entry for k, entry in enumerate(clips.values())})
    write_annotation(bad / "untrained.json", labels, {"person19_walking_d1_1": ("validation", "walking")})
    write_annotation(bad / "three.json", [*labels, "flying"], clips)
    write_annotation(bad / "label.json", labels, {CLIP: ("testing", "flying")})
    write_annotation(bad / "subset.json", labels, {CLIP: ("exam", "walking")})
    write_annotation(bad / "escape.json", labels, {"../../secret": ("testing", "walking")})
    (bad / "cut.json").write_bytes(annotation.read_bytes()[:100])
    (bad / "deep.json").write_text("[" * 100_000)
    (bad / "list.json").write_text("[1, 2]")


def damage_checkpoints(bad, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    (bad / "cut.pth").write_bytes(checkpoint.read_bytes()[:-5000])
    (bad / "text.pth").write_text("weights")
    torch.save(torch.zeros(3), bad / "tensor.pth")
    torch.save({"weights": torch.zeros(3)}, bad / "other.pth")
    torch.save(content | {"extra": Evil(bad / "trace")}, bad / "pickle.pth")
    torch.save(content | {"config": content["config"] | {"hidden_size": 8}}, bad / "shape.pth")
    torch.save(content | {"model": "cnnlstm2"}, bad / "kind.pth")
    broken = {name: tensor * torch.nan if "lstm" in name else tensor for name, tensor in content["state_dict"].items()}
    torch.save(content | {"state_dict": broken}, bad / "nan.pth")


@pytest.fixture(scope="module")
def bad(data_set, trained, tmp_path_factory):
    """A folder of everything that is wrong."""
    bad = tmp_path_factory.mktemp("bad")
    header = data_set.video.read_bytes()[:300]
    files = {"empty": b"", "binary": bytes(range(256)), "text.avi": b"a film", "cut.avi": header}
    for name, content in files.items():
        (bad / name).write_bytes(content)
    (bad / "folder" / "walking").mkdir(parents=True)
    for label in ("text", "cut", "none"):
        (bad / "videos" / label).mkdir(parents=True)
        source = {"text": bad / "text.avi", "cut": bad / "cut.avi", "none": bad / "empty"}[label]
        shutil.copy(source, bad / "videos" / label / f"person11_{label}_d1_uncomp.avi")
    damage_annotations(bad, data_set.annotation)
    damage_checkpoints(bad, trained / "best.pth")
    damage_images(bad, data_set.images)
    return bad


@pytest.fixture(scope="module")
def good(trained, tmp_path_factory):
    """Good input next to a copy of the run, which a bug may damage."""
    root = make_data_set(tmp_path_factory.mktemp("good")).root
    return shutil.copytree(trained, root / "run")


@pytest.fixture
def results(tmp_path):
    """A folder with results of earlier runs, which must outlive every bad command."""
    folder = tmp_path / "results"
    (folder / "walking" / CLIP).mkdir(parents=True)
    for name in ("best.pth", "log.csv", "metrics.json", "predictions.csv", "kth1.json", f"walking/{CLIP}/saliency.npz"):
        (folder / name).write_text("kept")
    return folder


def options_of(script, good, results):
    data = SimpleNamespace(annotation=good.parent / "annotation" / "kth1.json", images=good.parent / "image_data")
    if script == "main":
        return [*train_options(data, results), "--overwrite"]
    if script in SCRIPTS:
        return [*data_options(data), "--resume_path", good / "best.pth", "--result_path", results, "--overwrite"]
    places = {"trim_videos": ["--trimmed_path", results / "new"], "extract_frames": ["--image_path", results / "new"],
              "annotate_kth": ["--annotation_path", results / "kth1.json", "--trimmed_path", results],
              "synthesize_kth": ["--output", results / "new"], "download_kth": ["--output", results / "new"]}
    return places[script.removeprefix("utils.")]


@pytest.mark.parametrize(("script", "line", "complaint"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
def test_one_line_and_nothing_lost(bad, good, results, capsys, script, line, complaint):
    before = bytes_of(results)
    places = {"bad": bad, "good": good, "results": results, "video": good.parent / "walk.avi",
              "images": good.parent / "image_data"}
    options = line.format(**places).split()
    assert complaint in refused(capsys, script, *options_of(script, good, results), *options)
    after = bytes_of(results)
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after if ".part" in path]
    assert not (bad / "trace").exists()
    assert (bad / "empty").read_bytes() == b""


def test_there_are_many_kinds():
    assert len({line for _, line, _ in CASES}) >= 100


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(("content", "complaint"), [
    ("{", "opts.json is not valid JSON"),
    ("[]", "opts.json does not tell how its folder was made"),
    ('{"options": 3}', "opts.json does not tell how its folder was made"),
    ('{"options": {"seed": 5}}', "was made with --seed 5, now 0 is given"),
])
def test_opts_json_of_something_else(good, results, capsys, script, content, complaint):
    (results / "opts.json").write_text(content)
    before = bytes_of(results)
    assert complaint in refused(capsys, script, *options_of(script, good, results)[:-1])
    after = bytes_of(results)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("content", [b"", b"weights", None])
def test_a_last_pth_that_is_none(good, results, capsys, content):
    source = {"state_dict": {}, "format": 1, "model": "cnnlstm", "config": {}, "classes": ["running", "walking"],
              "sample_size": 32, "sample_duration": DURATION, "mean": [0.0] * 3, "std": [1.0] * 3}
    torch.save(source, results / "last.pth") if content is None else (results / "last.pth").write_bytes(content)
    before = (results / "last.pth").read_bytes()
    assert "last.pth" in refused(capsys, "main", *options_of("main", good, results)[:-1])
    assert (results / "last.pth").read_bytes() == before


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(("flags", "available", "complaint"), [
    (["--use_cuda"], False, "PyTorch finds no CUDA device here; leave out --use_cuda and --gpu"),
    (["--gpu", "7"], False, "PyTorch finds no CUDA device here"),
    (["--gpu", "7"], True, "--gpu 7 was given, but there are 1 GPUs, numbered from 0"),
    (["--gpu", "-1"], True, "--gpu -1 was given"),
])
def test_graphics_cards_that_are_not_there(good, results, capsys, monkeypatch, script, flags, available, complaint):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(available))
    assert complaint in refused(capsys, script, *options_of(script, good, results), *flags)


def test_imagenet_weights_without_a_network(good, results, capsys, monkeypatch):
    def offline(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(results / "hub"))
    line = refused(capsys, "main", *options_of("main", good, results), "--backbone_weights", "imagenet")
    assert "no route to host" in line
    assert "'none'" in line
    assert "PATH" in line


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_without_permission(good, results, capsys, script):
    results.chmod(0o500)
    try:
        assert "choose another folder" in refused(capsys, script, *options_of(script, good, results))
    finally:
        results.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where nobody can make a folder")
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_that_cannot_be_made(good, capsys, script):
    assert "choose another folder" in refused(capsys, script, *options_of(script, good, "/proc/results"))


def hold(folder, held, released):
    with sole_writer(folder):
        held.set()
        released.wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_folder_in_which_another_run_is_at_work(good, results, capsys):
    context = multiprocessing.get_context("fork")
    held, released = context.Event(), context.Event()
    process = context.Process(target=hold, args=(results, held, released))
    process.start()
    try:
        assert held.wait(30)
        before = bytes_of(results)
        for script in SCRIPTS:
            line = refused(capsys, script, *options_of(script, good, results))
            assert "another run is writing into" in line
        assert bytes_of(results) == before
    finally:
        released.set()
        process.join()


def test_newlines_in_what_was_given_stay_in_one_line(good, results, capsys):
    for flags in (["--annotation_path", "no\nwhere"], ["--no\nflag"], ["--dataset", "a\nb"]):
        refused(capsys, "main", *options_of("main", good, results), *flags)


def test_results_are_plain_json_even_where_nothing_moves(good, results, capsys):
    """A metric that has no number for any clip is reported as such."""
    for image in (good.parent / "image_data" / "walking" / CLIP).glob("image_*.jpg"):
        shutil.copy(good.parent / "image_data" / "walking" / CLIP / "image_00001.jpg", image.with_suffix(".tmp"))
        image.with_suffix(".tmp").replace(image)
    from frame_saliency import main

    main([*map(str, options_of("frame_saliency", good, results)), "--clips", CLIP, "--no_overlay", "--tsr"])
    summary = json.loads((results / "metrics.json").read_text())["summary"]
    assert summary["gradient"]["auc_flow_frame"] == {"mean": None, "low": None, "high": None, "n": 0, "n_nan": 1}


def test_halves_of_characters_are_shown_as_escapes():
    """As a JSON file or the name of a file may hold them; no terminal can print them."""
    assert opts.one_line("made with\n\ud800") == "made with \\ud800"
