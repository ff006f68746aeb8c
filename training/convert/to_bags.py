"""
Films to bags: a dataset in AVE's layout, a folder of films, or one film.

Clips that :mod:`.to_dataset` made become the messages that they were: pictures and samples byte
for byte where the film holds them, stamps and chunks from the records. Other films get stamps that
count from a start time, and sound in chunks of 20 ms.
"""

import base64
import hashlib
import heapq
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from avsol_ros.bags import BagReader, BagWriter, is_bag
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.files import CannotWrite, remove_folder, remove_leftovers, writing
from avsol_ros.offline.bag_source import ORIGIN_KEY
from avsol_ros.training.annotations.bag_keys import (
    ANNOTATION_KEY,
    CATEGORIES_KEY,
    LABELS_KEY,
    SOURCE_KEY,
    VIDEO_KEY,
)
from avsol_ros.training.annotations.model import Annotation
from avsol_ros.training.annotations.truth_messages import TYPE as TRUTH
from avsol_ros.training.annotations.truth_messages import truth_to_detections
from avsol_ros.training.convert.clip_messages import Recorded
from avsol_ros.training.convert.film_messages import film_messages
from avsol_ros.training.convert.jobs import Film, Job
from avsol_ros.training.convert.media_messages import MediaOptions, Written
from avsol_ros.training.convert.records import fingerprint

DEFAULTS = MediaOptions()


@dataclass(eq=False)
class Outcome:
    """
    The result for each film.

    :param bags: paths of the bags, by name of the job.
    :param reused: names of jobs of which nothing had to be done.
    """

    bags: dict[str, Path] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def convert_films(
    jobs: list[Job],
    place: Callable[[Job], Path],
    options: MediaOptions = DEFAULTS,
    report: Callable[[str, float], None] = lambda name, share: None,
) -> Outcome:
    """
    Write what is not written yet.

    A bag is written again when its films, their records or truth, or the options have changed.

    :param place: where the bag of a job goes.
    """
    outcome = Outcome()
    for job in jobs:
        path, key = place(job), _key(job, options)
        try:
            if path.exists() and _is_made_from(path, key):
                outcome.reused.append(job.name)
                outcome.bags[job.name] = path
                continue
            with writing(path):
                remove_leftovers(path.parent, path.name)
                if path.exists():
                    remove_folder(path)
                problems = _Writing(job, options, key).write(
                    path, lambda share, job=job: report(job.name, share)
                )
        except CannotWrite:
            raise
        except AvsolError as error:
            outcome.failed[job.name] = str(error)
            continue
        outcome.bags[job.name] = path
        outcome.problems += [f'{job.name}: {line}' for line in problems]
    return outcome


def _key(job: Job, options: MediaOptions) -> str:
    told = [
        [
            fingerprint(film.path),
            film.record and film.record['key'],
            repr(film.annotation),
            film.labels and film.labels.as_dict(),
        ]
        for film in job.films
        if film.path.exists()
    ]
    values = [told, job.truth, {**asdict(options), 'join': job.whole}]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _is_made_from(path: Path, key: str) -> bool:
    """
    Tell whether an existing bag was made from the same.

    :raises AvsolError: if it was not made here at all.
    """
    made_from = None
    if path.is_dir() and is_bag(path):
        with suppress(AvsolError), BagReader(path) as reader:
            made_from = reader.custom.get(SOURCE_KEY)
    if made_from is None:
        raise AvsolError(
            f'{path} exists and is no bag that avsol convert has made; choose another name'
        )
    return made_from == key


