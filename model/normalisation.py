"""The pixel normalisation of the original projects, which --mean_dataset, --std_norm and other flags ask for.

interpretability_of_lstm and cnn-lstm divide pixels in 0..255 by norm_value, then subtract a mean and divide by a
standard deviation, which are divided by norm_value as well.
"""

from runtime.errors import UserError

MEANS = {  # per RGB channel, for pixels in 0..255
    "activitynet": [114.7748, 107.7354, 99.4750], "kinetics": [110.63666788, 103.16065604, 96.29023126],
    "imagenet": [123.675, 116.28, 103.53],  # added by this project
}
STD = [38.7568578, 37.88248729, 40.02898126]  # of Kinetics; the original projects use it with both of their means
STDS = {"imagenet": [58.395, 57.12, 57.375]}
# The flags of the original projects with their defaults, see `normalisation`.
NORMALISATION = dict(mean_dataset="activitynet", no_mean_norm=False, std_norm=False, norm_value=1, unit_pixels=False)


def normalisation(mean_dataset: str = "activitynet", no_mean_norm: bool = False, std_norm: bool = False,
                  norm_value: float = 1, unit_pixels: bool = False) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation per RGB channel that these flags give, for pixels in 0..1.

    mean_dataset: the data set whose mean is subtracted; imagenet also divides by its deviation. no_mean_norm: subtract
    no mean; has no effect with std_norm, as in the original projects. std_norm: divide by the standard deviation,
    otherwise by 1. norm_value: divides pixels, mean and standard deviation. unit_pixels: scale pixels to 0..1 whatever
    norm_value is, but divide the mean and the standard deviation by it, as the later training script of
    interpretability_of_lstm does. Raises ValueError if the data set is unknown or norm_value is not positive.
    """
    if mean_dataset not in MEANS:
        raise UserError(f"unknown --mean_dataset {mean_dataset!r}; known are: {', '.join(MEANS)}")
    if not norm_value > 0:
        raise UserError(f"--norm_value {norm_value} was given; give a positive number, usually 1 or 255")
    std_norm = std_norm or mean_dataset == "imagenet"
    white = 1.0 if unit_pixels else 255 / norm_value  # the value of a white pixel before the mean is subtracted
    mean = [0.0] * 3 if no_mean_norm and not std_norm else [value / norm_value / white for value in MEANS[mean_dataset]]
    std = [value / norm_value / white for value in STDS.get(mean_dataset, STD)] if std_norm else [1 / white] * 3
    return mean, std
