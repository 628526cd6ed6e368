"""Progress without a terminal, with a clock that the test moves."""

import pytest

from runtime.progress import Progress, each, in_words


def test_a_line_every_minute(clock, capsys):
    for _ in each(range(10), "explaining", "clip"):
        clock[0] += 25
    lines = capsys.readouterr().err.replace("\r", "\n").split("\n")
    assert [line.split("|")[-1].split(" [")[0].strip() for line in lines if line] == ["3/10", "6/10", "9/10", "10/10"]
    assert lines[1].startswith("explaining:  30%") and "[01:15<02:55, 25.00s/ clip]" in lines[1]


def test_short_work_is_quiet(clock, capsys):
    for _ in each(range(10), "explaining", "clip"):
        clock[0] += 5.9
    assert capsys.readouterr() == ("", "")


def test_the_time_of_all_steps_is_said_once_after_the_first_one(clock, capsys):
    for _ in range(2):
        with Progress(45, "sanity", "map", announce=True) as bar:
            for _ in range(2):
                clock[0] += 4
                bar.update()
    assert capsys.readouterr().err == "sanity: 45 maps take about 3 minutes\n"


def test_steps_that_were_done_before_are_not_timed(clock, capsys):
    with Progress(10, "training", "epoch", announce=True, initial=6) as bar:
        clock[0] += 12
        bar.update(2)
    assert capsys.readouterr().err == "training: 10 epochs take about 24 seconds\n"


@pytest.mark.parametrize(("seconds", "words"), [
    (0.2, "1 second"), (99, "99 seconds"), (119, "2 minutes"), (5000, "83 minutes"), (12600, "3.5 hours"),
])
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