class _Writing:
    """Writes one bag."""

    def __init__(self, job: Job, options: MediaOptions, key: str):
        self._job, self._options, self._key = job, options, key
        self._entry = job.entry or {}
        self._clips = Recorded(job, options)
        self._held = None  # a recorded message that is later than what was written
        self._problems = []

    def write(self, path: Path, report: Callable[[float], None]) -> list[str]:
        with BagWriter(path, self._options.storage, self._options.compression) as writer:
            added = {}
            for log_ns, topic, kind, message in self._messages(report):
                if topic not in added:
                    writer.add_topic(topic, kind, self._definition(kind, message))
                    added[topic] = kind
                writer.write(topic, log_ns, message)
            for name, text in self._custom().items():
                writer.set_custom(name, text)
        return self._problems

    def _definition(self, kind: str, message) -> str | None:
        """Of ground truth that is written as it was: the definition it was recorded with."""
        if kind == TRUTH and isinstance(message, bytes):
            return self._entry['topics']['truth'].get('definition') or None
        return None

    def _messages(self, report) -> Iterator[Written]:
        films = self._job.films
        recorded = heapq.merge(
            self._recorded_truth(), self._clips.infos(), key=lambda item: item[0]
        )
        for number, film in enumerate(films):
            parts = [
                self._clips.messages(film)
                if film.record
                else film_messages(film.path, self._options, self._problems)
            ]
            if film.annotation is not None and self._job.truth is None:
                parts.append(self._truth(film))
            start = number / len(films)
            length = film.record['duration'] if film.record else 10.0
            first = None
            for item in heapq.merge(*parts, key=lambda item: item[0]):
                first = item[0] if first is None else first
                yield from self._recorded_until(recorded, item[0])
                yield item
                report(
                    start + min(max(item[0] - first, 0) / NANOSECONDS / length, 1.0) / len(films)
                )
        yield from self._clips.last_sound()
        yield from self._recorded_until(recorded, 1 << 63)

    def _recorded_truth(self) -> Iterator[Written]:
        for _, log, raw in sorted(self._job.truth or [], key=lambda m: m[1]):
            yield log, self._clips.topic('truth'), TRUTH, base64.b64decode(raw)

    def _recorded_until(self, recorded: Iterator[Written], log_ns: int) -> Iterator[Written]:
        """Messages up to a log time; the next one is held back."""
        while True:
            self._held = self._held or next(recorded, None)
            if self._held is None or self._held[0] > log_ns:
                return
            yield self._held
            self._held = None

    def _truth(self, film: Film) -> Iterator[Written]:
        origin = film.record['start_ns'] if film.record else self._options.start_ns
        frame_id = film.record.get('frame_id', '') if film.record else 'camera'
        for frame in film.annotation.frames:
            yield (
                origin + frame.time_ns,
                self._clips.topic('truth'),
                TRUTH,
                truth_to_detections(frame, origin, frame_id),
            )

    def _custom(self) -> dict[str, str]:
        """Custom data: the bag's origin and truth, beside what the first bag was told to keep."""
        job, films = self._job, self._job.films
        if job.whole:
            origin = self._entry.get('origin_ns', self._options.start_ns)
            about, custom = self._entry.get('about') or {}, dict(self._entry.get('custom') or {})
        else:
            origin, about, custom = films[0].record['start_ns'], {}, {}
        annotation = next((f.annotation for f in films if f.annotation is not None), None)
        if annotation is not None and not about.get('duration'):
            about = self._about(annotation, origin)
        custom |= {SOURCE_KEY: self._key, ORIGIN_KEY: str(origin)}
        if films[0].labels:
            custom[LABELS_KEY] = json.dumps(films[0].labels.as_dict())
        if about:
            custom[ANNOTATION_KEY] = json.dumps(about)
            custom[CATEGORIES_KEY] = json.dumps(about.get('categories', []))
        custom.setdefault(VIDEO_KEY, about.get('video') or films[0].path.name)
        return custom

    def _about(self, annotation: Annotation, origin_ns: int) -> dict:
        """What an annotation says besides its frames; of several clips for all of them."""
        films = self._job.films
        if len(films) == 1:
            return annotation.about()
        last = films[-1].record
        length = (last['start_ns'] - origin_ns) / NANOSECONDS + last['duration']
        return replace(annotation, video=self._job.name, duration=length).about()
