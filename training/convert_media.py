"""
Films to bags: a dataset in AVE's layout, a folder of films, or one film.

What :mod:`convert_dataset` has made goes back as it was: pictures and samples byte for byte where
the film has them so, stamps and chunks from the records. Other films get stamps that count from a
start time, and sound in chunks of 20 ms.
"""

import base64
import hashlib
import heapq
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from avsol_ros.bag_run import ORIGIN_KEY
from avsol_ros.bags import BagReader, BagWriter, is_bag, make_message
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media import AudioChunk, MediaReader
from avsol_ros.training.annotations.files import read_annotations
from avsol_ros.training.annotations.model import Annotation
from avsol_ros.training.ave import ANNOTATIONS
from avsol_ros.training.bag_truth import CATEGORIES_KEY, VIDEO_KEY
from avsol_ros.training.convert_bag import ANNOTATION_KEY
from avsol_ros.training.convert_dataset import truth_record
from avsol_ros.training.convert_film import (
    decode_png,
    encode_jpeg,
    encode_png,
    encoded_kind,
    encoded_pictures,
    film_samples,
)
from avsol_ros.training.convert_lists import BOXES, boxes_of
from avsol_ros.training.convert_pixels import image_fields
from avsol_ros.training.convert_record import (
    MANIFEST,
    clip_record,
    fingerprint,
    read_manifest,
    read_record,
)
from avsol_ros.training.convert_sound import Packing, sample_name
from avsol_ros.training.truth_messages import TYPE as TRUTH
from avsol_ros.training.truth_messages import truth_to_detections

# Custom data of a bag: what it was made from, so that it need not be made again.
SOURCE_KEY = 'avsol_conversion'
_RAW, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
_AUDIO = 'audio_common_msgs/msg/'
_TOPICS = {_RAW: '/camera/image_raw', _COMPRESSED: '/camera/image_raw/compressed',
           'audio': '/audio_stamped', 'audio_info': '/audio_info', 'truth': '/ground_truth'}
_FILMS = ('.mp4', '.m4v', '.mov', '.mkv', '.avi', '.webm')
_CHUNK = Fraction(20, 1000)     # seconds
_TOLERANCE_NS = 20_000_000      # by which times of sound may be off before it begins anew
_LOSSLESS = ('flac', 'alac', 'pcm', 'wavpack')
# PortAudio's numbers, and the fields of mgonzs13's AudioData, by raw format.
_PORTAUDIO = {'F32LE': (1, 'float32_data', '<f4'), 'S32LE': (2, 'int32_data', '<i4'),
              'S16LE': (8, 'int16_data', '<i2'), 'S8': (16, 'int8_data', 'i1'),
              'U8': (32, 'uint8_data', 'u1')}


@dataclass(frozen=True)
class MediaOptions:
    """
    How bags are written.

    :param image: raw, jpeg or png; auto is what was in the bag that a clip is from, or what the
        film holds if that is JPEG or PNG, else jpeg.
    :param start_ns: stamp of the time 0 of films that do not tell.
    :param join: make one bag of the clips that are from one.
    """

    image: str = 'auto'
    quality: int = 95
    storage: str = 'mcap'
    compression: str = 'none'
    start_ns: int = 1_700_000_000 * NANOSECONDS
    join: bool = True


DEFAULTS = MediaOptions()


@dataclass(frozen=True, eq=False)
class Film:
    """
    A film, with what is known of it.

    :param record: of a clip that is from a bag; None of other films.
    :param annotation: its truth; None without.
    """

    path: Path
    record: dict | None = None
    annotation: Annotation | None = None


@dataclass(eq=False)
class Job:
    """
    A bag to write.

    :param films: in the order of time, more than one only of one recording.
    :param entry: of the manifest, for clips that are from a bag.
    :param truth: messages of ground truth as they were: stamp, log time, CDR in base64.
    :param whole: whether these are all clips of the bag.
    """

    name: str
    films: list[Film]
    entry: dict | None = None
    truth: list | None = None
    whole: bool = True


