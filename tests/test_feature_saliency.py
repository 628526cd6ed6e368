"""Saliency of features from the command line."""

import shutil

import numpy as np
import pytest

from runtime.files import read_json
from saliency.gradient import feature_gradient
from saliency.methods import FEATURE_METHODS, attribute
from saliency.report.clip import feature_part
from saliency.results.clip import ClipResult
from saliency.when import EncodedClip
from tests.runs import as_seen, saved, use
from tests.tiny_data import CLIP, DURATION


@pytest.fixture(scope="module")
def listened(data_set, trained, tmp_path_factory):
    """Feature saliency of one clip, by two methods."""
    folder = tmp_path_factory.mktemp("feature_saliency")
    use("feature_saliency", data_set, trained, folder, "--limit", 1, "--tsr", "--method", "gradient_x_input",
        "--score", "probability")
    return folder


def test_feature_saliency_files(data_set, trained, listened):
    model, info, clip = as_seen(data_set, trained)
    folder = listened / "walking" / CLIP
    assert {path.name for path in folder.iterdir()} == {
        "saliency.npz", "metrics.json", "features.png", "features_tsr.png"
    }
    arrays = saved(folder)
    target = info.classes.index(str(arrays["target"]))
    assert arrays["target"] == arrays["predicted"]
    gradient = feature_gradient(model, clip, target, "probability").numpy()
    np.testing.assert_allclose(arrays["gradient"], gradient, atol=1e-4 * np.abs(gradient).max())
    np.testing.assert_allclose(arrays["features"], model.encode(clip[None])[0].detach(), atol=1e-4)
    np.testing.assert_allclose(arrays["gradient_x_input"], arrays["gradient"] * arrays["features"], rtol=1e-5)
    assert arrays["tsr"].shape == arrays["gradient"].shape == (DURATION, 300)
    assert arrays["time_contribution"].shape == (DURATION,)
    assert set(read_json(listened / "metrics.json")["clips"]) == {CLIP}


def test_feature_values_are_saved_and_sum_to_the_difference(data_set, trained, tmp_path):
    use("feature_saliency", data_set, trained, tmp_path, "--limit", 1, "--shapley", "--shapley_pairs", 2)
    folder = tmp_path / "walking" / CLIP
    model, info, clip = as_seen(data_set, trained)
    arrays = saved(folder)
    encoded = EncodedClip(model, clip, info.classes.index(str(arrays["target"])))
    assert arrays["shapley"].shape == arrays["shapley_error"].shape == (300,)
    assert arrays["shapley"].sum() == pytest.approx(encoded.difference, abs=1e-4)
    assert (folder / "features_shapley.png").is_file()


def test_feature_saliency_goes_on_and_follows_the_label(data_set, trained, listened, tmp_path, capsys):
    folder = shutil.copytree(listened, tmp_path / "copy")
    use("feature_saliency", data_set, trained, folder, "--limit", 1, "--tsr", "--method", "gradient_x_input",
        "--score", "probability")
    assert "0 clips explained, 1 kept from before, 0 left out" in capsys.readouterr().out
    use("feature_saliency", data_set, trained, folder, "--target", "label", "--clips", "person22_running_d1_1",
        "--overwrite")
    assert saved(folder / "running" / "person22_running_d1_1")["target"] == "running"


@pytest.mark.parametrize(("flags", "base", "options"), [
    (["--method", "integrated_gradients", "--path_points", 3], "integrated_gradients", {"points": 3}),
    (["--tsr_base", "lrp", "--lrp_epsilon", 0.1], "lrp", {"epsilon": 0.1}),
    (["--method", "smoothgrad", "--smoothgrad_samples", 2, "--tsr_base", "gradient"], None, {}),
], ids=["method", "tsr_base", "gradient"])
def test_tsr_rescales_the_method_and_says_so(data_set, trained, tmp_path, flags, base, options):
    """The base is that of --tsr_base, or that of --method; over the gradient, nothing in the files is new."""
    use("feature_saliency", data_set, trained, tmp_path, "--clips", CLIP, "--target", "running", "--tsr", *flags)
    model, info, clip = as_seen(data_set, trained)
    path = tmp_path / "walking" / CLIP / "saliency.npz"
    target, arrays = info.classes.index("running"), saved(path.parent)
    expected = attribute(FEATURE_METHODS["tsr"], model, clip, target, base=base, base_options=options).map
    np.testing.assert_allclose(arrays["tsr"], expected, atol=2e-3)
    assert arrays.get("tsr_base") == base and (path.parent / "features_tsr.png").is_file()
    units = {each["name"]: each["unit"] for each in feature_part(ClipResult.read(path))["maps"]}
    assert units["tsr"] == (f"TSR of {base.replace('_', ' ')}, 0 to 1, no unit" if base else "0 to 1, no unit")
