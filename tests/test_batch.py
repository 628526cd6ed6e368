"""utils/batch.py: the record of what a script has made."""

import json

import pytest

from utils.batch import read_record

ENTRY = {"clips": {}, "passages": {"a_passage_1": [23, 50]}, "empty": {"a_empty_1": 80}}


def written(path, entry):
    path.write_text(json.dumps({"options": {}, "videos": {"walking/a.avi": entry}}))
    return path


@pytest.mark.parametrize("entry", [ENTRY, {"clips": {}}, None])
def test_a_record_is_read(tmp_path, entry):
    assert read_record(written(tmp_path / "trim.json", entry), {"clips": dict})["videos"]["walking/a.avi"] == entry


def test_a_damaged_record_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"trim\.json is not a record of this script; remove it"):
        read_record(written(tmp_path / "trim.json", ENTRY | {"clips": 3}), {"clips": dict})