@dataclass(eq=False)
class Outcome:
    """
    What became of the films.

    :param bags: paths of the bags, by name of the job.
    :param reused: names of jobs of which nothing had to be done.
    """

    bags: dict[str, Path] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def find_jobs(source: Path, annotations: Path | None, join: bool) -> tuple[list[Job], list[str]]:
    """
    Tell which bags are to be made of what.

    :param annotations: file or folder with the truth; by default what lies beside the films.
    :returns: jobs, and what is wrong.
    """
    if not source.is_dir():
        truth, problems = _truth_of([source], annotations, source.parent)
        return [Job(source.stem, [Film(source, None, truth.get(source))])], problems
    folder = next((f for f in (source, source / 'AVE_Dataset')
                   if (f / ANNOTATIONS).exists() or (f / MANIFEST).exists()
                   or (f / 'AVE').is_dir()), source)
    inside = folder / 'AVE' if (folder / 'AVE').is_dir() else folder
    films = sorted(p for p in inside.iterdir()
                   if p.suffix.lower() in _FILMS and not p.name.startswith('.'))
    if not films:
        raise AvsolError(f'{source} has neither bags nor films; expected a bag, a film '
                         f'({", ".join(_FILMS)}), a folder of either, or a dataset with the films '
                         'in AVE/')
    truth, problems = _truth_of(films, annotations, folder)
    jobs, known = [], set()
    for name, entry in sorted(read_manifest(folder).items()):
        clips = []
        for clip in entry['clips']:
            path, record = inside / f'{clip}.mp4', read_record(clip_record(folder, clip))
            known.add(path)
            size = path.stat().st_size if path.exists() else 0
            if record is None or size != record['film_bytes']:
                problems.append(f'{clip}: the film or its record is gone or was changed; '
                                + ('it is taken as any other film' if size else 'left out'))
                if size:
                    known.discard(path)
                continue
            clips.append(Film(path, record, truth.get(path)))
        jobs += _jobs_of_bag(folder, name, entry, clips, join)
    jobs += [Job(path.stem, [Film(path, None, truth.get(path))])
             for path in films if path not in known]
    return jobs, problems


def _jobs_of_bag(folder: Path, name: str, entry: dict, clips: list[Film],
                 join: bool) -> list[Job]:
    clips.sort(key=lambda film: film.record['start_ns'])
    messages = (read_record(truth_record(folder, name)) or {}).get('messages')
    if messages is not None:
        # Who has corrected the boxes wants those.
        before = read_annotations(boxes_of(folder, name)) if boxes_of(folder, name).exists() \
            else []
        now = {a.video: a.frames for a in (f.annotation for f in clips) if a is not None}
        if now != {a.video: a.frames for a in before}:
            messages = None
    if join:
        return [Job(name, clips, entry, messages)] if clips else []
    jobs = []
    for number, film in enumerate(clips):
        start = film.record['start_ns'] if number else -1
        end = clips[number + 1].record['start_ns'] if number + 1 < len(clips) else 1 << 63
        mine = None if messages is None else [m for m in messages if start <= m[0] < end]
        jobs.append(Job(film.path.stem, [film], entry, mine, len(clips) == 1))
    return jobs


def _truth_of(films: list[Path], given: Path | None,
              folder: Path) -> tuple[dict[Path, Annotation], list[str]]:
    problems, found = [], []
    if given is not None:
        found = read_annotations(given)
    else:
        for path in [folder / BOXES] if (folder / BOXES).exists() else \
                [folder / 'annotations'] if (folder / 'annotations').is_dir() else \
                [p.with_suffix('.json') for p in films if p.with_suffix('.json').exists()]:
            try:
                found += read_annotations(path)
            except AvsolError as error:
                problems.append(f'no truth from {path}: {error}')
    by_name = {a.video: a for a in found}
    by_stem = {Path(a.video).stem: a for a in found}
    truth = {}
    for path in films:
        annotation = by_name.get(path.name) or by_stem.get(path.stem)
        if annotation is None and given is not None and len(films) == len(found) == 1:
            annotation = found[0]
        if annotation is not None:
            truth[path] = annotation
        elif given is not None:
            problems.append(f'{path.name}: {given} has no annotation of it')
    return truth, problems


