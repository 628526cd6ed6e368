"""Facts about KTH: names and ranges."""

import pytest

from data.datasets.kth import parse_name, read_sequences
from tests.runs import KTH

REAL = KTH / "00sequences.txt"


@pytest.mark.parametrize("stem, expected", [
    ("person01_running_d1_uncomp", (1, "running", "d1")),
    ("person25_walking_d4", (25, "walking", "d4")),
    ("person07_handwaving_d3_2_1", (7, "handwaving", "d3")),
    ("person7_running_d3", None),
    ("person07_running_d5", None),
    ("person07_running_d33", None),
    ("v_Walking_g01_c01", None),
])  # fmt: skip
def test_parse_name(stem, expected):
    assert parse_name(stem) == expected


def test_ranges_of_awkward_lines(tmp_path):
    path = tmp_path / "ranges.txt"
    path.write_bytes(
        b"Prose about frames 1-9 in six classes\r\n\r\n"
        b"Training:   person11, 12, 13\r\n"
        b"person01_walking_d1\t\tframes\t1-75, 152-225\r\n"  # tabs and CRLF
        b"person02_walking_d1    \t\tframes\t1-28 ,  78 - 110  \n"  # blanks, a range shorter than 30 frames
        b"person07_running_d4\t\tframes\t1-52, 310-358, 224-274\n"  # out of order
        b"person03_walking_d4\t\tframes\t232-338, 338-432\n"  # overlapping
        b"person13_handclapping_d3\t*missing*\n"
        b"my own video.avi\n"
        b"caf\xe9 frames 5-50"  # neither UTF-8 nor a line end
    )
    assert read_sequences(path) == {
        "person01_walking_d1": [(1, 75), (152, 225)],
        "person02_walking_d1": [(1, 28), (78, 110)],
        "person07_running_d4": [(1, 52), (224, 274), (310, 358)],
        "person03_walking_d4": [(232, 338), (338, 432)],
        "caf\ufffd": [(5, 50)],
    }


@pytest.mark.parametrize("line, message", [
    ("person01_walking_d1 frames 9-5", "line 2: 9-5 is not a range"),
    ("person01_walking_d1 frames 0-5", "line 2: 0-5 is not a range"),
    ("person01_walking_d1", "holds no line like"),
])  # fmt: skip
def test_ranges_that_make_no_sense(tmp_path, line, message):
    path = tmp_path / "ranges.txt"
    path.write_text(f"# ranges\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_sequences(path)


@pytest.mark.skipif(not REAL.is_file(), reason="KTH's 00sequences.txt is not here")
def test_the_real_file():
    sequences = read_sequences(REAL)
    assert len(sequences) == 599  # 25 persons x 6 actions x 4 scenarios, one is missing
    assert all(parse_name(name) for name in sequences)
    ours = {name: ranges for name, ranges in sequences.items() if parse_name(name)[1] in ("walking", "running")}
    assert len(ours) == 200 and all(len(ranges) == 4 for ranges in ours.values())
    short = [name for name, ranges in ours.items() for first, last in ranges if last - first + 1 < 30]
    assert sorted(short) == ["person07_running_d1"] * 2 + ["person23_running_d1"] * 3 + ["person23_running_d3"]
    assert sequences["person01_running_d1"] == [(1, 35), (95, 130), (202, 235), (295, 335)]
    assert sequences["person07_running_d4"] == [(1, 52), (68, 115), (224, 274), (310, 358)]
    assert sequences["person03_walking_d4"] == [(1, 92), (118, 216), (232, 338), (338, 432)]
