"""Faults of our own keep their traceback and end with status 1, in whatever process they arise."""

import gc
import multiprocessing
import subprocess
import sys

import pytest

import opts
from runtime import processes
from runtime.errors import UserError, told
from runtime.workers import in_parallel, writers
from saliency.scores import target_score
from tests.forks import forked, forks
from tests.runs import ROOT, data_options, refused, run_command, train_options

ASKS = "this is a fault of the project, not of your input; please report it with the following lines"


def value_error(*arguments, **options):
    raise ValueError("a shape is wrong")


def key_error(*arguments, **options):
    return {}["feature"]


def unequal_zip(*arguments, **options):
    return list(zip([1], [1, 2], strict=True))


FAULTS = {value_error: "a shape is wrong", key_error: "'feature'", unequal_zip: "argument 2 is longer"}
PLACES = {  # script: functions of ours that it calls, most of them while it reads or writes files
    "main": ("model.training.summarise_confusion", "data.training_clips.load_frames",
             "model.training.count_predictions", "runtime.files.as_json"),
    "inference": ("inference.summarise_apart", "data.clips.resize", "model.checkpoint.build_model",
                  "model.prediction.class_probabilities"),
    "frame_saliency": ("frame_saliency.summarise_run", "saliency.report.page.clip_part",
                       "saliency.when.encoded.target_score", "data.training_clips.load_frames"),
    "feature_saliency": ("feature_saliency.summarise_named", "saliency.gradient.target_score", "data.clips.read_image",
                         "saliency.results.clip_files.optical_flow"),
}
CASES = [(script, place, list(FAULTS)[number % 3]) for script, places in PLACES.items()
         for number, place in enumerate(places)]  # the first of each script with all faults
CASES += [(script, places[0], fault) for script, places in PLACES.items() for fault in (key_error, unequal_zip)]


@pytest.fixture(autouse=True)
def no_process_is_left():
    """Free the tracebacks, which hold what was alive, such as processes that load clips."""
    yield
    gc.collect()
    assert not multiprocessing.active_children()


def raises_a_fault(capsys, fault, script, *arguments):
    """Check that a command passes the fault on, after the one line that asks for a report."""
    capsys.readouterr()
    with pytest.raises((ValueError, KeyError)) as caught:
        run_command(script, *arguments)
    assert not isinstance(caught.value, UserError)
    assert FAULTS[fault] in str(caught.value)
    asked = [line for line in capsys.readouterr().err.splitlines() if "fault of the project" in line]
    assert len(asked) == 1 and asked[0].endswith(ASKS)


def options_for(script, data, trained, folder):
    if script == "main":
        return train_options(data, folder)
    return [*data_options(data), "--resume_path", trained / "best.pth", "--result_path", folder, "--limit", 1]


@pytest.mark.parametrize(("script", "place", "fault"), CASES)
def test_a_fault_in_a_script_keeps_its_traceback(data_set, trained, tmp_path, monkeypatch, capsys, script, place,
                                                 fault):
    monkeypatch.setattr(place, fault)
    raises_a_fault(capsys, fault, script, *options_for(script, data_set, trained, tmp_path / "results"))


@pytest.mark.parametrize("place", ["model.resuming.load_weights", "model.averaging.WeightAverage.resume"])
def test_a_fault_while_a_run_is_resumed(data_set, trained, tmp_path, monkeypatch, capsys, place):
    (tmp_path / "run").mkdir()
    for name in ("last.pth", "opts.json"):
        (tmp_path / "run" / name).write_bytes((trained / name).read_bytes())
    monkeypatch.setattr(place, value_error)
    raises_a_fault(capsys, value_error, "main", *train_options(data_set, tmp_path / "run"), "--n_epochs", 3)


@forks
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_process_that_draws(data_set, trained, tmp_path, monkeypatch, capsys, fault):
    monkeypatch.setattr("saliency.results.clip_files.measure", fault)
    monkeypatch.setattr("runtime.workers.n_cores", lambda: 2)
    raises_a_fault(capsys, fault, "frame_saliency", *options_for("frame_saliency", data_set, trained, tmp_path / "out"),
                   "--limit", 2)


@forks
@pytest.mark.parametrize("place", ["data.video_windows.find_motion", "data.video_windows.stack"])
def test_a_fault_in_a_process_that_decodes(data_set, trained, tmp_path, monkeypatch, capsys, place):
    monkeypatch.setattr(place, key_error)
    raises_a_fault(capsys, key_error, "inference", "--resume_path", trained / "best.pth", "--video", data_set.video,
                   "--result_path", tmp_path / "out")


@forks
def test_a_fault_in_a_script_of_utils(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("data.windows.place_windows", unequal_zip)
    raises_a_fault(capsys, unequal_zip, "utils.trim_videos", "--raw_path", raw, "--trimmed_path", tmp_path / "out")


@forks
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_process_that_loads_clips(data_set, tmp_path, monkeypatch, capsys, fault):
    monkeypatch.setattr("data.training_clips.load_frames", fault)
    raises_a_fault(capsys, fault, "main", *train_options(data_set, tmp_path / "run"), "--num_workers", 1)


@forks
def test_a_fault_in_one_of_two_processes_of_torchrun(data_set, trained, tmp_path, monkeypatch):
    def in_the_second(*arguments):
        return value_error() if processes.rank() else target_score(*arguments)

    monkeypatch.setattr("saliency.gradient.target_score", in_the_second)
    codes, printed = forked(tmp_path / "log", run_command, "feature_saliency", *data_options(data_set), "--resume_path",
                            trained / "best.pth", "--result_path", tmp_path / "out", "--limit", 2)
    assert codes == [2, 1], printed  # the first one notices that the second one has ended
    assert printed.count(ASKS) == 1 and "ValueError: a shape is wrong" in printed


def test_a_script_shows_the_traceback_and_ends_with_status_1():
    code = "import opts\ndef work(args):\n    {}['feature']\nopts.run(opts.Parser('x'), work, [])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 1 and lines[0].endswith(ASKS) and lines[1].startswith("Traceback (most recent call")
    assert lines[-1] == "KeyError: 'feature'"


def test_a_network_of_the_user_is_not_called_a_fault_of_ours(capsys):
    parser = opts.Parser("x")
    parser.add_argument("--model")
    with pytest.raises(KeyError):
        opts.run(parser, key_error, ["--model", "nets.py:build"])
    assert "your network or the project is at fault" in capsys.readouterr().err


def test_what_users_can_mend_is_one_line(capsys):
    for error in (UserError("give another"), FileNotFoundError("no file"), MemoryError(),
                  RuntimeError("can't allocate memory: you tried to allocate 9 bytes")):
        def work(args, error=error):
            raise error
        refused(capsys, opts.run, opts.Parser("x"), work, [])
        assert told(error)
    assert told(ValueError("zip() argument 2 is longer")) is None


def loses(error):
    raise error


@forks
def test_wrong_input_stays_wrong_input_in_other_processes():
    with pytest.raises(UserError, match="give another"), writers(1) as submit:
        submit(loses, UserError("give another"))
    assert next(in_parallel(loses, 2 * [UserError("give another")], 2))[2] == "give another"


def test_a_fault_beside_a_file_of_the_cache(data_set, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("model.feature_cache.FeatureCache._path", key_error)
    raises_a_fault(capsys, key_error, "inference", *options_for("inference", data_set, trained, tmp_path / "out"),
                   "--feature_cache", tmp_path / "cache")
