"""
Films of the AVE dataset to prepared clips: in parallel, resumable, whatever the films are like.

Some of 4097 films fetched from YouTube are always gone, cut short, muted or damaged. None of that
is an error: each gets its ``Outcome`` in the manifest, and the rest is prepared.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.files import remove_leftovers, write_bytes
from avsol_ros.locks import lock_folder
from avsol_ros.media.film_reader import AudioChunk, MediaReader, VideoChunk
from avsol_ros.media.image_files import encode_jpeg
from avsol_ros.streams.audio_stream import AudioStream
from avsol_ros.streams.windows import SAMPLE_NS
from avsol_ros.training.datasets.ave import CATEGORY_LIST, FILES, SECONDS, AveDataset
from avsol_ros.training.datasets.prepared import (
    USABLE,
    Outcome,
    clip_path,
    read_manifest,
    write_manifest,
)
from avsol_ros.training.datasets.prepared_clip import FORMAT, Clip, ClipContent, write_clip
from avsol_ros.workers import Failed, run_jobs

_END_NS = SECONDS * NANOSECONDS
_MARGIN_NS = NANOSECONDS // 4  # read on that far, for the resampler's last outputs before the end
# Peak under which a film is silent: 2^-10 of full scale, -60 dB. A muted film decodes to zeros; a
# microphone in a quiet room is above.
_SILENCE = 32
_SAVE_S = 5.0  # work that a crash of the whole may cost, since clips unknown to the manifest count


@dataclass(frozen=True)
class ClipSettings:
    """
    How films become clips.

    :param fps: frames per second that are kept at most. Films with no more are kept whole, so
        that their windows are those of the live system; 24 frames is the most that a window of
        any encoder has.
    :param size: short side of the frames, pixels, at most.
    :param quality: of the JPEGs, 1 to 100.
    """

    fps: float = 30.0
    size: int = 256
    quality: int = 90

    def __post_init__(self):
        for name, value, least, most in (
            ('fps', self.fps, 1, 1000),
            ('size', self.size, 16, 8192),
            ('quality', self.quality, 1, 100),
        ):
            if not least <= value <= most:
                raise AvsolError(f'{name} is {value}; expected {least} to {most}')

    def __str__(self) -> str:
        return f'{FORMAT}, fps {self.fps:g}, size {self.size}, quality {self.quality}'


def prepare_film(film: Path, clip: Path, settings: ClipSettings) -> Outcome:
    """
    Make one clip.

    A film that breaks off is used as far as it goes. AvsolError only where the clip cannot be
    written.
    """
    cv2.setNumThreads(1)
    clip.unlink(missing_ok=True)
    try:
        content, trouble = _read_film(film, settings)
    except AvsolError as error:
        return Outcome('broken', str(error))
    if not len(content.audio) or np.abs(content.audio.astype(np.int32)).max() < _SILENCE:
        return Outcome('silent', f'{film} has no sound, or only silence')
    size = write_clip(clip, content)
    seconds = tuple(Clip.open(clip).available())
    if not seconds:
        clip.unlink(missing_ok=True)
        return Outcome('broken', trouble or f'{film} has no whole second of picture and sound')
    if len(seconds) == SECONDS:
        return Outcome('ok', trouble, seconds, clip_bytes=size)
    return Outcome(
        'short',
        trouble or f'{film} has picture and sound in {len(seconds)} of {SECONDS} seconds',
        seconds,
        clip_bytes=size,
    )


def _read_film(film: Path, settings: ClipSettings) -> tuple[ClipContent, str]:
    """Decode the first ten seconds; give with them why it ended early, if it did."""
    jpegs, stamps, pieces = [], [], []
    sound = None
    trouble = ''
    with MediaReader(film, need_audio=False) as reader:
        info = reader.info
        wanted = _Thinning(info.frame_rate, settings.fps)
        try:
            for chunk in reader:
                if chunk.time_ns >= _END_NS + _MARGIN_NS:
                    break
                if isinstance(chunk, VideoChunk):
                    if chunk.time_ns < _END_NS and wanted.take(chunk.time_ns):
                        jpegs.append(_encode(chunk.image, settings))
                        stamps.append(chunk.time_ns)
                    continue
                if sound is None or not _fits(sound, chunk):
                    pieces += sound.flush() if sound else []
                    sound = AudioStream(chunk.sample_rate, chunk.samples.shape[1])
                pieces += sound.process(chunk.time_ns, chunk.samples.astype(np.float32) / 32768)
        except AvsolError as error:
            trouble = str(error)
    pieces += sound.flush() if sound else []
    audio, runs = _joined(pieces)
    content = ClipContent(
        jpegs, np.array(stamps, np.int64), audio, runs, (info.width, info.height)
    )
    return content, trouble


def _fits(sound: AudioStream, chunk: AudioChunk) -> bool:
    return (sound.sample_rate, sound.channels) == (chunk.sample_rate, chunk.samples.shape[1])


def _joined(pieces: list[tuple[int, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """
    Put stamped pieces together, up to the end of the clip.

    :return: (m,) int16, and stamp and place of each contiguous run, (r, 2) int64.
    """
    kept, runs = [np.zeros(0, np.float32)], []
    count, expected = 0, None
    for stamp, samples in pieces:
        samples = samples[: max(0, -(-(_END_NS - stamp) // SAMPLE_NS))]
        if not len(samples):
            continue
        if stamp != expected:
            runs.append((stamp, count))
        kept.append(samples)
        count += len(samples)
        expected = stamp + len(samples) * SAMPLE_NS
    scaled = np.rint(np.concatenate(kept) * 32768)
    return (
        np.clip(scaled, -32768, 32767).astype(np.int16),
        np.array(runs, np.int64).reshape(-1, 2),
    )


class _Thinning:
    """Choose frames so that no more than so many come in a second, evenly spaced."""

    def __init__(self, frame_rate: float, most: float):
        # Frame rates are stated with rounding, and 30000/1001 is not to be thinned to 29.
        self._all = frame_rate <= most * 1.01
        self._most = most
        self._half_ns = NANOSECONDS / (2 * frame_rate) if frame_rate else 0.0
        self._last = -1

    def take(self, time_ns: int) -> bool:
        if self._all:
            return True
        place = int((time_ns + self._half_ns) * self._most / NANOSECONDS)
        if place == self._last:
            return False
        self._last = place
        return True


def _encode(image: np.ndarray, settings: ClipSettings) -> np.ndarray:
    height, width = image.shape[:2]
    short = min(height, width)
    if short > settings.size:
        shape = [max(1, round(side * settings.size / short)) for side in (width, height)]
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
    return np.frombuffer(encode_jpeg(image, settings.quality), np.uint8)


def prepare_ave(
    ave: AveDataset,
    out: Path,
    settings: ClipSettings = ClipSettings(),
    *,
    workers: int = 1,
    timeout_s: float = 120.0,
    retry: bool = False,
    report: Callable[[dict[str, Outcome], int], None] = lambda outcomes, total: None,
    convert: Callable[[Path, Path, ClipSettings], Outcome] = prepare_film,
) -> dict[str, Outcome]:
    """
    Prepare what is not prepared yet.

    A film is prepared again when its size, its modification time or the settings have changed,
    or its clip is gone. A film that is gone keeps the clip that was made from it.

    :param out: folder of the clips; exists.
    :param workers: processes.
    :param timeout_s: seconds after which a film counts as broken.
    :param retry: try again those that were not ok, whether or not they have changed.
    :param report: called with the outcomes so far and the number of films.
    :param convert: what makes one clip; found by module and name.
    :return: outcome of every film.
    """
    with lock_folder(out):
        (out / 'clips').mkdir(exist_ok=True)
        for folder in (out, out / 'clips'):
            remove_leftovers(folder, locked=True)
        for name in (*FILES, CATEGORY_LIST):
            if name == CATEGORY_LIST and not (ave.folder / name).exists():
                (out / name).unlink(missing_ok=True)
                continue
            write_bytes(out / name, (ave.folder / name).read_bytes())
        before = read_manifest(out)
        outcomes, jobs = {}, {}
        for video in ave.videos:
            film, clip = ave.media(video), clip_path(out, video)
            outcome = _known(before.get(video), film, clip, settings, retry)
            if outcome is None:
                jobs[film, clip, settings] = video, _source(film)
            else:
                outcomes[video] = outcome
        total = len(ave.videos)
        report(outcomes, total)
        saved = time.monotonic()
        try:
            for job, outcome in run_jobs(convert, jobs, workers, timeout_s):
                if isinstance(outcome, Failed):
                    outcome = Outcome('broken', f'{job[0]} cannot be read: {outcome.reason}')
                video, source = jobs[job]
                outcomes[video] = replace(outcome, source=source, settings=str(settings))
                report(outcomes, total)
                if time.monotonic() - saved > _SAVE_S:
                    # What is not done yet keeps what the manifest said of it.
                    write_manifest(out, before | outcomes)
                    saved = time.monotonic()
        finally:
            done = len(outcomes) == total
            write_manifest(out, outcomes if done else before | outcomes)
        return outcomes


def _known(
    outcome: Outcome | None, film: Path, clip: Path, settings: ClipSettings, retry: bool
) -> Outcome | None:
    """Outcome of a film that needs no work now; None for one that does."""
    source = _source(film)
    valid = (
        outcome is not None
        and outcome.settings == str(settings)
        and (outcome.status not in USABLE or _source_size(clip) == outcome.clip_bytes)
    )
    if source is None:
        if valid and outcome.status in USABLE:
            return outcome
        return Outcome('missing', f'{film} does not exist')
    if valid and outcome.source == source and not (retry and outcome.status != 'ok'):
        return outcome
    return None


def _source(film: Path) -> tuple[int, int] | None:
    """Size and modification time."""
    try:
        stat = film.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _source_size(path: Path) -> int | None:
    source = _source(path)
    return source and source[0]
