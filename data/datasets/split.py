"""Splits that keep every person, group or video in one subset."""

import random

from runtime.errors import UserError
from runtime.names import readable

SUBSETS = ("training", "validation", "testing")


def split_persons(persons: set[int], official: dict[str, tuple[int, ...]], validation: list[int] | None = None,
                  testing: list[int] | None = None) -> dict[int, str]:
    """Return {person: subset} for all `persons`.

    official: {subset: persons} of the official split. If persons are named for validation or testing, these replace the
    official split, and all others are for training. An empty list for validation leaves validation empty.
    Raises ValueError if a person is named twice, is missing or is not in the official split, or if a subset is empty:
    training and validation must have persons, and in the official split testing too.
    """
    if not persons:
        return {}
    there = f"there are clips of persons {' '.join(map(str, sorted(persons)))}"
    advice = f"name persons with --validation_persons and --testing_persons; {there}"
    parts, needed = {subset: set(members) for subset, members in official.items()}, SUBSETS
    if testing or validation is not None:  # an empty list for testing alone counts as not given
        parts = {"validation": set(validation or []), "testing": set(testing or [])}
        needed = ("training",) if validation == [] else ("training", "validation")
        named = parts["validation"] | parts["testing"]
        if parts["validation"] & parts["testing"]:
            twice = min(parts["validation"] & parts["testing"])
            raise UserError(f"person {twice} is named for validation and for testing; name each person once")
        if named - persons:
            raise UserError(f"there is no clip of person {min(named - persons)}; {there}")
        parts["training"] = persons - named
    split = {person: subset for subset, members in parts.items() for person in members & persons}
    if persons - split.keys():
        raise UserError(f"the official split has no person {min(persons - split.keys())}; {advice}")
    for subset in needed:
        if subset not in split.values():
            raise UserError(f"nobody is left for {subset}; {advice}")
    return split


def split_groups(group_of: dict[str, str], seed: int) -> dict[str, str]:
    """Return {clip: subset} for {clip: group}: a fifth of the groups for validation, and a fifth for testing.

    The choice depends on the seed and on the names of the groups. Raises ValueError for fewer than three groups.
    """
    groups = sorted(set(group_of.values()), key=lambda group: random.Random(f"{seed} {readable(group)}").random())
    if len(groups) < len(SUBSETS):
        raise UserError(f"{len(groups)} groups or videos ({', '.join(sorted(groups))}) cannot fill {len(SUBSETS)} "
                        "subsets; add more")
    fifth = max(1, round(len(groups) / 5))
    subset_of = dict.fromkeys(groups[:fifth], "validation") | dict.fromkeys(groups[fifth : 2 * fifth], "testing")
    return {clip: subset_of.get(group, "training") for clip, group in group_of.items()}
