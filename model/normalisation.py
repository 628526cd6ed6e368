"""How the original projects normalise pixels: the meaning of --mean_dataset, --std_norm and --norm_value.

Importing this module does not import PyTorch.
"""

MEANS = {  # per RGB channel, for pixels in 0..255
    "activitynet": [114.7748, 107.7354, 99.4750], "kinetics": [110.63666788, 103.16065604, 96.29023126],
    "imagenet": [123.675, 116.28, 103.53],  # not theirs
}
STD = [38.7568578, 37.88248729, 40.02898126]  # of Kinetics, with either of their means
STDS = {"imagenet": [58.395, 57.12, 57.375]}
# Their flags and defaults. unit_pixels: pixels are scaled to 0..1 whatever norm_value says, as in the later training
# script of interpretability_of_lstm (which still subtracts the mean that norm_value asks for).
NORMALISATION = dict(mean_dataset="activitynet", no_mean_norm=False, std_norm=False, norm_value=1, unit_pixels=False)


def normalisation(mean_dataset="activitynet", no_mean_norm=False, std_norm=False, norm_value=1, unit_pixels=False):
    """(mean, std) per RGB channel, for pixels in 0..1, of what those projects compute.

    They divide pixels of 0..255, the mean and the standard deviation by norm_value; the latter is 1 without std_norm;
    no_mean_norm has no effect with std_norm. Also for the flags of that name in main.py.
    """
    if mean_dataset not in MEANS:
        raise ValueError(f"unknown --mean_dataset {mean_dataset!r}; known are: {', '.join(MEANS)}")
    if not norm_value > 0:
        raise ValueError(f"--norm_value {norm_value} was given; give a positive number, 1 or 255")
    top = 1.0 if unit_pixels else 255 / norm_value  # what white is before the mean is subtracted
    mean = [0.0] * 3 if no_mean_norm and not std_norm else [value / norm_value / top for value in MEANS[mean_dataset]]
    std = [value / norm_value / top for value in STDS.get(mean_dataset, STD)] if std_norm else [1 / top] * 3
    return mean, std
