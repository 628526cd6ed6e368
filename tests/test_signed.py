"""Evidence for and against the explained class: of each method, and with --signed in arrays, figures and the page."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import frame_saliency
from saliency import figures
from saliency.fills import background
from saliency.methods import METHODS, attribute
from saliency.results.clip import ClipResult
from tests.drawn import drawn_images
from tests.runs import as_seen, data_options, refused, use
from tests.tiny_data import CLIP, DURATION, SIZE
from tests.toys import LENGTH, SIDE, score_of

OPTIONS = {"tsr": {"patch": 20, "step": "time"}, "integrated_gradients": {"points": 2}}  # so that they take no time
NAME = "gradient_x_input"
SIGNED = [name for name, method in METHODS.items() if method.signed]


@pytest.fixture(scope="module")
def explained(data_set, trained, tmp_path_factory):
    """A run with --signed: its folder, and the figures that it drew."""
    folder, drawn = tmp_path_factory.mktemp("signed"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save_figures", lambda some, *place: drawn.update(some))
        use("frame_saliency", data_set, trained, folder, "--limit", 1, "--signed", "--method", NAME, "--compare",
            "freeze", "--tsr", "--tsr_step", "time", "--target", "running", "--threads", 1)
    return SimpleNamespace(folder=folder, result=ClipResult.read(folder / "walking" / CLIP / "saliency.npz"), **drawn)


@pytest.mark.parametrize("name", METHODS)
def test_methods_with_a_sign_have_evidence_and_the_others_have_none(case, name):
    options = {"samples": 2} if "smoothgrad" in name else OPTIONS.get(name, {})
    found = attribute(METHODS[name], *case, 1, **options)
    assert (found.evidence is not None) == METHODS[name].signed
    if METHODS[name].signed:
        assert found.evidence.shape == found.map.shape == (LENGTH, SIDE, SIDE)
        assert torch.isfinite(found.evidence).all()


def test_evidence_of_a_linear_model_by_hand(linear):
    """The score is the sum of w x, so x w is what a pixel adds, and (x - background) w what it adds to the scene."""
    model, clip = linear
    weights = model.w[1].detach().view(clip.shape)
    added = ((clip - background(clip)) * weights).sum(1)  # (T, H, W)
    pixel_by_pixel = {"frames": 1, "pixels": 1}
    torch.testing.assert_close(attribute(METHODS[NAME], model, clip, 1).evidence, (clip * weights).sum(1))
    torch.testing.assert_close(attribute(METHODS["integrated_gradients"], model, clip, 1, points=3).evidence, added)
    torch.testing.assert_close(attribute(METHODS["occlusion_block"], model, clip, 1, **pixel_by_pixel).evidence, added)
    of_frames = attribute(METHODS["occlusion_frame"], model, clip, 1).evidence
    torch.testing.assert_close(of_frames, added.sum((1, 2))[:, None, None].expand_as(of_frames))


def test_evidence_is_positive_where_the_input_raises_the_score(linear):
    """Without the pixel the score is lower by its evidence, for both classes."""
    model, clip = linear
    for target in (0, 1):
        evidence = attribute(METHODS["integrated_gradients"], model, clip, target, points=3).evidence
        for place in ((0, 1, 2), (1, 4, 0), (2, 2, 2)):
            t, row, column = place
            without = clip.clone()
            without[t, :, row, column] = background(clip)[:, row, column]
            drop = score_of(model, clip, target) - score_of(model, without, target)
            assert evidence[place].item() == pytest.approx(drop)


def test_evidence_is_saved_and_read_again(data_set, trained, explained):
    result, (model, info, clip) = explained.result, as_seen(data_set, trained)
    assert set(result.maps) == {"gradient", NAME, "freeze", "tsr"}
    assert set(result.evidence) == {NAME, "freeze"}  # the gradient and TSR have no sign
    expected = attribute(METHODS[NAME], model, clip, info.classes.index("running")).evidence.numpy()
    np.testing.assert_allclose(result.evidence[NAME], expected, atol=1e-4 * np.abs(expected).max())
    assert result.evidence[NAME].shape == (DURATION, SIZE, SIZE)
    assert result.evidence[NAME].min() < 0 < result.evidence[NAME].max()
    assert all(values.min() >= 0 for values in result.maps.values())
    with np.load(explained.folder / "walking" / CLIP / "saliency.npz") as archive:
        assert {f"evidence_{NAME}", "evidence_freeze"} <= set(archive.files)


def test_evidence_is_kept_without_the_flag_and_the_map_is_drawn(data_set, trained, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(figures, "save_figures", lambda some, *place: drawn.update(some))
    use("frame_saliency", data_set, trained, tmp_path, "--limit", 1, "--method", NAME, "--no_overlay", "--threads", 1)
    result = ClipResult.read(tmp_path / "walking" / CLIP / "saliency.npz")
    assert set(result.evidence) == {NAME} and result.evidence[NAME].min() < 0
    assert drawn_images(drawn["frames"])[1].get_clim()[0] == 0


def test_what_a_method_says_of_frames_only_is_drawn_as_a_border(data_set, trained, tmp_path, monkeypatch):
    drawn, videos = {}, []
    monkeypatch.setattr(figures, "save_figures", lambda some, *place: drawn.update(some))
    monkeypatch.setattr(frame_saliency, "write_video", lambda path, frames, fps: videos.append(frames))
    use("frame_saliency", data_set, trained, tmp_path, "--limit", 1, "--method", "freeze", "--threads", 1)
    result = ClipResult.read(tmp_path / "walking" / CLIP / "saliency.npz")
    assert drawn["frames"].axes[1].get_images()[1].get_array()[3:SIZE - 1, 3:SIZE - 1].mask.all()
    assert (videos[0][:, 4:SIZE - 4, -SIZE + 4:-4] == result.frames[:, 4:-4, 4:-4, None]).all()
    line = next(line for axes in drawn["time"].axes for line in axes.lines if len(line.get_xdata()) == DURATION)
    np.testing.assert_allclose(line.get_ydata(), result.maps["freeze"][:, 0, 0] / result.maps["freeze"].max())
    assert drawn["time"].legends[0].texts[0].get_text().startswith("freeze, share of the largest")


@pytest.mark.parametrize("more", [[], *(["--method", name] for name in METHODS if name not in SIGNED)])
def test_a_method_without_a_sign_is_refused(data_set, trained, tmp_path, capsys, more):
    line = refused(capsys, "frame_saliency", *data_options(data_set), "--resume_path", trained / "best.pth",
                   "--result_path", tmp_path / "out", "--signed", *more)
    assert f"--method {(more or ['', 'gradient'])[1]} has no sign; give one of: {', '.join(SIGNED)}" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("signed", [True, False])
def test_deletion_takes_the_positive_part_first(data_set, trained, tmp_path, monkeypatch, signed):
    seen = {}
    monkeypatch.setattr("saliency.deletion.deletion_metrics",
                        lambda model, clip, target, maps, *more, **options: seen.update(maps) or {})
    use("frame_saliency", data_set, trained, tmp_path, "--limit", 1, "--no_overlay", "--deletion", "--method", NAME,
        *["--signed"] * signed)
    result = ClipResult.read(tmp_path / "walking" / CLIP / "saliency.npz")
    assert set(seen) == {"gradient", NAME, "frame_difference"}
    np.testing.assert_array_equal(seen["gradient"], result.maps["gradient"])
    np.testing.assert_array_equal(seen[NAME], result.evidence[NAME].clip(min=0) if signed else result.maps[NAME])
