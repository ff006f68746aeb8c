"""
Prepared clips: films in the form that training reads, one file each.

A clip holds what the live system would have received from the film: upright frames with their
times, as JPEGs, and the sound as ``avsol_ros.streams.audio_stream`` makes it, 16 kHz mono, with
its times.
Windows are cut by ``WindowCutter``, the code that cuts them on the robot, so that a model is
trained on what it will be given. To read a window costs decoding its own frames and no others.

The file is safetensors, which reads parts of an array without the rest and runs no code:

- ``jpeg`` (bytes,) uint8: all frames, one after the other;
- ``offsets`` (n + 1,) int64: where in ``jpeg`` each frame begins, and where the last one ends;
- ``stamps_ns`` (n,) int64: times of the frames, rising;
- ``audio`` (m,) int16: the sound, full scale 32768;
- ``runs`` (r, 2) int64: time of the first sample of each contiguous run, and its place in
  ``audio``. A film without holes in its sound has one run.

JPEG and not video, because seeking in H.264 decodes from the last key frame, here up to ten
seconds away. Frames are no larger than training can use: encoders take 112 or 224 pixels square,
and of a short side of 256 a crop of half the picture still has 181.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from avsol_ros.config import NANOSECONDS, WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.files import write_bytes
from avsol_ros.streams.windows import SAMPLE_NS, AudioVisualWindow, WindowCutter
from avsol_ros.training.datasets.ave import SECONDS

FORMAT = 'avsol_ros clip 1'
# Films are cut without care for their tracks: sound or pictures begin or end some hundredths of a
# second apart. A stream that begins or ends this close to the border of the clip counts as whole,
# with silence or the nearest picture in between; otherwise the first or the last second, a tenth
# of all, would often be lost.
EDGE_NS = NANOSECONDS // 10
_CHUNK = 1600  # samples that go to the cutter at a time


@dataclass(frozen=True, eq=False)
class ClipContent:
    """
    What is in a clip file.

    :param jpegs: encoded frames.
    :param stamps_ns: (n,) int64, rising.
    :param audio: (m,) int16, mono, 16 kHz.
    :param runs: (r, 2) int64: stamp and place in ``audio`` of each contiguous run.
    :param size: width and height of the film's upright picture, pixels.
    """

    jpegs: list[np.ndarray]
    stamps_ns: np.ndarray
    audio: np.ndarray
    runs: np.ndarray
    size: tuple[int, int]


def write_clip(path: Path, content: ClipContent) -> int:
    """
    Write a clip, whose file is whole or not there.

    :return: bytes of the file.
    """
    lengths = [len(jpeg) for jpeg in content.jpegs]
    tensors = {
        'jpeg': np.concatenate([np.zeros(0, np.uint8), *content.jpegs]),
        'offsets': np.cumsum([0, *lengths], dtype=np.int64),
        'stamps_ns': np.ascontiguousarray(content.stamps_ns, np.int64),
        'audio': np.ascontiguousarray(content.audio, np.int16),
        'runs': np.ascontiguousarray(content.runs, np.int64).reshape(-1, 2),
    }
    width, height = content.size
    # Not save_file, which lets nobody but the owner read what it writes.
    data = save(tensors, {'format': FORMAT, 'width': str(width), 'height': str(height)})
    write_bytes(path, data)
    return len(data)


class Clip:
    """
    A prepared clip. Holds its sound and times, about 0.3 MB; frames are read when asked for.

    Keeps no file open, and can be pickled.

    :param size: width and height of the film's upright picture, pixels; frames may be smaller.
    :param stamps_ns: (n,) int64, times of the frames.
    :param audio: (m,) int16, mono, 16 kHz.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        offsets: np.ndarray,
        stamps_ns: np.ndarray,
        audio: np.ndarray,
        runs: np.ndarray,
    ):
        self.path = path
        self.size = size
        self.stamps_ns = stamps_ns
        self.audio = audio
        self._offsets = offsets
        self._runs = runs
        self._plans = {}

    @classmethod
    def open(cls, path: str | Path) -> 'Clip':
        path = Path(path)
        with _reading(path), safe_open(path, 'np') as file:
            metadata = file.metadata() or {}
            if metadata.get('format') != FORMAT:
                raise KeyError(metadata.get('format', 'another format'))
            size = int(metadata['width']), int(metadata['height'])
            return cls(
                path,
                size,
                *(file.get_tensor(name) for name in ('offsets', 'stamps_ns', 'audio', 'runs')),
            )

    def windows(self, frames: int) -> list[AudioVisualWindow | None]:
        """
        Give all windows of one second every second, as the live system cuts them.

        :param frames: frames per window.
        :return: one for each of the ten seconds; None where there is no sound or no picture.
        """
        return [self.window(second, frames) for second in range(SECONDS)]

    def window(self, second: int, frames: int) -> AudioVisualWindow | None:
        """
        Give the window ``[second, second + 1)``; decodes its frames and no others.

        :return: None where it cannot be cut.
        """
        planned = self._plan(frames)[second]
        if planned is None:
            return None
        window, chosen = planned
        images = self.images(sorted(set(chosen)))
        return replace(window, frames=tuple(images[index] for index in chosen))

    def available(self, frames: int = 1) -> list[int]:
        """Seconds of which there is a window; decodes nothing."""
        return [second for second, planned in enumerate(self._plan(frames)) if planned is not None]

    def images(self, indices: list[int]) -> dict[int, np.ndarray]:
        """
        Decode frames.

        :return: by index, (H, W, 3) uint8 RGB.
        """
        with _reading(self.path), safe_open(self.path, 'np') as file:
            data = file.get_slice('jpeg')
            return {
                index: _decode(data[int(self._offsets[index]) : int(self._offsets[index + 1])])
                for index in indices
            }

    def _plan(self, frames: int) -> list[tuple[AudioVisualWindow, list[int]] | None]:
        """For each second its window with nothing in the pictures, and the frames to put there."""
        if frames not in self._plans:
            self._plans[frames] = self._cut(frames)
        return self._plans[frames]

    def _cut(self, frames: int) -> list[tuple[AudioVisualWindow, list[int]] | None]:
        cutter = WindowCutter(WindowConfig(frames=frames))
        # The cutter hands pictures on without a look at them; their stamps tell them apart.
        blank = np.zeros((1, 1, 3), np.uint8)
        pictures = {int(stamp): index for index, stamp in enumerate(self.stamps_ns)}
        if len(self.stamps_ns) and 0 < self.stamps_ns[0] <= EDGE_NS:
            pictures[0] = 0
        chunks, before, after = self._chunks()
        events = merge(
            ((stamp, 0, samples) for stamp, samples in chunks),
            ((stamp, 1, blank) for stamp in sorted(pictures)),
            key=lambda event: event[:2],
        )
        windows = []
        for stamp, is_picture, content in events:
            if is_picture:
                cutter.add_frame(stamp, content)
            else:
                cutter.add_audio(stamp, content)
            # At once, as the nodes do: in a film with long holes the cutter's memory is short.
            windows += cutter.ready()
        windows += cutter.flush()
        plan = [None] * SECONDS
        for window in windows:
            second = window.start_ns // NANOSECONDS
            if 0 <= second < SECONDS:
                padded = before * (second == 0) + after * (second == SECONDS - 1)
                plan[second] = (
                    replace(window, frames=(), audio_missing=window.audio_missing + padded),
                    [pictures[stamp] for stamp in window.frame_stamps_ns],
                )
        return plan

    def _chunks(self) -> tuple[list[tuple[int, np.ndarray]], int, int]:
        """
        Cut the sound into stamped chunks, with silence where it misses a little at the ends.

        :return: the chunks, and how many samples were put before and after.
        """
        sound = self.audio.astype(np.float32) / 32768
        ends = [*self._runs[1:, 1].tolist(), len(sound)]
        runs = [
            (stamp, sound[first:end]) for (stamp, first), end in zip(self._runs.tolist(), ends)
        ]
        before = after = 0
        if runs and SAMPLE_NS <= runs[0][0] <= EDGE_NS:
            # The first sample stays in the slot in which its time lies.
            before = runs[0][0] // SAMPLE_NS
            runs[0] = (0, np.concatenate([np.zeros(before, np.float32), runs[0][1]]))
        if runs:
            stamp, samples = runs[-1]
            after = SECONDS * NANOSECONDS // SAMPLE_NS - (stamp // SAMPLE_NS + len(samples))
            after = after if 0 < after * SAMPLE_NS <= EDGE_NS else 0
            runs[-1] = (stamp, np.concatenate([samples, np.zeros(after, np.float32)]))
        chunks = [
            (stamp + at * SAMPLE_NS, samples[at : at + _CHUNK])
            for stamp, samples in runs
            for at in range(0, len(samples), _CHUNK)
        ]
        return chunks, before, after


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in one line that a file is no clip."""
    if not path.is_file():
        raise AvsolError(f'{path} does not exist; avsol prepare makes clips')
    try:
        yield
    except (SafetensorError, OSError, KeyError, ValueError, IndexError) as error:
        raise AvsolError(
            f'{path} is no clip of this version, or is damaged ({error}); remove it '
            'and run avsol prepare again'
        ) from None


def _decode(data: np.ndarray) -> np.ndarray:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError('a frame cannot be decoded')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
