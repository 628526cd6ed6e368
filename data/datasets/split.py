"""Splits that keep every person, group or video in one subset."""

import random
from collections import Counter
from collections.abc import Iterable

from runtime.errors import UserError
from runtime.names import readable

SUBSETS = ("training", "validation", "testing")


def split_persons(persons: set[int], official: dict[str, tuple[int, ...]], validation: list[int] | None = None,
                  testing: list[int] | None = None) -> dict[int, str]:
    """Return {person: subset} for all `persons`.

    official: {subset: persons} of the official split. If persons are named for validation or testing, these replace the
    official split, and all others are for training. An empty list for validation leaves validation empty.
    Raises UserError if a person is named twice, is missing or is not in the official split, or if a subset is empty:
    training and validation must have persons, and in the official split testing too.
    """
    if not persons:
        return {}
    parts, needed, named = {subset: set(members) for subset, members in official.items()}, SUBSETS, set()
    if testing or validation is not None:  # an empty list for testing alone counts as not given
        parts = {"validation": set(validation or []), "testing": set(testing or [])}
        needed = ("training",) if validation == [] else ("training", "validation")
        named = parts["validation"] | parts["testing"]
        parts["training"] = persons - named
    split = {person: subset for subset, members in parts.items() for person in members & persons}
    twice, unknown = parts["validation"] & parts["testing"], persons - split.keys()
    empty = [subset for subset in needed if subset not in split.values()]
    fault = (f"person {min(twice)} is named for validation and for testing" if twice else
             f"there is no clip of person {min(named - persons)}" if named - persons else
             f"the official split has no person {min(unknown)}" if unknown else
             f"nobody is left for {empty[0]}" if empty else None)
    if fault:
        raise UserError(f"{fault}; there are clips of persons {' '.join(map(str, sorted(persons)))}; name each person "
                        "once at most, with --validation_persons and --testing_persons")
    return split


def split_groups(group_of: dict[str, str], seed: int, kept: dict[str, str]) -> dict[str, str]:
    """Return {clip: subset} for {clip: group}: a fifth of the groups for validation, and a fifth for testing.

    kept: {group: subset}, in which groups stay. The choice for the others depends on the seed and on the names of the
    groups. Raises UserError for fewer than three groups.
    """
    groups = in_random_order(group_of.values(), seed)
    if len(groups) < len(SUBSETS):
        raise UserError(f"{len(groups)} groups or videos ({', '.join(sorted(groups))}) cannot fill {len(SUBSETS)} "
                        "subsets; add more")
    fifth = max(1, round(len(groups) / 5))
    subset_of = {group: kept[group] for group in groups if group in kept}
    for group in groups:
        counts = Counter(subset_of.values())
        free = [subset for subset in ("validation", "testing") if counts[subset] < fifth]
        subset_of.setdefault(group, free[0] if free else "training")
    return {clip: subset_of[group] for clip, group in group_of.items()}


def in_random_order(groups: Iterable[str], seed: int) -> list[str]:
    """Return the different groups in an order that depends on the seed and on their names."""
    return sorted(set(groups), key=lambda group: random.Random(f"{seed} {readable(group)}").random())
