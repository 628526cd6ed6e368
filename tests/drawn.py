"""What is drawn in a figure, and a case that several files of figures share."""

import io

import cv2
import numpy as np
from matplotlib.image import BboxImage
from matplotlib.text import Text


def pixels(figure):
    """Return the figure as it is saved: (H, W, 3) uint8."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=50)
    return cv2.imdecode(np.frombuffer(content.getvalue(), np.uint8), cv2.IMREAD_COLOR)


def texts(figure):
    """Return all texts of a figure."""
    return [text.get_text() for text in figure.findobj(Text)]


def drawn_images(figure):
    """Return all images of a figure, those without axes first."""
    without_axes = [artist for artist in figure.artists if isinstance(artist, BboxImage)]
    return without_axes + [image for axes in figure.axes for image in axes.get_images()]


ROWS = [{"epoch": "1", "train_loss": "0.7", "train_accuracy": "0.5", "validation_loss": "nan",
         "validation_accuracy": "nan"}]  # of a training log


def assert_not_blank(figure):
    """Fail if the figure shows nothing."""
    assert pixels(figure).std() > 5
