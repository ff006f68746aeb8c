"""
Which segments and sounds make each batch, and the batches themselves.

Order, pairs and crops are functions of seed, epoch and index alone, so that any number of workers
and processes makes the same batches: of n processes each takes every n-th picture of every batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from avsol_ros.errors import AvsolError
from avsol_ros.training.datasets.features import FeatureSet
from avsol_ros.training.datasets.pairs import pairs

_VALIDATION = 2**31 - 1  # seed of the pairs of validation, alike in all trainings


@dataclass(frozen=True, eq=False)
class Request:
    """
    A batch to make.

    :param videos: (B,) segments whose pictures are taken; (B, N) of sequences.
    :param others: (B,) segments whose sound is the wrong one; None without AVC.
    """

    epoch: int
    videos: np.ndarray
    others: np.ndarray | None


class TrainingPlan:
    """
    Batches of an epoch: a sampler, whose epoch Lightning sets.

    :param units: (m,) segments to take pictures of, or (m, N) sequences.
    :param sounds: how many segments there are to take wrong sounds from; None without AVC.
    :param batch: units of a step, over all processes; whole batches only.
    :param near: ``clips`` and ``same_clip`` of :func:`pairs`.
    """

    def __init__(
        self,
        units: np.ndarray,
        sounds: int | None,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        **near,
    ):
        self.units, self.sounds, self.seed, self.near = units, sounds, seed, near
        self.rank, self.world, self.epoch = rank, world, 0
        self.batch = min(batch, len(units)) // world * world
        if not self.batch:
            raise AvsolError(
                f'{len(units)} pictures in batches of {batch} are too few for '
                f'{world} processes; expected at least one for each'
            )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.units) // self.batch

    def __iter__(self) -> Iterator[Request]:
        # pairs() draws from [seed, epoch], crops from [seed, epoch, 1 + segment].
        order = np.random.default_rng([self.seed, self.epoch, 0, 1]).permutation(len(self.units))
        partners = (
            None if self.sounds is None else pairs(self.sounds, self.epoch, self.seed, **self.near)
        )
        for step in range(len(self)):
            mine = order[step * self.batch : (step + 1) * self.batch][self.rank :: self.world]
            videos = self.units[mine]
            yield Request(self.epoch, videos, None if partners is None else partners[videos])


class ValidationPlan:
    """All units once, in the same pairs in every epoch of every training."""

    def __init__(
        self,
        units: np.ndarray,
        sounds: int | None,
        batch: int,
        rank: int = 0,
        world: int = 1,
        **near,
    ):
        self.units = units[rank::world]
        if not len(self.units):
            raise AvsolError(
                f'{len(units)} validation pictures are too few for {world} '
                'processes; expected at least one for each'
            )
        self.partners = None if sounds is None else pairs(sounds, 0, _VALIDATION, **near)
        self.batch = batch

    def __len__(self) -> int:
        return -(-len(self.units) // self.batch)

    def __iter__(self) -> Iterator[Request]:
        for start in range(0, len(self.units), self.batch):
            videos = self.units[start : start + self.batch]
            yield Request(0, videos, None if self.partners is None else self.partners[videos])


class Batches(Dataset):
    """
    Makes whole batches: dicts of tensors.

    ``visual`` (B, T, h, w, C) bfloat16 or, flipped and cropped, ``frames`` (B, T, S, S, 3)
    uint8; ``labels`` (B, C) float32; ``maps`` and ``embedding`` of 2 B sounds, right ones
    before wrong ones, or of B without AVC. Sequences of N are flattened to B N, but for the
    labels, (B, N, C).

    :param features: with the features that the model needs, and no others.
    :param segments: where augmented frames are read from; None where features hold pictures.
    :param seed: of the augmentation.
    """

    def __init__(self, features: FeatureSet, segments=None, seed: int = 0):
        self.features, self.segments, self.seed = features, segments, seed

    def __getitem__(self, request: Request) -> dict[str, torch.Tensor]:
        features = self.features
        videos = torch.from_numpy(request.videos)
        flat = videos.flatten()
        heard = (
            flat if request.others is None else torch.cat([flat, torch.from_numpy(request.others)])
        )
        batch = {'labels': features.labels[videos]}
        if self.segments is not None:
            batch['frames'] = torch.from_numpy(
                np.stack(
                    [
                        self.segments.augmented_frames(int(i), self.seed, request.epoch)
                        for i in flat
                    ]
                )
            )
        else:
            batch['visual'] = (features.mean if features.visual is None else features.visual)[flat]
        for kind in ('maps', 'embedding'):
            if (values := getattr(features, kind)) is not None:
                batch[kind] = values[heard]
        return batch


def loader(batches: Batches, plan, workers: int = 0) -> DataLoader:
    """Batches in the order of a plan; ``workers`` processes read frames, this one features."""
    workers = 0 if batches.segments is None else workers
    # Not fork: torch and OpenCV may already run threads in this process. Not forkserver: a worker
    # ends when its parent has died, and that would be the server, which waits for its workers.
    more = (
        {'multiprocessing_context': 'spawn', 'persistent_workers': True, 'prefetch_factor': 2}
        if workers
        else {}
    )
    return DataLoader(
        batches,
        batch_size=None,
        sampler=plan,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        **more,
    )


def event_units(labels: np.ndarray) -> np.ndarray:
    """
    Segments in which something in view sounds; pictures are taken of these.

    :param labels: (n, C).
    :returns: (m,) indices.
    """
    found = np.flatnonzero(np.asarray(labels).any(1))
    if not len(found):
        raise AvsolError(
            f'none of the {len(labels)} windows has something in view that sounds; '
            'expected some to learn from: take more windows'
        )
    return found


def sequence_units(clips: np.ndarray, seconds: int) -> np.ndarray:
    """
    Whole clips as sequences; those that lack a second are left out.

    :param clips: (n,) clip of each segment; segments of a clip are neighbours, in order.
    :param seconds: N, of a whole clip.
    :returns: (m, N) indices.
    """
    names, first, counts = np.unique(np.asarray(clips), return_index=True, return_counts=True)
    whole = first[counts == seconds]
    if not len(whole):
        raise AvsolError(
            f'none of the {len(names)} clips has all its {seconds} seconds; expected '
            'some to learn from: take more windows'
        )
    return whole[:, None] + np.arange(seconds)
