#!/usr/bin/env bash
# From trimmed clips to what is loaded: extracts the frames, then writes the annotation with its split.
# Options are those of utils/annotate_kth.py, for data sets that hold only some persons:
#   ./utils/generate_data.sh
#   ./utils/generate_data.sh --validation_persons 4 --testing_persons 1 9
#   DATASET=folder ./utils/generate_data.sh      # class folders of any videos, in data/folder_trimmed
# Other places, relative to the root of the project: TRIMMED_PATH=... IMAGE_PATH=... ANNOTATION_PATH=...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
dataset=${DATASET:-kth}
trimmed=${TRIMMED_PATH:-data/${dataset}_trimmed}
images=${IMAGE_PATH:-data/$dataset/image_data}
annotation=${ANNOTATION_PATH:-data/$dataset/annotation/${dataset}1.json}

if [[ " $* " != *" --help "* ]]; then
    "$python" utils/extract_frames.py --trimmed_path "$trimmed" --image_path "$images"
fi
"$python" utils/annotate_kth.py --trimmed_path "$trimmed" --image_path "$images" --annotation_path "$annotation" "$@"