def convert_films(jobs: list[Job], place: Callable[[Job], Path],
                  options: MediaOptions = DEFAULTS,
                  report: Callable[[str, float], None] = lambda name, share: None) -> Outcome:
    """
    Write what is not written yet.

    A bag is written again when its films, their records or truth, or the options have changed.

    :param place: where the bag of a job goes.
    """
    outcome = Outcome()
    for job in jobs:
        path, key = place(job), _key(job, options)
        try:
            if path.exists():
                if not _is_ours(path):
                    raise AvsolError(f'{path} exists and is no bag that avsol convert has made; '
                                     'choose another name')
                if _made_from(path) == key:
                    outcome.reused.append(job.name)
                    outcome.bags[job.name] = path
                    continue
                shutil.rmtree(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in path.parent.glob(f'.{path.name}.*.part'):
                shutil.rmtree(left, ignore_errors=True)
            problems = _Writing(job, options, key).write(
                path, lambda share, job=job: report(job.name, share))
        except OSError as error:
            raise AvsolError(f'cannot write {path} ({error.strerror}); make room or choose '
                             'another folder') from None
        except AvsolError as error:
            outcome.failed[job.name] = str(error)
            continue
        outcome.bags[job.name] = path
        outcome.problems += [f'{job.name}: {line}' for line in problems]
    return outcome


def _key(job: Job, options: MediaOptions) -> str:
    told = [[fingerprint(film.path), film.record and film.record['key'],
             repr(film.annotation)] for film in job.films if film.path.exists()]
    values = [told, job.truth, {**asdict(options), 'join': job.whole}]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _made_from(path: Path) -> str | None:
    try:
        with BagReader(path) as reader:
            return reader.custom.get(SOURCE_KEY)
    except AvsolError:
        return None


def _is_ours(path: Path) -> bool:
    return path.is_dir() and is_bag(path) and _made_from(path) is not None


# Log time, topic, type, message.
_Written = tuple[int, str, str, object]


class _Writing:
    """Writes one bag."""

    def __init__(self, job: Job, options: MediaOptions, key: str):
        self._job, self._options, self._key = job, options, key
        self._entry = job.entry or {}
        self._waiting = None        # an audio message of which more may come
        self._held = None           # of what is told, later than what has been written
        # Whether the sound's format has been told, or is among what is told at its time.
        self._informed = job.whole and bool(self._entry.get('audio_infos'))
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

    def _messages(self, report) -> Iterator[_Written]:
        films = self._job.films
        told = heapq.merge(self._told_truth(), self._told_infos(), key=lambda item: item[0])
        for number, film in enumerate(films):
            parts = [self._recorded(film) if film.record else self._foreign(film)]
            if film.annotation is not None and self._job.truth is None:
                parts.append(self._truth(film))
            start = number / len(films)
            length = film.record['duration'] if film.record else 10.0
            first = None
            for item in heapq.merge(*parts, key=lambda item: item[0]):
                first = item[0] if first is None else first
                yield from self._earlier(told, item[0])
                yield item
                report(start + min(max(item[0] - first, 0) / NANOSECONDS / length, 1.0)
                       / len(films))
        yield from self._last_sound()
        yield from self._earlier(told, 1 << 63)

    def _told_truth(self) -> Iterator[_Written]:
        for _, log, raw in sorted(self._job.truth or [], key=lambda m: m[1]):
            yield log, self._topic('truth'), TRUTH, base64.b64decode(raw)

    def _told_infos(self) -> Iterator[_Written]:
        fields = {}
        if self._job.whole:
            for log, changed in self._entry.get('audio_infos', ()):
                fields = changed or fields
                yield (log, self._topic('audio_info'), _AUDIO + 'AudioInfo',
                       make_message(_AUDIO + 'AudioInfo', **fields))

    def _earlier(self, told, log_ns: int) -> Iterator[_Written]:
        while True:
            self._held = self._held or next(told, None)
            if self._held is None or self._held[0] > log_ns:
                return
            yield self._held
            self._held = None

    def _topic(self, what: str) -> str:
        return self._entry.get('topics', {}).get(what, {}).get('name') or _TOPICS[what]

    # Clips that are from a bag.

    def _recorded(self, film: Film) -> Iterator[_Written]:
        record = film.record
        if self._info_needed(record):
            yield self._info(record)
        yield from heapq.merge(self._pictures(film), self._sound(film),
                               key=lambda item: item[0])

    def _pictures(self, film: Film) -> Iterator[_Written]:
        record = film.record
        frames, known = record['frames'], self._entry.get('topics', {}).get('image', {})
        if not frames:
            return
        count = 0
        for (stamp, log), picture in zip(frames, self._film_pictures(film)):
            count += 1
            kind, fields = self._image(record, picture)
            topic = known.get('name') if known.get('type') == kind else None
            if topic is None:
                topic = _TOPICS[kind]
            header = {'stamp': stamp, 'frame_id': record['frame_id']}
            yield log, topic, kind, make_message(kind, header=header, **fields)
        if count < len(frames):
            raise AvsolError(f'{film.path} gives {count} of {len(frames)} pictures; copy it '
                             'again, or convert the bag again')

    def _film_pictures(self, film: Film) -> Iterator[bytes | np.ndarray]:
        if film.record['kind'] != 'h264':
            yield from encoded_pictures(film.path)
            return
        width, height = film.record['size']
        with MediaReader(film.path, need_audio=False) as reader:
            for chunk in reader:
                if not isinstance(chunk, AudioChunk):
                    yield chunk.image[:height, :width]

    def _image(self, record: dict, picture: bytes | np.ndarray) -> tuple[str, dict]:
        """Type and fields of the message of a picture, which is encoded or RGB."""
        wanted = self._options.image
        encoded = isinstance(picture, bytes)
        encoding = record.get('encoding') or ''
        if wanted == 'auto':
            wanted = 'raw' if encoding else record['kind']
        if encoded and not encoding and wanted == encoded_kind(picture):
            return _COMPRESSED, {'format': record['format'], 'data': picture}
        if wanted == 'raw':
            if encoded and encoding:
                return _RAW, image_fields(decode_png(picture), encoding)
            pixels = _decoded(picture) if encoded else picture
            known = encoding.lower() in ('bgr8', 'mono8', '8uc1', '8uc3')
            return _RAW, image_fields(pixels, encoding if known else 'rgb8')
        return _COMPRESSED, self._compressed(_decoded(picture) if encoded else picture, wanted)

    def _compressed(self, pixels: np.ndarray, kind: str) -> dict:
        data = encode_jpeg(pixels, self._options.quality) if kind == 'jpeg' else encode_png(pixels)
        return {'format': f'rgb8; {kind} compressed bgr8', 'data': data}

    def _sound(self, film: Film) -> Iterator[_Written]:
        record = film.record
        if not record['chunks']:
            return
        audio = record['audio']
        samples = packing = None
        if any(place >= 0 for _, _, place, _, _ in record['chunks']):
            samples = np.concatenate(list(film_samples(film.path)))
            packing = Packing(audio['sample_format'], audio['channels'])
        for stamp, log, place, content, skip in record['chunks']:
            if place < 0:
                data = base64.b64decode(content)
            else:
                if place + content > len(samples):
                    raise AvsolError(f'{film.path} has {len(samples)} samples, and its record '
                                     'tells of more; copy it again')
                data = packing.data(samples[place:place + content])
            waiting = self._waiting
            if skip and waiting is not None and waiting[:2] == (stamp, log):
                self._waiting = stamp, log, waiting[2] + data, waiting[3]
                continue
            yield from self._last_sound()
            if skip and stamp is not None:
                stamp += skip * NANOSECONDS // audio['sample_rate']
            self._waiting = stamp, log, data, audio
        if len(self._job.films) == 1:
            yield from self._last_sound()

    def _last_sound(self) -> Iterator[_Written]:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            stamp, log, data, audio = waiting
            yield log, self._topic('audio'), audio['type'], _audio_message(stamp, data, audio)

    def _info_needed(self, record: dict) -> bool:
        return (not self._informed and bool(record['chunks'])
                and record['audio']['type'] != _AUDIO + 'AudioStamped')

    def _info(self, record: dict) -> _Written:
        self._informed = True
        audio = record['audio']
        fields = self._entry.get('audio_info') or {
            'channels': audio['channels'], 'sample_rate': audio['sample_rate'],
            'sample_format': audio['sample_format'],
            'coding_format': 'wave' if audio['coding'] in ('', 'pcm') else audio['coding']}
        log = min(log for _, log, *_ in record['frames'][:1] + record['chunks'][:1])
        return (log, self._topic('audio_info'), _AUDIO + 'AudioInfo',
                make_message(_AUDIO + 'AudioInfo', **fields))

    def _truth(self, film: Film) -> Iterator[_Written]:
        origin = film.record['start_ns'] if film.record else self._options.start_ns
        frame_id = film.record.get('frame_id', '') if film.record else 'camera'
        for frame in film.annotation.frames:
            yield (origin + frame.time_ns, self._topic('truth'), TRUTH,
                   truth_to_detections(frame, origin, frame_id))

    # Other films.

    def _foreign(self, film: Film) -> Iterator[_Written]:
        origin = self._options.start_ns
        with MediaReader(film.path, need_audio=False) as reader:
            info = reader.info
        native = info.sample_rate > 0 and _is_lossless(film.path)
        chunks = None
        try:
            with MediaReader(film.path, need_audio=False, native_sound=native,
                             encoded=self._options.image in ('auto', 'jpeg', 'png')) as reader:
                for item in reader:
                    if not isinstance(item, AudioChunk):
                        kind, fields = self._film_image(item)
                        stamp = origin + item.time_ns
                        yield stamp, _TOPICS[kind], kind, make_message(
                            kind, header={'stamp': stamp, 'frame_id': 'camera'}, **fields)
                        continue
                    if chunks is None:
                        chunks = _Chunks(item.sample_rate)
                        yield self._film_info(origin, item)
                    yield from self._film_sound(origin, chunks.add(item), item)
        except AvsolError as error:
            if 'breaks off' not in str(error):
                raise
            self._problems.append(str(error))
        if chunks is not None:
            yield from self._film_sound(origin, chunks.rest(), chunks.last)

    def _film_image(self, item) -> tuple[str, dict]:
        wanted = self._options.image
        if item.encoded is not None and wanted in ('auto', encoded_kind(item.encoded)):
            kind = encoded_kind(item.encoded)
            return _COMPRESSED, {'format': f'rgb8; {kind} compressed bgr8', 'data': item.encoded}
        if wanted == 'raw':
            return _RAW, image_fields(item.image, 'rgb8')
        return _COMPRESSED, self._compressed(item.image, 'jpeg' if wanted == 'auto' else wanted)

    def _film_info(self, origin: int, item: AudioChunk) -> _Written:
        return origin, _TOPICS['audio_info'], _AUDIO + 'AudioInfo', make_message(
            _AUDIO + 'AudioInfo', channels=item.samples.shape[1], sample_rate=item.sample_rate,
            sample_format=sample_name(item.samples), coding_format='wave')

    def _film_sound(self, origin: int, pieces, item: AudioChunk) -> Iterator[_Written]:
        kind = _AUDIO + 'AudioDataStamped'
        for time_ns, samples in pieces:
            stamp = origin + time_ns
            yield stamp, _TOPICS['audio'], kind, make_message(
                kind, header={'stamp': stamp, 'frame_id': 'microphone'},
                audio={'data': np.ascontiguousarray(samples).tobytes()})

    def _custom(self) -> dict[str, str]:
        """What tells the bag's origin and truth, beside what the first bag was told to keep."""
        films = self._job.films
        origin = self._entry.get('origin_ns', self._options.start_ns)
        about = dict(self._entry.get('about') or {})
        if not self._job.whole:
            origin, about = films[0].record['start_ns'], {}
        annotation = next((f.annotation for f in films if f.annotation is not None), None)
        if annotation is not None and not about.get('duration'):
            whole = annotation
            if len(films) > 1:
                last = films[-1].record
                length = (last['start_ns'] - origin) / NANOSECONDS + last['duration']
                whole = replace(annotation, video=self._job.name, duration=length)
            about = {'video': whole.video, 'rate': whole.rate, 'width': whole.width,
                     'height': whole.height, 'duration': whole.duration,
                     'categories': list(whole.categories)}
        custom = dict(self._entry.get('custom') or {}) if self._job.whole else {}
        custom |= {SOURCE_KEY: self._key, ORIGIN_KEY: str(origin)}
        if about:
            custom[ANNOTATION_KEY] = json.dumps(about)
            custom[CATEGORIES_KEY] = json.dumps(about.get('categories', []))
        custom.setdefault(VIDEO_KEY, about.get('video') or films[0].path.name)
        return custom


class _Chunks:
    """
    Cuts sound into chunks of 20 ms.

    :ivar last: what came last.
    """

    def __init__(self, rate: int):
        self._rate = rate
        self._size = max(1, round(rate * _CHUNK))
        self._held = None
        self._begin_ns, self._count = 0, 0

    def add(self, item: AudioChunk) -> Iterator[tuple[int, np.ndarray]]:
        self.last = item
        held = 0 if self._held is None else len(self._held)
        expected = self._begin_ns + (self._count + held) * NANOSECONDS // self._rate
        if self._held is None or abs(item.time_ns - expected) > _TOLERANCE_NS:
            yield from self.rest()
            self._begin_ns, self._count = item.time_ns, 0
            self._held = item.samples
        else:
            self._held = np.concatenate([self._held, item.samples])
        while len(self._held) >= self._size:
            yield self._take(self._size)

    def rest(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give what is left, a shorter chunk."""
        if self._held is not None and len(self._held):
            yield self._take(len(self._held))

    def _take(self, count: int) -> tuple[int, np.ndarray]:
        samples, self._held = self._held[:count], self._held[count:]
        time_ns = self._begin_ns + self._count * NANOSECONDS // self._rate
        self._count += count
        return time_ns, samples


def _audio_message(stamp: int | None, data: bytes, audio: dict):
    kind = audio['type']
    header = {'stamp': stamp or 0, 'frame_id': audio['frame_id']}
    if kind == _AUDIO + 'AudioDataStamped':
        return make_message(kind, header=header, audio={'data': data})
    if kind == _AUDIO + 'AudioData':
        return make_message(kind, data=data)
    number, name, dtype = _PORTAUDIO[audio['sample_format']]
    samples = np.frombuffer(data, dtype)
    return make_message(kind, header=header, audio={
        'audio_data': {name: samples.astype(np.dtype(dtype).newbyteorder('='))},
        'info': {'format': number, 'channels': audio['channels'], 'rate': audio['sample_rate'],
                 'chunk': len(samples) // max(audio['channels'], 1)}})


def _decoded(picture: bytes) -> np.ndarray:
    """Give (H, W, 3) uint8 RGB."""
    from avsol_ros.messages import compressed_image_to_rgb

    class _Message:
        data, format = picture, ''
    return compressed_image_to_rgb(_Message)


def _is_lossless(path: Path) -> bool:
    """Tell whether the sound of a film is kept bit for bit."""
    import av
    with av.open(str(path)) as container:
        stream = container.streams.best('audio')
        return stream is not None and stream.codec_context.name.startswith(_LOSSLESS)
