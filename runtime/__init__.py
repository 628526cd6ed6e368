"""Processes, files and runs: what the project needs of the machine. Nothing here knows about videos, models or maps."""

import os

# OpenCV and the FFmpeg inside it read these when they are first imported. A broken file is reported once, by us, in
# one line, and a picture larger than two 8K frames is not a frame.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
