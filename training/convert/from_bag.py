"""A bag to clips of ten seconds: pictures, sound, and what the ground truth in it says."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from avsol_ros.bags import BagReader, find_streams
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import (
    AudioFormat,
    audio_info_to_format,
    audio_packet,
    parse_audio_format,
)
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.offline.bag_source import ORIGIN_KEY
from avsol_ros.streams.coded_audio import CodedDecoder
from avsol_ros.streams.time_jumps import CLOCK_CHANGE_NS
from avsol_ros.training.annotations.model import FrameTruth
from avsol_ros.training.annotations.truth_messages import detections_to_truth
from avsol_ros.training.convert.clip_films import CLIP_NS, Clips
from avsol_ros.training.convert.exact_film import Sound
from avsol_ros.training.convert.exact_sound import ChunkPlacer, Packing, PlacedChunk
from avsol_ros.training.convert.records import clip_record, fingerprint, read_record

# Custom data of a bag: what an annotation says beside its frames, as JSON.
ANNOTATION_KEY = 'avsol_annotation'
# Labels of a film by seconds, as AVE's lists have them: categories, events and split, as JSON.
LABELS_KEY = 'avsol_labels'


@dataclass(frozen=True)
class BagOptions:
    """
    How a bag is read, and films of it written.

    :param audio_latency: seconds by which the stamps of the audio are later than the sound was.
    :param audio_format: where the bag does not tell: a raw format as GStreamer spells it, or mp3.
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
    What became of a bag.

    :param entry: its entry in the manifest.
    :param truth: None of a bag without such a topic.
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
        self._counts = Counter()
        self._refused: dict[tuple[str, str], list] = {}
        self._info = self._first_info()
        given = parse_audio_format(
            options.audio_format, options.audio_sample_rate, options.audio_channels
        )
        told = audio_info_to_format(self._info) if self._info is not None else AudioFormat()
        self._format = told.completed(given)
        self._source = fingerprint(reader.path)
        self._clips = Clips(
            folder,
            name,
            self._origin_ns,
            self._first_sound(),
            {'source': self._source, **asdict(options)},
            options.lossless,
            options.quality,
        )
        self._pictures, self._sounds = _Steady(), _Steady()
        self._last_picture = None
        self._placer, self._decoder, self._decoder_of = None, None, None
        self._truth = [] if self._streams.truth else None
        self._infos, self._info_fields = [], None  # log times, and fields where they change

    def run(self) -> Converted:
        reader, streams = self._reader, self._streams
        handlers = {streams.image: self._add_picture}
        if streams.audio:
            handlers[streams.audio] = self._add_audio
        if streams.audio_info:
            handlers[streams.audio_info] = self._add_info
        if streams.truth:
            handlers[streams.truth] = self._add_truth
        length = max(reader.end_ns - reader.start_ns, 1)
        try:
            for message in reader.messages(list(handlers)):
                try:
                    decoded = message.decode()
                except AvsolError:
                    continue  # the reader counts it
                handlers[message.topic](decoded, message)
                self._report((message.log_ns - reader.start_ns) / length)
            self._flush_audio()
            self._clips.close()
        except BaseException:
            self._clips.discard()
            raise
        for what, steady in (('images', self._pictures), ('audio messages', self._sounds)):
            if steady.strays:
                self._counts[f'{what} with stamps far off'] += steady.strays
        for clip in self._clips.names:
            left_out = read_record(clip_record(self._folder, clip))['left_out']
            for count, reason in left_out.values():
                self._refuse('images', reason, count)
        problems = [
            *reader.problems,
            *(f'{count} {what}' for what, count in sorted(self._counts.items())),
            *(
                f'{count} {what} that cannot be used, the first: {reason}'
                for (what, _), (count, reason) in self._refused.items()
            ),
        ]
        names = {
            name
            for name in (streams.image, streams.audio, streams.audio_info, streams.truth)
            if name
        }
        return Converted(
            {
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
                    for what, topic in (
                        ('image', streams.image),
                        ('audio', streams.audio),
                        ('audio_info', streams.audio_info),
                        ('truth', streams.truth),
                    )
                    if topic
                },
                'audio_info': None if self._info is None else _fields(self._info),
                'audio_infos': self._infos,
                'not_converted': sorted(set(reader.topics) - names),
                'custom': dict(reader.custom),
                'clips': self._clips.names,
            },
            self._truth,
            problems,
        )

    def _find_origin(self) -> int:
        text = self._reader.custom.get(ORIGIN_KEY, '')
        if text.removeprefix('-').isdecimal():
            return int(text)
        for message in self._reader.messages([self._streams.image]):
            try:
                return stamp_to_ns(message.decode().header.stamp)
            except AvsolError:
                continue
        raise AvsolError(
            f'no image of {self._streams.image} in {self._reader.path} can be decoded'
        )

    def _refuse(self, what: str, reason: str, count: int = 1) -> None:
        # Reasons that differ in their numbers alone are one.
        key = what, re.sub(r'\d+', '#', reason)
        self._refused.setdefault(key, [0, reason])[0] += count

    # Pictures.

    def _add_picture(self, msg, message) -> None:
        stamp = stamp_to_ns(msg.header.stamp)
        for stamp_ns, log_ns, picture in self._pictures.add(stamp, message.log_ns, msg):
            offset = stamp_ns - self._origin_ns
            if offset < 0:
                self._counts['images with stamps before the start'] += 1
            elif self._last_picture is not None and stamp_ns <= self._last_picture:
                self._counts['images whose stamps do not rise'] += 1
            else:
                self._last_picture = stamp_ns
                clip = self._clips.at(offset // CLIP_NS)
                if clip is None:
                    self._counts['images that came too late'] += 1
                    continue
                clip.add_picture(picture, stamp_ns, log_ns)
                self._clips.passed('picture', offset)

    # Sound.

    def _first_info(self):
        if self._streams.audio_info:
            for message in self._reader.messages([self._streams.audio_info]):
                try:
                    return message.decode()
                except AvsolError:
                    continue
        return None

    def _first_sound(self) -> Sound | None:
        """Format of the sound: a film has to know it before its first picture."""
        if not self._streams.audio:
            return None
        decoder = None
        for message in self._reader.messages([self._streams.audio]):
            try:
                packet = audio_packet(message.decode())
                wanted = (packet.format or AudioFormat()).completed(self._format)
                if not wanted.known:
                    raise _Unknown(
                        f'{self._reader.path} does not tell the format of {self._streams.audio}; '
                        'give --audio-sample-rate, --audio-channels and --audio-format'
                    )
                if not wanted.coded:
                    return _sound(wanted)
                decoder = decoder or CodedDecoder(wanted.coding)
                for _, samples, rate in decoder.process(message.log_ns, bytes(packet.data)):
                    return Sound(rate, samples.shape[1], 'int16')
            except _Unknown:
                raise
            except AvsolError:
                continue
        return None

    def _add_info(self, msg, message) -> None:
        fields = _fields(msg)
        self._infos.append([message.log_ns, None if fields == self._info_fields else fields])
        self._info_fields = fields
        told = audio_info_to_format(msg)
        self._format = told.completed(self._format)

    def _add_audio(self, msg, message) -> None:
        try:
            packet = audio_packet(msg)
        except AvsolError as error:
            self._refuse('audio messages', str(error))
            return
        stamp = message.log_ns if packet.stamp_ns is None else packet.stamp_ns
        for _, log_ns, (audio, kind) in self._sounds.add(
            stamp, message.log_ns, (packet, message.type)
        ):
            self._add_packet(audio, log_ns, kind)

    def _add_packet(self, packet, log_ns: int, kind: str) -> None:
        wanted = (packet.format or AudioFormat()).completed(self._format)
        data = memoryview(np.ascontiguousarray(np.frombuffer(packet.data, np.uint8)))
        chunk = _Chunk(packet, log_ns, data, kind, wanted)
        start_ns = log_ns if packet.stamp_ns is None else packet.stamp_ns
        start_ns -= round(self._options.audio_latency * NANOSECONDS)
        if wanted.coded:
            self._keep(chunk, data, start_ns)
            try:
                pieces = self._decode(wanted.coding, start_ns, bytes(data))
            except AvsolError as error:
                self._refuse('audio messages', str(error))
                return
            late = (
                0
                if packet.stamp_ns is not None
                else sum(len(samples) * NANOSECONDS // rate for _, samples, rate in pieces)
            )
            self._place_pieces([(at - late, samples, rate) for at, samples, rate in pieces])
            return
        try:
            packing = Packing(wanted.sample_format, wanted.channels)
        except AvsolError as error:
            self._refuse('audio messages', str(error))
            return
        samples = packing.samples(data)
        chunk.packing = packing
        chunk.exact = packing.data(samples) == data
        if not chunk.exact or not len(samples):
            self._keep(chunk, data, start_ns)
        if packet.stamp_ns is None:
            start_ns -= len(samples) * NANOSECONDS // wanted.sample_rate
        self._begin(_sound(wanted))
        self._put(self._placer.add(start_ns, samples, chunk if chunk.exact else None))

    def _decode(self, coding: str, start_ns: int, data: bytes) -> list:
        if self._decoder_of != coding:
            self._flush_audio()
            self._decoder, self._decoder_of = CodedDecoder(coding), coding
        return list(self._decoder.process(start_ns, data))

    def _place_pieces(self, pieces) -> None:
        for start_ns, samples, rate in pieces:
            self._begin(Sound(rate, samples.shape[1], 'int16'))
            whole = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
            self._put(self._placer.add(start_ns, whole))

    def _begin(self, sound: Sound) -> None:
        """Go on with sound of this format; that of another ends."""
        if self._placer is not None and self._clips.sound == sound:
            return
        if self._placer is not None:
            self._put(self._placer.flush())
        if self._clips.sound is not None and self._clips.sound != sound:
            self._counts[
                'changes of the audio format; a film has one, so the new one is heard '
                'from the next clip on'
            ] += 1
        self._clips.sound = sound
        self._placer = ChunkPlacer(sound.rate)
        self._placing = sound

    def _flush_audio(self) -> None:
        decoder, self._decoder, self._decoder_of = self._decoder, None, None
        if decoder is not None:
            self._place_pieces(decoder.flush())
        if self._placer is not None:
            self._put(self._placer.flush())

    def _put(self, placed: list[PlacedChunk]) -> None:
        for item in placed:
            self._put_one(item)

    def _put_one(self, item: PlacedChunk) -> None:
        """Put a chunk into its film, or into two at the border of clips."""
        rate, done = self._placer.rate, 0
        while done < len(item.samples):
            offset = item.time_ns + done * NANOSECONDS // rate - self._origin_ns
            number = offset // CLIP_NS
            left_ns = (number + 1) * CLIP_NS - offset
            # The first sample at or after the border is the next clip's.
            count = min(max(-(-left_ns * rate // NANOSECONDS), 1), len(item.samples) - done)
            part = item.samples[done : done + count]
            clip = self._clips.at(number) if number >= 0 else None
            place = None
            if clip is not None and clip.sound == self._placing:
                place = clip.add_sound(part, offset + self._origin_ns, item.follows or done > 0)
            chunk = item.chunk
            if chunk is not None and place is not None and self._note(clip, chunk):
                clip.add_chunk(
                    chunk.stamp_ns,
                    chunk.log_ns,
                    place,
                    count,
                    done,
                    len(item.samples) - done - count,
                )
            elif chunk is not None:
                self._keep(
                    chunk,
                    chunk.packing.data(part),
                    offset + self._origin_ns,
                    done,
                    len(item.samples) - done - count,
                )
            done += count
            self._clips.passed('sound', max(offset, 0))

    def _keep(self, chunk: '_Chunk', data, time_ns: int, skip: int = 0, left: int = 0) -> None:
        """
        Keep bytes beside the film of their time, or the nearest to it that can still be had.

        Those before the start are kept beside the first film.
        """
        number = (time_ns - self._origin_ns) // CLIP_NS
        if number < -1:
            self._counts['audio messages from more than 10 s before the first image'] += 1
            return
        clip = self._clips.at(max(number, 0)) or self._clips.oldest()
        self._note(clip, chunk)
        clip.add_bytes(chunk.stamp_ns, chunk.log_ns, data, skip, left)

    def _note(self, clip, chunk: '_Chunk') -> bool:
        return clip.note_sound(type=chunk.type, frame_id=chunk.frame_id, **asdict(chunk.format))

    # Ground truth.

    def _add_truth(self, msg, message) -> None:
        try:
            frame = detections_to_truth(msg, self._origin_ns)
        except AvsolError as error:
            self._refuse('messages of ground truth', str(error))
            return
        self._truth.append(
            TruthMessage(stamp_to_ns(msg.header.stamp), message.log_ns, bytes(message.raw), frame)
        )


class _Unknown(AvsolError):
    """The format of the sound is not known."""


class _Chunk:
    """An audio message."""

    def __init__(self, packet, log_ns: int, data, kind: str, wanted: AudioFormat):
        self.stamp_ns, self.log_ns, self.frame_id = packet.stamp_ns, log_ns, packet.frame_id
        self.data, self.type, self.format = data, kind, wanted
        self.packing, self.exact = None, False


class _Steady:
    """
    Holds back a message whose stamp is far off, until the next tells whether time has moved.

    A single one, such as with a stamp of zero, is left out and counted.
    """

    def __init__(self):
        self._distance = None
        self._odd = None
        self.strays = 0

    def add(self, stamp_ns: int, log_ns: int, value) -> list[tuple[int, int, object]]:
        distance = stamp_ns - log_ns
        item = stamp_ns, log_ns, value
        if self._distance is None or abs(distance - self._distance) <= CLOCK_CHANGE_NS:
            self.strays += self._odd is not None
            self._odd, self._distance = None, distance
            return [item]
        before = self._odd
        if before is not None and abs(distance - (before[0] - before[1])) <= CLOCK_CHANGE_NS:
            self._odd, self._distance = None, distance
            return [before, item]
        self.strays += before is not None
        self._odd = item
        return []


def _sound(wanted: AudioFormat) -> Sound:
    kind = Packing(wanted.sample_format, wanted.channels).kind
    return Sound(wanted.sample_rate, wanted.channels, kind)


def _fields(info) -> dict:
    return {
        name: value if isinstance(value, str) else int(value)
        for name in ('channels', 'sample_rate', 'sample_format', 'bitrate', 'coding_format')
        if (value := getattr(info, name, None)) is not None
    }
