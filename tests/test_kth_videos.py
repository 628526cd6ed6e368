"""tests/benchmarks/kth_videos.py: ranges and clips as the benchmarks read them."""

import pytest

from tests.benchmarks import class_pointing, when
from tests.benchmarks.kth_videos import centred_clips, ranges_beside
from tests.passing import PASSES

VIDEO = "person11_walking_d1"


def test_ranges_are_found_in_the_folder_beside_it_or_where_they_are_named(tmp_path):
    videos = tmp_path / "kth_data"
    videos.mkdir()
    (tmp_path / "00sequences.txt").write_text(f"{VIDEO} frames 1-9")
    assert ranges_beside(videos) == {VIDEO: [(1, 9)]}
    (videos / "00sequences.txt").write_text(f"{VIDEO} frames 2-9")
    assert ranges_beside(videos) == {VIDEO: [(2, 9)]}  # the folder itself comes first
    (tmp_path / "mine.txt").write_text(f"{VIDEO} frames 3-9, 20-30")
    assert ranges_beside(videos, tmp_path / "mine.txt") == {VIDEO: [(3, 9), (20, 30)]}


def test_no_ranges(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no ranges at .*00sequences\.txt or .*; give KTH's 00sequences\.txt"):
        ranges_beside(tmp_path / "kth_data")
    with pytest.raises(FileNotFoundError, match=r"no ranges at \S*mine\.txt; give"):
        ranges_beside(tmp_path, tmp_path / "mine.txt")


def test_clips_lie_in_the_middle_of_the_passages(raw):
    video = raw / "walking" / f"{VIDEO}_uncomp.avi"
    ranges = ranges_beside(raw)[VIDEO]
    clips = centred_clips(video, ranges, 10, 24)
    assert [clip.shape for clip in clips] == [(10, 24, 24, 3)] * len(PASSES)
    assert all((frame.max((1, 2)) > 200).any() for clip in clips for frame in clip)  # the person is in every frame
    assert centred_clips(video, [*ranges, (91, 120)], 10, 24)[2:] == []  # a range beyond the last frame, 90
    assert centred_clips(video, ranges, 91, 24) == []


def test_a_benchmark_without_models_ends_in_one_line(tmp_path, capsys):
    for benchmark in (when, class_pointing):
        with pytest.raises(SystemExit) as caught:
            benchmark.main(["--models", str(tmp_path)])
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith(f"no models in {tmp_path}; train them with ")
