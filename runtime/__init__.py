"""Files, processes, devices and runs over clips. Nothing here knows about videos, models or saliency maps."""

import os

# OpenCV and its FFmpeg read these variables when cv2 is first imported. They print nothing, because the project itself
# reports a broken file, in one line. Pictures of more than 2**26 pixels (two 8K frames) are refused.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
