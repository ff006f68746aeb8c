"""What the frames of a window together say: its weak labels, and what makes it easy or hard."""

from collections import Counter
from collections.abc import Collection, Sequence

from avsol_ros.training.annotations.model import ObjectTruth

#: A category is in the weak label of a second when an object of it sounds in view for at least
#: this share of the second. Where sounds change only at whole seconds, that is all of it.
LABELLED = 0.5
#: Boxes that cover more of the picture say little about a place: any map fills them.
FILLING = 0.6


def lasting_categories(frames: Sequence[Collection[str]]) -> frozenset[str]:
    """
    Categories that sound for at least ``LABELLED`` of a window.

    :param frames: categories that sound in each frame.
    """
    counts = Counter(name for names in frames for name in set(names))
    return frozenset(name for name, n in counts.items() if n >= LABELLED * len(frames))


def window_facts(frames: Sequence[Sequence[ObjectTruth]]) -> dict[str, int | bool]:
    """
    What makes a window easy or hard, from the truth of its frames.

    What sounds for at least ``LABELLED`` of the window counts as sounding in it; silent is what
    sounds in none of its frames.

    :returns: ``sounding`` (int64): objects in view that sound; ``categories`` (int64): of how
        many categories these are; ``silent`` (int64): silent objects in view; ``out_of_view``
        (bool): whether something unseen sounds; ``lookalike`` (bool): whether a silent object is
        of the category of one in view that sounds; ``impostor`` (bool): whether one is of the
        category of what sounds unseen, and none in view that sounds is.
    """
    enough = LABELLED * len(frames)
    in_view, names, unseen = Counter(), {}, Counter()
    for thing in (thing for objects in frames for thing in objects):
        if thing.out_of_view:
            unseen[thing.category] += thing.sounding  # has no track: one for each category
        else:
            in_view[thing.track] += thing.sounding
            names[thing.track] = thing.category
    sounding = [names[track] for track, n in in_view.items() if n >= enough]
    silent = {names[track] for track, n in in_view.items() if n == 0}
    unseen = {category for category, n in unseen.items() if n >= enough}
    return {
        'sounding': len(sounding),
        'categories': len(set(sounding)),
        'silent': sum(n == 0 for n in in_view.values()),
        'out_of_view': bool(unseen),
        'lookalike': bool(silent.intersection(sounding)),
        'impostor': bool(unseen & silent - set(sounding)),
    }
