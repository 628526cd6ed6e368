"""The page of a run: one file that asks for nothing, and nothing from the data becomes markup."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from saliency.report import page as report
from saliency.report.page import write_report
from saliency.report.pictures import QUALITIES, compress, grey_levels, scale_of, sheet_of
from saliency.result import ClipResult
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


@pytest.mark.parametrize(("page", "least", "names"), [
    ("page.html", 50, [name for name in report.SOURCES if name.endswith(".js")]),
    ("compare.html", 10, ["data.js", "compare.js", "side_by_side.js"]),  # the others serve both pages
])
def test_each_id_of_a_page_is_there_once(page, least, names):
    html = "".join(Path(report.__file__).with_name(name).read_text() for name in ("document.html", page))
    ids = re.findall(r' id="(\w+)"', html)
    assert len(ids) > least and len(ids) == len(set(ids))
    scripts = "".join(Path(report.__file__).with_name(name).read_text() for name in names)
    assert set(re.findall(r'get\("(\w+)"\)', scripts)) <= set(ids)


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
    for start in QUALITIES:  # where the search begins makes no difference, but for the 20 percent between two steps
        (again,), found = compress(noise, 7000, start)
        assert len(again) * 3 / 4 <= 7000 and abs(QUALITIES.index(found) - QUALITIES.index(quality)) <= 1
    assert compress(noise, 10, QUALITIES[-1])[1] == QUALITIES[-1]


@pytest.mark.parametrize(("clips", "largest"), [(1, 60), (100, 60), (140, 60), (300, 120), (5000, 120)])
def test_pages_of_many_clips_have_a_largest_size(clips, largest):
    """In MB, with the third that base64 adds."""
    assert 0 < report.allowed_bytes(clips) * clips * 4 / 3 <= largest * 1e6
    assert report.allowed_bytes(clips) <= report.allowed_bytes(max(clips // 2, 1))


def test_numbers_that_are_not_finite_do_not_stop_the_page(tmp_path):
    maps = np.random.default_rng(0).normal(size=(3, 8, 8))
    maps[0, 0, 0], maps[1, 0, 0], maps[2] = np.nan, np.inf, 0
    facts = {"clip": "a", "target": "up", "probability": np.nan}
    frames = np.zeros((3, 8, 8), np.uint8)
    result = ClipResult(facts, frames=frames, maps={"gradient": np.abs(maps)}, evidence={"gradient": maps})
    result.others = [ClipResult(facts | {"target": "down"}, frames=frames, maps={"gradient": np.abs(maps)},
                                evidence={"gradient": maps})]
    (tmp_path / "up" / "a").mkdir(parents=True)
    result.write(tmp_path / "up" / "a" / "saliency.npz")
    line, run = map(json.loads, write_report(tmp_path).read_text().partition('id="data">')[2]
                    .partition("</script>")[0].splitlines())
    assert run["problems"] == [] and line["others"][0]["probability"] is None
    assert line["maps"][0]["totals"] == [None, None, 0] and line["maps"][1]["against"][2] == 0


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
