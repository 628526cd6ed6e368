"""Two processes give what one gives, to the byte."""

import pytest

from model import distributed
from runtime import processes
from tests.forks import forked, forks
from tests.runs import bytes_of, data_options, run_command
from tests.tiny_data import CLIP

UNLIKE = ("opts.json", "report.html")  # they tell of the folder
MINE, YOURS = "person22_running_d1_1", "person22_walking_d1_2"  # a clip of the first and one of the second process


def results(folder):
    """Return what must be the same."""
    return {name: content for name, content in bytes_of(folder).items() if name not in UNLIKE}


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
               "--clips", CLIP, YOURS]
    run_command("feature_saliency", *options)
    (tmp_path / "out" / "walking" / YOURS / "metrics.json").write_text("{")
    before = bytes_of(tmp_path / "out")
    codes, printed = forked(tmp_path / "log", run_command, "feature_saliency", *options)
    assert codes == [2, 2]
    lines = [line for line in printed.splitlines() if not line.startswith("computing on")]
    assert len(lines) == 1 and "metrics.json is not valid JSON" in lines[0]
    assert bytes_of(tmp_path / "out") == before
    codes, printed = forked(tmp_path / "again", run_command, "feature_saliency", *options, "--limit", "none")
    assert codes == [2, 2]
    assert printed.count("\n") == 1 and "--limit" in printed


def test_alone_there_is_nobody_to_wait_for():
    assert (processes.world(), processes.rank(), processes.is_first(), processes.gather(3)) == (1, 0, True, [3])
    assert processes.merged([4, 5]) == [4, 5] and list(processes.own(2)) == [0, 1]
    assert distributed.share(7) == slice(0, 7)
