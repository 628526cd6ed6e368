"""What the scripts share that make files of many videos: the work, and the record of what was made with which options.

A record is {"options": {...}, "videos": {key: what is known of the video}}; the key of a video is class/file.
"""

from tqdm import tqdm

import opts
from data.files import read_json, write_json
from data.isolated import run_isolated


def open_record(path, options, fields, overwrite=False, lists_all=False):
    """The record in the file `path`, fresh where there is none; with `overwrite` all videos beside it are removed.

    fields: {name: type} of what is known of a video. lists_all: whether the videos beside it are those of the record.
    ValueError where the folder was filled by something else or with other options.
    """
    folder, fresh = path.parent, {"options": options, "videos": {}}
    made = {file.relative_to(folder).as_posix(): file for pattern in ("*/*.avi", "*/*.masks.npz", "00sequences.txt")
            for file in sorted(folder.glob(pattern))}
    record = read_json(path) if path.is_file() else fresh
    entries = record["videos"].values() if _has(record, options=dict, videos=dict) else [""]
    if not all(entry is None or _has(entry, **fields) for entry in entries):
        raise ValueError(f"{path} is not a record of this script; remove it with the videos beside it")
    for name in made:
        if not path.is_file() or (lists_all and name.endswith(".avi") and name not in record["videos"]):
            raise ValueError(f"{folder} holds {name}, which this script did not make (it is not in {path.name}); "
                             "give another folder")
    if overwrite:
        for file in made.values():
            file.unlink()
        return fresh
    for name, value in options.items():
        if record["options"].get(name) != value:
            raise ValueError(f"{path}: made with {name} {record['options'].get(name)}, now it is {value}; give the "
                             "same options, another folder, or --overwrite")
    return record


def _has(part, **types):
    return isinstance(part, dict) and all(isinstance(part.get(name), kind) for name, kind in types.items())


def write_entry(path, record, key, entry):
    """Add what is known of one more video to the record and write it, in the order of the keys."""
    record["videos"][key] = entry
    write_json(path, record | {"videos": dict(sorted(record["videos"].items()))})


def work_through(keys, kept, function, workers, time_limit, verb, done=lambda key, result: None):
    """Call function(key), in a process of its own, for each of `keys` not in `kept`, and done(key, its result) here.

    verb: what was done, as "trimmed". What went wrong is warned of, and counts are printed by class. ValueError where
    it went wrong with all.
    """
    errors, todo = {}, [key for key in keys if key not in kept]
    results = run_isolated(function, todo, workers, time_limit)
    for key, result, error in tqdm(results, total=len(todo), desc=verb, disable=None):
        if error:
            errors[key] = error
        else:
            done(key, result)
    for key in sorted(errors):
        opts.warn(f"{key}: {errors[key]}")
    for name in sorted({key.split("/")[0] for key in keys}):
        count, old, bad = (sum(key.startswith(f"{name}/") for key in group) for group in (keys, kept, errors))
        print(f"{name}: {count - old - bad} videos {verb}, {old} kept from before, {bad} skipped")
    if len(errors) == len(keys):
        raise ValueError(f"none of the {len(keys)} videos could be {verb}; {key}: {errors[key]}")
