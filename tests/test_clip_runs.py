"""A run over clips: what is kept, left out and counted."""

import errno
import json

import pytest

from data.clips import Clip
from runtime.clip_runs import explain_clips, map_clips, read_or_warn, result_folder
from runtime.errors import UserError
from runtime.files import write_json
from saliency.results.run import checked_metrics

CLIPS = [Clip("a", "walking", "testing", None), Clip("b", None, None, None), Clip("bad", "walking", "testing", None)]


def read(clip):
    if clip.name == "bad":
        raise UserError("image 3 is not whole")
    return f"content of {clip.name}"


def finish(folder):
    (folder / "saliency.npz").touch()
    write_json(folder / "metrics.json", {"gradient": {"last_quarter_share": 0.5}})


def explain(clip, content):
    assert content == f"content of {clip.name}"
    return finish


def test_results_are_kept_or_made_again_and_what_cannot_be_read_is_left_out(tmp_path):
    row = {"gradient": {"last_quarter_share": 0.5}}
    for overwrite, explained, kept in ((False, 2, 0), (False, 0, 2), (True, 2, 0)):
        with pytest.warns(UserWarning, match="bad is left out: image 3 is not whole"):
            rows, counts = explain_clips(CLIPS, read, explain, checked_metrics, tmp_path, overwrite)
        assert rows == {"a": row, "b": row}
        assert counts == f"{explained} clips explained, {kept} kept from before, 1 left out"
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.npz")} == {
        "walking/a/saliency.npz", "video/b/saliency.npz"}
    (tmp_path / "walking" / "a" / "metrics.json").write_text("[]")
    with pytest.raises(ValueError, match="does not hold the metrics of a clip"):
        explain_clips(CLIPS[:1], read, explain, checked_metrics, tmp_path)


def test_an_error_while_explaining_is_not_that_of_a_clip(tmp_path):
    def fail(clip, content):
        raise ValueError("the model overflows")

    with pytest.raises(ValueError, match="the model overflows"):
        explain_clips(CLIPS, read, fail, checked_metrics, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def half(folder):
    (folder / "half").touch()
    raise OSError(errno.ENOSPC, "no room")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_while_writing_is_raised_and_leaves_nothing(tmp_path, threads):
    with pytest.raises(OSError, match="no room") as caught:
        explain_clips(CLIPS[:2], read, lambda *clip: half, checked_metrics, tmp_path, threads=threads)
    assert caught.value.errno == errno.ENOSPC
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_explained_before_an_error_is_kept(tmp_path, threads):
    def explain_first(clip, content):
        if clip.name == "b":
            raise KeyboardInterrupt
        return finish

    with pytest.raises(KeyboardInterrupt):
        explain_clips(CLIPS[:2], read, explain_first, checked_metrics, tmp_path, threads=threads)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "walking/a/saliency.npz", "walking/a/metrics.json"}


def test_nothing_that_can_be_read_is_an_error():
    assert map_clips(CLIPS, lambda clip: clip.label) == [(CLIPS[0], "walking"), (CLIPS[2], "walking")]
    with pytest.raises(ValueError, match="none of the 3 clips could be read"):
        map_clips(CLIPS, lambda clip: None)
    with pytest.warns(UserWarning, match="bad is left out"):
        assert read_or_warn(read, CLIPS[2]) is None


def test_a_result_folder_has_its_recipe_and_one_writer(tmp_path):
    with result_folder(tmp_path / "results", {"seed": 1, "overwrite": False}):
        assert json.loads((tmp_path / "results" / "opts.json").read_text())["options"]["seed"] == 1
    with pytest.raises(ValueError, match=r"was made with --seed 1 \(now 2\)"), \
            result_folder(tmp_path / "results", {"seed": 2, "overwrite": False}):
        pytest.fail("a folder that was made otherwise was entered")
