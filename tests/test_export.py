"""Export of chosen frames: what is in the files, and which map is drawn."""


import numpy as np
import pytest
from PIL import Image, ImageSequence

from runtime.declare import EXPORTS
from runtime.files import write_json
from saliency.export import WRITERS, drawn_map, export_clips, map_of, strip
from saliency.figures import overlay_frames
from saliency.results.clip import ClipResult
from tests.report_data import save_clip, stand_in_maps, walk
from tests.runs import bytes_of, refused, run_command, use


@pytest.fixture
def run(tmp_path):
    """A run of two clips of eight frames, and its arrays."""
    arrays = stand_in_maps(walk())
    for number, name in enumerate(("a", "b")):
        save_clip(tmp_path, name, arrays, number=number)
    write_json(tmp_path / "opts.json", {"options": {"method": "gradient", "tsr": True, "tsr_step": "full"}})
    return tmp_path, arrays


def frames_of(content):
    """Return the frames of a GIF, and how long they are shown, in milliseconds."""
    image = Image.open(content)
    return [(np.array(frame.convert("RGB")).astype(int), frame.info["duration"])
            for frame in ImageSequence.Iterator(image)]


def test_a_gif_shows_the_chosen_frames_in_their_order(run):
    folder, arrays = run
    path, = export_clips(folder, ["clip000"], ["gif"], 3, 6, "gradient")
    assert path == folder / "class/clip000/gradient_3-6.gif"
    expected = overlay_frames(arrays["frames"], arrays["gradient"], 2)  # the scale is that of the whole clip
    found = frames_of(path)
    assert len(found) == 4 and all(duration == 120 for _, duration in found)  # GIF counts in hundredths of a second
    for (frame, _), drawn in zip(found, expected[2:6], strict=True):
        others = [np.abs(frame - other).mean() for other in expected]
        assert np.abs(frame - drawn).mean() == min(others) < 5


def test_a_png_has_a_column_per_frame_with_its_number():
    frames, maps = walk(length=12), np.random.default_rng(0).random((12, 32, 32))
    figure = strip(frames, maps, 2, 12)
    upper, lower = figure.axes
    assert [text.get_text() for text in upper.get_xticklabels()] == [str(number) for number in range(2, 12)]
    assert [text.get_text() for text in lower.get_xticklabels()] == ["12"]
    picture = upper.images[0].get_array()
    assert picture.shape == (64, 320, 3)
    np.testing.assert_array_equal(picture[:32, 32:64, 0], frames[2])


@pytest.mark.parametrize(("options", "name"), [
    ({"method": "freeze", "signed": True}, "evidence_freeze"), ({"method": "freeze"}, "freeze"),
    ({"method": "freeze", "tsr": True}, "freeze"), ({"method": "gone"}, "gradient"), ({}, "gradient"),
])
def test_the_map_of_the_run_is_drawn(options, name):
    result = ClipResult({}, frames=walk(), maps={"gradient": np.zeros((8, 32, 32)), "freeze": np.ones((8, 32, 32))},
                        evidence={"freeze": -np.ones((8, 32, 32))})
    assert drawn_map(result, options) == name
    if name in ("freeze", "evidence_freeze"):
        assert map_of(result, name).mean() == (-1 if name.startswith("evidence") else 1)


def test_a_map_that_tells_only_frames_apart_is_exported_as_a_border(tmp_path):
    values = np.arange(8.0)[:, None, None].repeat(32, 1).repeat(32, 2)
    (tmp_path / "class/a").mkdir(parents=True)
    ClipResult({"clip": "a", "freeze_time_only": 1.0}, frames=walk(), maps={"freeze": values}).write(
        tmp_path / "class/a/saliency.npz")
    path, = export_clips(tmp_path, ["a"], ["gif"], map_name="freeze")
    plain, coloured = frames_of(path)[-1][0][:64, :64], frames_of(path)[-1][0][:64, -64:]
    assert np.abs(plain - coloured)[8:-8, 8:-8].mean() < 5 < np.abs(plain - coloured)[:3].mean()


def test_the_command_exports_all_clips_and_overwrites_nothing(run, capsys):
    folder, _ = run
    run_command("utils.export_clip", folder, "--frames", "7-40", "--export", "gif", "png")
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(folder / f"class/clip00{number}/tsr_7-8.{kind}") for number in (0, 1)
                       for kind in ("gif", "png")]
    before = bytes_of(folder)
    assert "exists already; pass --overwrite" in refused(capsys, "utils.export_clip", folder, "--frames", "7-8")
    assert bytes_of(folder) == before
    run_command("utils.export_clip", folder, "--frames", "7", "--export", "png", "--overwrite", "--clips", "clip001")
    assert capsys.readouterr().out.strip().endswith("tsr_7-7.png")


@pytest.mark.parametrize(("options", "complaint"), [
    (["--clips", "nobody"], "has no results of a clip nobody; it has 2 clips, such as clip000"),
    (["--map", "freeze"], "hold no map freeze; they hold gradient, tsr, flow"),
    (["--frames", "9-12"], "no frame from 9 on was exported"),
    (["--frames", "5-4"], "5-4 is no range of frames such as 5-20"),
    (["--frames", "0-4"], "0-4 is no range of frames"), (["--frames", "x"], "x is no range of frames"),
])
def test_bad_input_ends_in_one_line(run, capsys, options, complaint):
    before = bytes_of(run[0])
    assert complaint in refused(capsys, "utils.export_clip", run[0], *options)
    assert bytes_of(run[0]) == before


def test_frame_saliency_exports_also_results_that_it_keeps(data_set, trained, tmp_path, capsys):
    assert set(WRITERS) == set(EXPORTS)
    options = "--limit", 1, "--no_overlay", "--no_when"
    use("frame_saliency", data_set, trained, tmp_path / "out", *options)
    assert not list(tmp_path.rglob("*.gif"))
    use("frame_saliency", data_set, trained, tmp_path / "out", *options, "--export", "gif", "--export_frames", "2-4")
    path, = tmp_path.rglob("*.gif")
    assert path.name == "gradient_2-4.gif" and len(frames_of(path)) == 3
    assert "1 kept from before" in capsys.readouterr().out
    assert "--export_frames belongs to export" in refused(
        capsys, "frame_saliency", "--export_frames", "2-4", "--result_path", tmp_path / "new")
