"""Which checkpoints are runs of one training that differ only in their seed, and their names."""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avsol_ros.models.model_config import ModelConfig


@dataclass(frozen=True)
class Identity:
    """
    Where a checkpoint is from.

    :param name: as the user gave it.
    :param seed: with which it was trained; None where it does not say.
    :param recipe: its configuration and all other settings of its training: equal for runs that
        differ only in their seed.
    """

    name: str
    config: ModelConfig
    seed: int | None
    recipe: str


def identify(name: str, config: ModelConfig, notes: Mapping[str, str]) -> Identity:
    """
    Read the notes of a checkpoint.

    :param notes: what ``read_notes`` gives; the note ``training`` is JSON with the key ``seed``
        and the other settings of the training; its key ``metrics`` is what came out.
    """
    try:
        training = json.loads(notes.get('training', '{}'))
        seed = training.pop('seed', None)
        training.pop('metrics', None)
        seed = seed if type(seed) is int else None
    except (ValueError, AttributeError, TypeError):
        training, seed = notes['training'], None
    recipe = json.dumps([config.as_dict(), training], sort_keys=True)
    return Identity(name, config, seed, recipe)


def group_runs(identities: Sequence[Identity]) -> list[list[int]]:
    """
    Put runs together that differ only in their seed.

    :returns: lists of indices, each in the given order; a run without a seed, or with one that
        its group already has, stays alone.
    """
    groups, open_groups = [], {}
    for index, identity in enumerate(identities):
        group = open_groups.get(identity.recipe) if identity.seed is not None else None
        if group and identity.seed not in {identities[other].seed for other in group}:
            group.append(index)
            continue
        groups.append([index])
        if identity.seed is not None and not group:
            open_groups[identity.recipe] = groups[-1]
    return groups


def group_name(identities: Sequence[Identity]) -> str:
    """The common beginning of the names of a group, or else the parts of its models."""
    config = identities[0].config
    made = (
        f'{config.visual}-{config.fusion}-{config.task}'
        if config.method == 'avsm'
        else f'{config.visual}-{config.method}'
    )
    common = os.path.commonprefix([identity.name for identity in identities])
    # Seeds are files (table/cdf-dnm-0.safetensors) or folders (table/cdf-dnm/seed0/model...).
    common = common.rstrip('0123456789-_. ').removesuffix('seed').rstrip('-_. /')
    return Path(common).name or made


def short_labels(names: Sequence[str]) -> list[str]:
    """
    Names of checkpoints without the folders that all share, and without the suffix.

    ``avsol train`` writes ``model.safetensors``: the folder around it is the name.
    """
    paths = [
        Path(name).with_suffix('') if name.endswith('.safetensors') else Path(name)
        for name in names
    ]
    paths = [path.parent if path.name == 'model' and path.parent.name else path for path in paths]
    shared = len(os.path.commonprefix([path.parts[:-1] for path in paths]))
    return [str(Path(*path.parts[shared:])) for path in paths]


def average(rows: Sequence[Mapping]) -> tuple[dict, dict]:
    """
    Mean and sample standard deviation of every number that all rows have.

    :param rows: of two runs or more; counts of windows and frames stay as they are where equal.
    """
    names = [name for name, value in rows[0].items() if isinstance(value, (int, float))]
    columns = {name: [row[name] for row in rows] for name in names}
    means, deviations = {}, {}
    for name, values in columns.items():
        whole = all(isinstance(value, int) for value in values)
        means[name] = values[0] if whole and len(set(values)) == 1 else statistics.fmean(values)
        if not whole:
            deviations[name] = _deviation(values)
    return means, deviations


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if all(v == v for v in values) else float('nan')
