"""Files, processes, devices and runs over clips. Nothing here knows about videos, models or saliency maps."""

import os
import time
from pathlib import Path


def others_compute() -> bool:
    """Return whether other processes compute at this moment; True where the system does not tell.

    The fourth field of /proc/loadavg is "3/512" if 3 of 512 threads are running, this one included. The load averages
    beside it look back a minute, so they would count the user's command before this one.
    """
    try:
        looks = []
        for _ in range(5):
            looks.append(int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]))
            time.sleep(0.004)
    except OSError:  # no Linux
        return True
    return min(looks) > 1


# Threads of OpenMP that spin while they wait make everything many times slower on a busy machine, and sleeping costs
# time on a quiet one (docs/speed.md). PyTorch reads the variable when it is imported.
os.environ.setdefault(*(("OMP_WAIT_POLICY", "passive") if others_compute() else ("GOMP_SPINCOUNT", "10000")))

# OpenCV reads these variables when cv2 is first imported. It prints nothing, because the project itself reports a
# broken file, in one line. Pictures of more than 2**26 pixels (two 8K frames) are refused.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
