"""The page of a run: one file that asks for nothing, and nothing from the data becomes markup."""

import shutil

import numpy as np
import pytest

from saliency.report import page as report
from saliency.report.page import write_report
from saliency.report.pictures import QUALITIES, compress, grey_levels, scale_of, sheet_of
from tests.report_data import EVIL, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The page of a run, and what was drawn from: see tests.report_data.make_run."""
    return make_run(tmp_path_factory.mktemp("run"))


def test_the_page_is_one_file_that_asks_for_nothing(run):
    text = run[0].read_text()
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 1  # the policy's http-equiv
    assert "default-src 'none'" in text
    assert EVIL not in text and text.count("<script") == text.count("</script>") == 2


def test_a_map_has_the_scale_of_its_clip():
    values = np.ones((5, 8, 8)) * np.array([0, 1, 2, 4, 4])[:, None, None]
    assert scale_of(values) == {"limit": 4, "signed": False, "beyond": False, "peaks": [4, 1, 2, 4, 4],
                                "ends": [1, 1, 2, 4, 4]}
    sheet = sheet_of(grey_levels(values, [4] * 5, signed=False))  # 2 rows of 3 tiles
    assert sheet[::8, ::8].tolist() == [[0, 128, 180], [255, 255, 0]]  # 255 times the square root of the share
    assert grey_levels(np.array([-4.0, 0, 1, np.nan]), [4] * 4, signed=True).tolist() == [1, 128, 192, 128]


def test_a_faint_frame_keeps_its_own_range_of_levels():
    values = np.linspace(0, 1, 1000)[None] * np.array([1, 1e-4])[:, None]  # (2, pixels)
    scale = scale_of(values)
    assert scale["ends"] == pytest.approx([0.995, 0.995e-4], rel=1e-3) and scale["beyond"]
    assert scale["peaks"] == pytest.approx([0.995, 1e-4], rel=1e-3)
    levels = grey_levels(values, scale["peaks"], scale["signed"])
    assert len(np.unique(levels[1])) > 200
    back = (levels / 255) ** 2 * np.array(scale["peaks"])[:, None]
    np.testing.assert_allclose(back[1], values[1], atol=1e-4 / 200)


def test_pictures_are_compressed_until_they_fit():
    noise = [np.random.default_rng(0).integers(0, 256, (120, 120), dtype=np.uint8)]
    (best,), first = compress(noise, 10**6)
    (tight,), quality = compress(noise, 7000)
    assert first == QUALITIES[0] > quality and len(tight) * 3 / 4 <= 7000 < len(best) * 3 / 4
    assert compress(noise, 7000, quality) == ([tight], quality)
    assert compress(noise, 10, QUALITIES[-1])[1] == QUALITIES[-1]


def test_without_results_the_error_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no result folder"):
        write_report(tmp_path)


def test_a_failure_leaves_the_old_page_and_nothing_else(run, tmp_path, monkeypatch):
    folder = shutil.copytree(run[0].parent, tmp_path / "copy")
    before, names = run[0].read_bytes(), sorted(folder.iterdir())
    monkeypatch.setattr(report, "_about", lambda *parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before and sorted(folder.iterdir()) == names
