"""The sound of a bag: its samples go into the films of clips bit for bit, or beside them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from avsol_ros.bags import BagReader
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import AudioFormat, AudioPacket, audio_packet
from avsol_ros.streams.coded_audio import CodedDecoder
from avsol_ros.training.convert.clip_films import CLIP_NS, Clip, Clips
from avsol_ros.training.convert.exact_film import Sound
from avsol_ros.training.convert.exact_sound import ChunkPlacer, Packing, PlacedChunk
from avsol_ros.training.convert.findings import Findings
from avsol_ros.training.convert.stray_stamps import StrayFilter

_MESSAGES = 'audio messages'


class _UnknownFormat(AvsolError):
    """Nothing tells the format of the sound."""


def first_sound(reader: BagReader, topic: str, default: AudioFormat) -> Sound | None:
    """
    Find the format of the sound, which a film needs before its first picture.

    :param topic: of the audio; empty where the bag has none.
    :param default: used where a message does not state its format.
    :returns: None without a message that can be used.
    """
    decoder = None
    for message in reader.messages([topic]) if topic else ():
        try:
            packet = audio_packet(message.decode())
            wanted = _format_of(packet, default)
            if not wanted.known:
                raise _UnknownFormat(
                    f'{reader.path} does not tell the format of {topic}; '
                    'give --audio-sample-rate, --audio-channels and --audio-format'
                )
            if not wanted.coded:
                return _film_sound(wanted)
            decoder = decoder or CodedDecoder(wanted.coding)
            for _, samples, rate in decoder.process(message.log_ns, bytes(packet.data)):
                return Sound(rate, samples.shape[1], 'int16')
        except _UnknownFormat:
            raise
        except AvsolError:
            continue
    return None


def _format_of(packet: AudioPacket, default: AudioFormat) -> AudioFormat:
    return (packet.format or AudioFormat()).completed(default)


def _film_sound(wanted: AudioFormat) -> Sound:
    kind = Packing(wanted.sample_format, wanted.channels).kind
    return Sound(wanted.sample_rate, wanted.channels, kind)


@dataclass(frozen=True, eq=False)
class _Chunk:
    """
    An audio message.

    :param stamp_ns: None for a message without a stamp.
    :param type: of the message.
    :param packing: turns samples into its bytes again; None where that is not possible.
    """

    stamp_ns: int | None
    log_ns: int
    frame_id: str
    type: str
    format: AudioFormat
    packing: Packing | None = None


class SoundConversion:
    """
    Puts audio messages into clips, in the order in which they were recorded.

    :param origin_ns: stamp at which the first clip begins.
    :param latency_ns: by which the stamps are later than the sound was.
    :param default: format, where a message does not state it.
    :param findings: gets what cannot be used.
    """

    def __init__(
        self,
        clips: Clips,
        origin_ns: int,
        latency_ns: int,
        default: AudioFormat,
        findings: Findings,
    ):
        self._clips, self._findings = clips, findings
        self._origin_ns, self._latency_ns = origin_ns, latency_ns
        self._default = default
        self._stamps = StrayFilter()
        self._placer: ChunkPlacer | None = None
        self._sound: Sound | None = None  # format of what the placer holds
        self._decoder: CodedDecoder | None = None
        self._coding = ''  # of the decoder

    def set_format(self, told: AudioFormat) -> None:
        """Use the format of an info message from now on."""
        self._default = told.completed(self._default)

    def add(self, msg, message) -> None:
        """
        Add an audio message.

        :param msg: decoded.
        :param message: as the bag has it.
        """
        try:
            packet = audio_packet(msg)
        except AvsolError as error:
            self._findings.refuse(_MESSAGES, str(error))
            return
        stamp = message.log_ns if packet.stamp_ns is None else packet.stamp_ns
        steady = self._stamps.add(stamp, message.log_ns, (packet, message.type))
        for _, log_ns, (audio, kind) in steady:
            self._add_packet(audio, log_ns, kind)

    def close(self) -> None:
        """Write what is still held back."""
        self._flush()
        self._findings.count(f'{_MESSAGES} with stamps far off', self._stamps.strays)

    def _add_packet(self, packet: AudioPacket, log_ns: int, kind: str) -> None:
        wanted = _format_of(packet, self._default)
        data = memoryview(np.ascontiguousarray(np.frombuffer(packet.data, np.uint8)))
        chunk = _Chunk(packet.stamp_ns, log_ns, packet.frame_id, kind, wanted)
        start_ns = (log_ns if packet.stamp_ns is None else packet.stamp_ns) - self._latency_ns
        if wanted.coded:
            self._add_coded(chunk, data, start_ns)
        else:
            self._add_pcm(chunk, data, start_ns)

    def _add_coded(self, chunk: _Chunk, data: memoryview, start_ns: int) -> None:
        """Keep the bytes beside the film, and write the decoded sound into it."""
        self._keep_bytes(chunk, data, start_ns)
        if self._coding != chunk.format.coding:
            self._flush()
        try:
            if self._decoder is None:
                self._decoder = CodedDecoder(chunk.format.coding)
                self._coding = chunk.format.coding
            pieces = list(self._decoder.process(start_ns, bytes(data)))
        except AvsolError as error:
            self._findings.refuse(_MESSAGES, str(error))
            return
        late = 0
        if chunk.stamp_ns is None:  # the log time is that of its end
            late = sum(len(samples) * NANOSECONDS // rate for _, samples, rate in pieces)
        self._place_pieces([(at - late, samples, rate) for at, samples, rate in pieces])

    def _add_pcm(self, chunk: _Chunk, data: memoryview, start_ns: int) -> None:
        """Write samples into the film; bytes that cannot be made from them are kept beside it."""
        wanted = chunk.format
        try:
            packing = Packing(wanted.sample_format, wanted.channels)
        except AvsolError as error:
            self._findings.refuse(_MESSAGES, str(error))
            return
        samples = packing.samples(data)
        exact = packing.data(samples) == data
        if not exact or not len(samples):
            self._keep_bytes(chunk, data, start_ns)
        if chunk.stamp_ns is None:  # the log time is that of its end
            start_ns -= len(samples) * NANOSECONDS // wanted.sample_rate
        placer = self._placer_for(_film_sound(wanted))
        self._write(
            placer.add(start_ns, samples, replace(chunk, packing=packing) if exact else None)
        )

    def _place_pieces(self, pieces: Iterable[tuple[int, np.ndarray, int]]) -> None:
        """:param pieces: time, (n, channels) float samples and sample rate of each."""
        for start_ns, samples, rate in pieces:
            placer = self._placer_for(Sound(rate, samples.shape[1], 'int16'))
            whole = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
            self._write(placer.add(start_ns, whole))

    def _placer_for(self, sound: Sound) -> ChunkPlacer:
        """The placer for sound of this format; sound of another format before it is finished."""
        if self._placer is not None and self._clips.sound == sound:
            return self._placer
        if self._placer is not None:
            self._write(self._placer.flush())
        if self._clips.sound is not None and self._clips.sound != sound:
            self._findings.count(
                'changes of the audio format; a film has one, so the new one is heard '
                'from the next clip on'
            )
        self._clips.sound = self._sound = sound
        self._placer = ChunkPlacer(sound.rate)
        return self._placer

    def _flush(self) -> None:
        decoder, self._decoder, self._coding = self._decoder, None, ''
        if decoder is not None:
            self._place_pieces(decoder.flush())
        if self._placer is not None:
            self._write(self._placer.flush())

    def _write(self, placed: Iterable[PlacedChunk]) -> None:
        """Write chunks into their films; a chunk at the border of two clips goes into both."""
        for item in placed:
            done = 0
            while done < len(item.samples):
                done += self._write_part(item, done)

    def _write_part(self, item: PlacedChunk, done: int) -> int:
        """
        Write the rest of a chunk, up to the end of the clip.

        :param done: how many of its samples are written already.
        :returns: how many were written now.
        """
        rate = self._placer.rate
        offset = item.time_ns + done * NANOSECONDS // rate - self._origin_ns
        number = offset // CLIP_NS
        left_ns = (number + 1) * CLIP_NS - offset
        # The first sample at or after the border is the next clip's.
        count = min(max(-(-left_ns * rate // NANOSECONDS), 1), len(item.samples) - done)
        part, still = item.samples[done : done + count], len(item.samples) - done - count
        clip = self._clips.at(number) if number >= 0 else None
        time_ns, place = offset + self._origin_ns, None
        if clip is not None and clip.sound == self._sound:
            place = clip.add_sound(part, time_ns, item.follows or done > 0)
        chunk = item.chunk
        if chunk is not None and place is not None and self._note_format(clip, chunk):
            clip.add_chunk(chunk.stamp_ns, chunk.log_ns, place, count, done, still)
        elif chunk is not None:
            self._keep_bytes(chunk, chunk.packing.data(part), time_ns, done, still)
        self._clips.passed('sound', max(offset, 0))
        return count

    def _keep_bytes(self, chunk: _Chunk, data, time_ns: int, skip: int = 0, left: int = 0) -> None:
        """
        Keep bytes beside the film of their time, or beside the nearest that is still open.

        Those before the start are kept beside the first film.
        """
        number = (time_ns - self._origin_ns) // CLIP_NS
        if number < -1:
            self._findings.count(f'{_MESSAGES} from more than 10 s before the first image')
            return
        clip = self._clips.at(max(number, 0)) or self._clips.oldest()
        self._note_format(clip, chunk)
        clip.add_bytes(chunk.stamp_ns, chunk.log_ns, data, skip, left)

    def _note_format(self, clip: Clip, chunk: _Chunk) -> bool:
        """Note the format of a clip's messages; tell whether it is the one noted before."""
        return clip.note_sound(type=chunk.type, frame_id=chunk.frame_id, **asdict(chunk.format))
