"""Two processes give what one gives: training to rounding, results of the other scripts to the byte.

torchrun itself is started once, which takes seconds; elsewhere its variables are set in forked processes.
"""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed import TCPStore
from torch.nn.functional import cross_entropy
from torchvision.ops import StochasticDepth

from model import distributed
from model.checkpoint import read_checkpoint
from runtime import processes
from tests.conftest import bytes_of, data_options, run_command, train_options

ROOT = Path(__file__).resolve().parents[1]
UNLIKE = ("opts.json", "report.html")  # they tell of the folder
MINE, YOURS = "person22_running_d1_1", "person22_walking_d1_2"  # a clip of the first and one of the second process


def forked(log, function, *arguments):
    """Call a function in two processes as torchrun would start them. Returns their exit codes and what they print."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def run(number):
        os.environ.update(TORCHELASTIC_RUN_ID="test", TORCHELASTIC_USE_AGENT_STORE="True", MASTER_ADDR="127.0.0.1",
                          MASTER_PORT=str(store.port), WORLD_SIZE="2", RANK=str(number), LOCAL_RANK=str(number))
        sys.stdout = sys.stderr = sys.__stderr__ = log.open("a", buffering=1)
        function(*arguments)

    context = multiprocessing.get_context("fork")
    both = [context.Process(target=run, args=(number,)) for number in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        process.kill()
    return [process.exitcode for process in both], log.read_text()


forks = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def results(folder):
    return {name: content for name, content in bytes_of(folder).items() if name not in UNLIKE}


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


@forks
@pytest.mark.parametrize(("script", "more"), [
    ("frame_saliency", ["--limit", 3, "--tsr", "--tsr_patch", 12, "--no_overlay"]),
    ("feature_saliency", ["--limit", 3]), ("inference", []),
])
def test_shares_of_the_clips_merge_into_the_same_results(own_data_set, trained, tmp_path, script, more):
    """One of the clips cannot be read; of the saliency scripts, the first is there before."""
    (own_data_set.images / "running" / MINE / "n_frames").write_text("many")
    options = [*data_options(own_data_set), "--resume_path", trained / "best.pth", *more, "--result_path"]
    run_command(script, *options, tmp_path / "one")
    run_command(script, *options, tmp_path / "two", "--limit", 1)
    codes, printed = forked(tmp_path / "log", run_command, script, *options, tmp_path / "two")
    assert codes == [0, 0], printed
    assert results(tmp_path / "one") == results(tmp_path / "two")
    assert printed.count("is left out") == printed.count("1 left out") == 1


@forks
def test_an_error_of_one_process_ends_both_in_one_line(data_set, trained, tmp_path):
    options = [*data_options(data_set), "--resume_path", trained / "best.pth", "--result_path", tmp_path / "out",
               "--limit", 2]
    run_command("feature_saliency", *options)
    (tmp_path / "out" / "walking" / YOURS / "metrics.json").write_text("{")
    before = bytes_of(tmp_path / "out")
    codes, printed = forked(tmp_path / "log", run_command, "feature_saliency", *options)
    assert codes == [2, 2]
    assert printed.count("\n") == 1 and "metrics.json is not valid JSON" in printed
    assert bytes_of(tmp_path / "out") == before
    codes, printed = forked(tmp_path / "again", run_command, "feature_saliency", *options, "--limit", "none")
    assert codes == [2, 2]
    assert printed.count("\n") == 1 and "--limit" in printed


def steps():
    """Loss, gradients and statistics of three batches, the second of fewer clips than there are processes."""
    torch.manual_seed(0)
    model = nn.Sequential(  # clips (B, 2, 2, 5, 5)
        nn.Flatten(0, 1), nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), StochasticDepth(0.5, "row"), nn.Dropout(0.5),
        nn.ReLU(), nn.Flatten(), nn.Unflatten(0, (-1, 2)), nn.Flatten(), nn.Dropout(0.3), nn.Linear(72, 2),
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


@forks
def test_batch_norm_and_chance_are_those_of_the_whole_batch(tmp_path):
    def together():
        with processes.together():
            processes.join("gloo")
            torch.save(steps(), tmp_path / f"{processes.rank()}.pt")

    codes, printed = forked(tmp_path / "log", together)
    assert codes == [0, 0], printed
    for number in range(2):
        for mine, whole in zip(torch.load(tmp_path / f"{number}.pt"), steps(), strict=True):
            torch.testing.assert_close(mine, whole, rtol=1e-9, atol=1e-12)


def test_alone_there_is_nobody_to_wait_for():
    assert (processes.world(), processes.rank(), processes.first(), processes.gather(3)) == (1, 0, True, [3])
    assert processes.spread(str, [4, 5]) == ["4", "5"]
    assert distributed.share(7) == slice(0, 7)
