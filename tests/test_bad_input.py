"""Bad input on every command line: one line that says what was given and found, status 2, and nothing lost."""

import shutil

import pytest

from tests.bad_cases import CASES, options_of
from tests.bad_files import damage_annotations, damage_checkpoints, damage_images
from tests.runs import bytes_of, refused


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


def test_newlines_in_what_was_given_stay_in_one_line(good, results, capsys):
    for flags in (["--annotation_path", "no\nwhere"], ["--no\nflag"], ["--dataset", "a\nb"]):
        refused(capsys, "main", *options_of("main", good, results), *flags)
