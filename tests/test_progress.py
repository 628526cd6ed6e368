"""Progress without a terminal, with a clock that the test moves."""

import pytest

from runtime import progress
from runtime.progress import Progress, each, in_words
from saliency.tsr.progress import Bar


def test_a_line_at_most_every_minute(clock, capsys):
    for _ in each(range(10), "explaining", "clip"):
        clock[0] += 25
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "explaining: 3 of 10 clips, 01:15 elapsed, about 02:55 left",
        "explaining: 6 of 10 clips, 02:30 elapsed, about 01:40 left",
        "explaining: 9 of 10 clips, 03:45 elapsed, about 00:25 left"]


def test_short_work_is_quiet(clock, capsys):
    for _ in each(range(10), "explaining", "clip"):
        clock[0] += 5.9
    assert capsys.readouterr() == ("", "")


def test_a_line_names_all_bars_that_are_open(clock, capsys):
    with Progress(2, "explaining", "clip") as clips:
        clock[0] += 10
        clips.update()
        with Progress(40, "TSR", "perturbation") as inner:
            for _ in range(3):
                clock[0] += 30
                inner.update(10)
    assert capsys.readouterr().err.splitlines() == [  # 70 seconds after the start, and not again 30 seconds later
        "explaining: 1 of 2 clips, 01:10 elapsed, about 01:10 left; TSR: 20 of 40 perturbations, 01:00 elapsed, about "
        "01:00 left"]


def test_tsr_tells_its_progress_though_its_total_grows(clock, capsys):
    with Bar(100) as bar:
        for _ in range(3):
            bar(12.5)
        bar.more(50)
        clock[0] += 75
        bar(12.5)
    assert capsys.readouterr().err == "TSR: 50 of 150 steps, 01:15 elapsed, about 02:30 left\n"


def test_steps_that_were_done_before_are_not_timed(clock, capsys):
    with Progress(10, "training", "epoch", initial=6) as bar:
        clock[0] += 120
        bar.update(2)
    assert capsys.readouterr().err == "training: 8 of 10 epochs, 02:00 elapsed, about 02:00 left\n"
    with Progress(None, "reading", "frame") as bar:
        clock[0] += 61
        bar.update()
    assert capsys.readouterr().err == "reading: 1 frame, 01:01 elapsed\n"


def test_the_time_of_all_steps_is_said_after_the_first_one(clock, capsys):
    with Progress(45, "sanity", "map", announce=True) as bar:
        for _ in range(2):
            clock[0] += 4
            bar.update()
    assert capsys.readouterr().err == "sanity: 45 maps take about 3 minutes\n"


def test_the_time_is_said_once_and_for_all_clips(clock, capsys):
    for _ in each(range(3), "explaining", "clip"):
        with Progress(5, "deletion", "curve", announce=True) as bar:
            for _ in range(5):
                clock[0] += 2
                bar.update()
    assert capsys.readouterr().err == ("deletion: 5 curves take about 10 seconds, and about 30 seconds for the 3 clips "
                                       "that are left\n")


def test_an_error_closes_the_bar(clock):
    with pytest.raises(ValueError), Progress(2, "explaining", "clip"):
        raise ValueError
    assert progress._open == []


@pytest.mark.parametrize(("seconds", "words"), [
    (0.2, "1 second"), (99, "99 seconds"), (119, "2 minutes"), (5000, "83 minutes"), (12600, "3.5 hours"),
])
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
