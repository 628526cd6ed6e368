"""The page of a run: one file that asks for nothing, and nothing from the data becomes markup."""

import shutil

import numpy as np
import pytest

from saliency.figures import montage
from saliency.report import page as report
from saliency.report.page import write_report
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
    assert report._scale(values) == {"limit": 4.0, "signed": False, "beyond": False}
    sheet = montage(report._levels(values), 3, border=0)  # 2 rows of 3 tiles
    assert sheet[::8, ::8].tolist() == [[0, 64, 128], [255, 255, 0]]
    signed = np.array([-4.0, 0, 2, np.nan])
    assert report._levels(signed).tolist()[1:] == [128, 192, 128]


def test_pictures_are_compressed_until_they_fit():
    noise = [np.random.default_rng(0).integers(0, 256, (9, 40, 40), dtype=np.uint8)]
    best, tight = (len(report._compress(noise, allowed)[0]) for allowed in (10**6, 7000))
    assert tight * 3 / 4 <= 7000 < best * 3 / 4


def test_without_results_the_error_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run frame_saliency\.py first"):
        write_report(tmp_path)


def test_a_failure_leaves_the_old_page_and_nothing_else(run, tmp_path, monkeypatch):
    folder = shutil.copytree(run[0].parent, tmp_path / "copy")
    before, names = run[0].read_bytes(), sorted(folder.iterdir())
    monkeypatch.setattr(report, "_run", lambda *parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before and sorted(folder.iterdir()) == names
