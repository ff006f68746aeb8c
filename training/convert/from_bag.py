"""A bag to clips of ten seconds: pictures, sound, and the ground truth in it."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from avsol_ros.bags import BagReader, find_streams
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import AudioFormat, audio_info_to_format, parse_audio_format
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.offline.bag_source import ORIGIN_KEY
from avsol_ros.training.annotations.model import FrameTruth
from avsol_ros.training.annotations.truth_messages import detections_to_truth
from avsol_ros.training.convert.bag_sound import SoundConversion, first_sound
from avsol_ros.training.convert.clip_films import CLIP_NS, Clips
from avsol_ros.training.convert.findings import Findings
from avsol_ros.training.convert.records import clip_record, fingerprint, read_record
from avsol_ros.training.convert.stray_stamps import StrayFilter


@dataclass(frozen=True)
class BagOptions:
    """
    How a bag is read, and films of it written.

    :param audio_latency: seconds by which the stamps of the audio are later than the sound was.
    :param audio_format: where the bag does not state it: a raw format as GStreamer spells it, or
        mp3.
    :param lossless: keep every pixel of raw images (PNG); else they become H.264.
    :param quality: x264's constant rate factor.
    """

    image_topic: str = ''
    audio_topic: str = ''
    audio_info_topic: str = ''
    truth_topic: str = ''
    audio_latency: float = 0.0
    audio_sample_rate: int = 0
    audio_channels: int = 0
    audio_format: str = ''
    lossless: bool = False
    quality: int = 16


@dataclass(frozen=True, eq=False)
class TruthMessage:
    """A message of ground truth."""

    stamp_ns: int
    log_ns: int
    raw: bytes
    frame: FrameTruth


@dataclass(eq=False)
class Converted:
    """
    The result for one bag.

    :param entry: its entry in the manifest.
    :param truth: None for a bag without such a topic.
    """

    entry: dict
    truth: list[TruthMessage] | None
    problems: list[str] = field(default_factory=list)


def convert_bag(
    path: Path,
    folder: Path,
    name: str,
    options: BagOptions,
    report: Callable[[float], None] = lambda share: None,
) -> Converted:
    """
    Write the clips of a bag.

    :param folder: of the dataset.
    :param name: of the bag in the dataset; its clips are called ``<name>_0000`` and so on.
    :param report: called with the share that is done.
    """
    with BagReader(path) as reader:
        try:
            conversion = _Conversion(reader, folder, name, options, report)
        except AvsolError as error:
            # What is wrong with the bag may be why.
            raise AvsolError('; '.join([str(error), *reader.problems[:2]])) from None
        return conversion.run()


class _Conversion:
    def __init__(self, reader: BagReader, folder: Path, name: str, options: BagOptions, report):
        self._reader, self._options, self._report = reader, options, report
        self._folder = folder
        self._streams = find_streams(
            reader,
            options.image_topic,
            options.audio_topic,
            options.audio_info_topic,
            options.truth_topic,
            need=('image',),
        )
        self._origin_ns = self._find_origin()
        self._findings = Findings()
        self._info = next(self._decoded(self._streams.audio_info), None)
        told = audio_info_to_format(self._info) if self._info is not None else AudioFormat()
        audio = told.completed(
            parse_audio_format(
                options.audio_format, options.audio_sample_rate, options.audio_channels
            )
        )
        self._source = fingerprint(reader.path)
        self._clips = Clips(
            folder,
            name,
            self._origin_ns,
            first_sound(reader, self._streams.audio, audio),
            {'source': self._source, **asdict(options)},
            options.lossless,
            options.quality,
        )
        latency_ns = round(options.audio_latency * NANOSECONDS)
        self._sound = SoundConversion(
            self._clips, self._origin_ns, latency_ns, audio, self._findings
        )
        self._picture_stamps, self._last_picture_ns = StrayFilter(), None
        self._truth = [] if self._streams.truth else None
        self._infos, self._info_fields = [], None  # log times, and fields where they change

    def run(self) -> Converted:
        """Convert all messages, and finish the clips; an error leaves none half written."""
        try:
            self._convert_messages()
            self._sound.close()
            self._clips.close()
        except BaseException:
            self._clips.discard()
            raise
        self._findings.count('images with stamps far off', self._picture_stamps.strays)
        for clip in self._clips.names:
            left_out = read_record(clip_record(self._folder, clip))['left_out']
            for count, reason in left_out.values():
                self._findings.refuse('images', reason, count)
        problems = [*self._reader.problems, *self._findings.lines()]
        return Converted(self._manifest_entry(), self._truth, problems)

    def _convert_messages(self) -> None:
        reader, streams = self._reader, self._streams
        handlers = {
            streams.image: self._add_picture,
            streams.audio: self._sound.add,
            streams.audio_info: self._add_info,
            streams.truth: self._add_truth,
        }
        handlers = {topic: handler for topic, handler in handlers.items() if topic}
        length = max(reader.end_ns - reader.start_ns, 1)
        for message in reader.messages(list(handlers)):
            try:
                decoded = message.decode()
            except AvsolError:
                continue  # the reader counts it
            handlers[message.topic](decoded, message)
            self._report((message.log_ns - reader.start_ns) / length)

    def _manifest_entry(self) -> dict:
        reader, streams = self._reader, self._streams
        topics = {
            'image': streams.image,
            'audio': streams.audio,
            'audio_info': streams.audio_info,
            'truth': streams.truth,
        }
        return {
            'path': str(reader.path.resolve()),
            'fingerprint': self._source,
            'options': asdict(self._options),
            'origin_ns': self._origin_ns,
            'topics': {
                what: {
                    'name': topic,
                    'type': reader.topics[topic].type,
                    'definition': reader.topics[topic].definition,
                }
                for what, topic in topics.items()
                if topic
            },
            'audio_info': None if self._info is None else _info_fields(self._info),
            'audio_infos': self._infos,
            'not_converted': sorted(reader.topics.keys() - topics.values()),
            'custom': dict(reader.custom),
            'clips': self._clips.names,
        }

    def _decoded(self, topic: str | None) -> Iterator:
        """Messages of a topic that can be decoded; none without a topic."""
        for message in self._reader.messages([topic]) if topic else ():
            try:
                yield message.decode()
            except AvsolError:
                continue

    def _find_origin(self) -> int:
        """Stamp of time 0: what the bag says, else the stamp of its first image."""
        text = self._reader.custom.get(ORIGIN_KEY, '')
        if text.removeprefix('-').isdecimal():
            return int(text)
        first = next(self._decoded(self._streams.image), None)
        if first is None:
            raise AvsolError(
                f'no image of {self._streams.image} in {self._reader.path} can be decoded'
            )
        return stamp_to_ns(first.header.stamp)

    def _add_picture(self, msg, message) -> None:
        stamp = stamp_to_ns(msg.header.stamp)
        for stamp_ns, log_ns, picture in self._picture_stamps.add(stamp, message.log_ns, msg):
            offset = stamp_ns - self._origin_ns
            if offset < 0:
                self._findings.count('images with stamps before the start')
                continue
            if self._last_picture_ns is not None and stamp_ns <= self._last_picture_ns:
                self._findings.count('images whose stamps do not rise')
                continue
            self._last_picture_ns = stamp_ns
            clip = self._clips.at(offset // CLIP_NS)
            if clip is None:
                self._findings.count('images that came too late')
                continue
            clip.add_picture(picture, stamp_ns, log_ns)
            self._clips.passed('picture', offset)

    def _add_info(self, msg, message) -> None:
        fields = _info_fields(msg)
        self._infos.append([message.log_ns, None if fields == self._info_fields else fields])
        self._info_fields = fields
        self._sound.set_format(audio_info_to_format(msg))

    def _add_truth(self, msg, message) -> None:
        try:
            frame = detections_to_truth(msg, self._origin_ns)
        except AvsolError as error:
            self._findings.refuse('messages of ground truth', str(error))
            return
        self._truth.append(
            TruthMessage(stamp_to_ns(msg.header.stamp), message.log_ns, bytes(message.raw), frame)
        )


def _info_fields(info) -> dict:
    return {
        name: value if isinstance(value, str) else int(value)
        for name in ('channels', 'sample_rate', 'sample_format', 'bitrate', 'coding_format')
        if (value := getattr(info, name, None)) is not None
    }
