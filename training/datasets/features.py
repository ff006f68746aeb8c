"""
Features of frozen encoders, computed once and kept in files that are mapped into memory.

A folder of the cache has one file for each kind of features and serves every run, and all
processes of a run, whose encoders and data are the same. Its name is a digest of both. While they
are computed it ends in ``.begun``. A run that is interrupted leaves that, and the next one that
wants the same goes on from there.
"""

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.files import fsync, remove_folder, write_bytes, writing
from avsol_ros.files import replace as put
from avsol_ros.locks import lock
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.stopping import on_interrupt

KINDS = ('visual', 'mean', 'maps', 'embedding')
_FORMAT = 'avsol_ros features 1'
_ADVICE = 'make room or choose another folder with --cache'
_BATCH = 32  # segments that are encoded at once
_MARK = 'begun.npz'  # how much of the files is computed
_MARK_S = 20.0  # a kill loses no more than this
# What reading a damaged mark raises, or one whose files are not what it says.
_DAMAGES = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, AvsolError)
_TYPES = {
    'visual': torch.bfloat16,
    'mean': torch.bfloat16,
    'maps': torch.bfloat16,
    'embedding': torch.float32,
}


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """
    Frozen features of n segments; None where not asked for.

    :param labels: (n, classes) float32, 0 or 1.
    :param clips: (n,) int64, which clip a segment is from.
    :param visual: (n, T, h, w, C) bfloat16, for CDF.
    :param mean: (n, 1, h, w, C) bfloat16, time averaged away, for static fusion (Fig. 3a).
    :param maps: (n, C, T', M) bfloat16, for CDF.
    :param embedding: (n, E) float32, for static fusion.
    :param folder: of the cache, where it is from there.
    """

    labels: torch.Tensor
    clips: torch.Tensor
    visual: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    maps: torch.Tensor | None = None
    embedding: torch.Tensor | None = None
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, kinds) -> 'FeatureSet':
        """Without features of other kinds."""
        return replace(self, **dict.fromkeys(set(KINDS) - set(kinds)))

    def __getstate__(self) -> dict:
        """Other processes map the files themselves; the features are not sent to them."""
        state = dict(self.__dict__)
        if self.folder is not None:
            state |= {kind: state[kind] is not None for kind in KINDS}
        return state

    def __setstate__(self, state: dict) -> None:
        if state['folder'] is not None:
            mapped = _map_files(state['folder'])
            state = state | {kind: mapped[kind] if state[kind] else None for kind in KINDS}
        self.__dict__.update(state)


def cache_folder() -> Path:
    """``$AVSOL_CACHE``, else ``avsol_ros/features`` in the user's cache."""
    if chosen := os.environ.get('AVSOL_CACHE'):
        return Path(chosen).expanduser()
    cache = Path(os.environ.get('XDG_CACHE_HOME', ''))  # counts only when absolute, says XDG
    return (cache if cache.is_absolute() else Path.home() / '.cache') / 'avsol_ros' / 'features'


def weights_digest(*modules: nn.Module | None) -> str:
    """Digest of kinds and weights of encoders."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(type(module).__name__.encode())
        for name, value in ({} if module is None else module.state_dict()).items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def encode(
    visual_encoder: nn.Module | None,
    audio_encoder: nn.Module | None,
    frames: torch.Tensor | None,
    samples: torch.Tensor,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """
    Pass segments through the frozen encoders.

    :param frames: (B, T, S, S, 3) uint8, unless there is no visual encoder.
    :param samples: (B, 16000) float32.
    :returns: what ``FeatureSet`` has of them, by name, on the CPU.
    """
    found = {}
    if visual_encoder is not None:
        features = see_frames(visual_encoder, frames.to(device)).permute(0, 2, 3, 4, 1)
        found['visual'] = features
        found['mean'] = features.float().mean(1, keepdim=True)
    if audio_encoder is not None:
        heard = audio_encoder(samples.to(device))
        found['maps'] = heard.maps
        if heard.embedding is not None:
            found['embedding'] = heard.embedding
    return {kind: value.to('cpu', _TYPES[kind]) for kind, value in found.items()}


def see_frames(visual_encoder: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """(B, T, S, S, 3) uint8 to (B, C, T', h, w), in bfloat16 where the encoder bears it."""
    half = getattr(visual_encoder, 'bears_bfloat16', True)
    with torch.autocast(frames.device.type, torch.bfloat16, enabled=half):
        return visual_encoder(frames.permute(0, 1, 4, 2, 3).float().div(255))


def extract_features(
    visual_encoder: nn.Module | None,
    audio_encoder: nn.Module | None,
    segments,
    kinds=KINDS,
    folder: Path | None = None,
    batch: int = _BATCH,
    device: str | torch.device = 'cpu',
    progress: OnCount = count_nothing,
) -> FeatureSet:
    """
    Pass every segment through the frozen encoders once.

    :param visual_encoder: None where no visual features are wanted; ``audio_encoder`` likewise.
    :param segments: see ``segments``.
    :param kinds: what to keep of what the encoders give, among KINDS.
    :param folder: where to put the files, or to go on with them where a call with the same
        arguments was interrupted; None keeps everything in memory.
    :param progress: told how many segments are done.
    """
    device = torch.device(device)
    for encoder in (visual_encoder, audio_encoder):
        if encoder is not None:
            encoder.to(device).eval()
    begun = _Begun(len(segments), folder)
    sees = visual_encoder is not None
    name, total = f'features of {segments.about}', len(segments)
    progress(name, begun.done, total, 'windows')
    try:
        with closing(segments.stream(begun.done, sees)) as stream:
            while rows := list(islice(stream, batch)):
                frames = torch.from_numpy(np.stack([row.frames for row in rows])) if sees else None
                sounds = torch.from_numpy(np.stack([row.audio for row in rows]))
                found = encode(visual_encoder, audio_encoder, frames, sounds, device)
                begun.add({kind: found[kind] for kind in set(kinds) & set(found)}, rows)
                progress(name, begun.done, total, 'windows')
    finally:
        begun.keep()
    return FeatureSet(
        torch.from_numpy(begun.labels).float(),
        torch.from_numpy(begun.clips),
        **begun.tensors,
    )


@dataclass(eq=False)
class _Begun:
    """
    Features of the first of so many segments, in memory or in files that outlive a kill.

    :param count: how many segments there are.
    :param folder: of the files; None for memory.
    :ivar tensors: kind -> features, of which those of the first ``done`` segments are computed.
    """

    count: int
    folder: Path | None
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    _rows: list[tuple[np.ndarray, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._marked = time.monotonic()
        if self.folder is None or not (self.folder / _MARK).is_file():
            return
        try:
            with np.load(self.folder / _MARK, allow_pickle=False) as mark:
                shapes = {kind: mark[kind] for kind in KINDS if kind in mark}
                rows = list(zip(mark['labels'], mark['clips'].tolist()))
            self.tensors = {
                kind: _mapped(self.folder / kind, shape, _TYPES[kind], False)
                for kind, shape in shapes.items()
            }
            self._rows = rows
        except _DAMAGES:
            (self.folder / _MARK).unlink()  # it must not speak of what is computed again

    @property
    def done(self) -> int:
        return len(self._rows)

    @property
    def labels(self) -> np.ndarray:
        """(done, C) uint8."""
        return np.stack([labels for labels, _ in self._rows])

    @property
    def clips(self) -> np.ndarray:
        """(done,) int64."""
        return np.array([clip for _, clip in self._rows])

    def add(self, found: dict[str, torch.Tensor], rows: list) -> None:
        """Take down the features of the next segments."""
        for kind, values in found.items():
            if kind not in self.tensors:
                shape, dtype = (self.count, *values.shape[1:]), _TYPES[kind]
                self.tensors[kind] = (
                    torch.empty(shape, dtype=dtype)
                    if self.folder is None
                    else _mapped(self.folder / kind, shape, dtype, True)
                )
            self.tensors[kind][self.done : self.done + len(rows)] = values
        self._rows += [(row.labels, row.clip) for row in rows]  # at once: Ctrl-C may come here
        if time.monotonic() - self._marked > _MARK_S:
            self.keep()

    def keep(self) -> None:
        """Have what is done outlive this process."""
        if self.folder is None or not self.done:
            return
        for kind in self.tensors:
            fsync(self.folder / kind)
        data = io.BytesIO()
        shapes = {kind: np.array(tensor.shape) for kind, tensor in self.tensors.items()}
        np.savez(data, labels=self.labels, clips=self.clips, **shapes)
        write_bytes(self.folder / _MARK, data.getbuffer(), _ADVICE)
        self._marked = time.monotonic()


def _begun_of(folder: Path, count: int) -> int:
    """How many segments of a folder that was begun are done."""
    return _Begun(count, folder).done


def cached_features(
    visual_encoder: nn.Module | None,
    audio_encoder: nn.Module | None,
    segments,
    kinds,
    cache: Path,
    device='cpu',
    report=print,
    progress: OnCount = count_nothing,
) -> FeatureSet:
    """
    Like ``extract_features``, from the cache where they are; computed and put there otherwise.

    Processes that want the same wait for the one which began. If that is interrupted or killed,
    the next one goes on.
    """
    kinds = tuple(kind for kind in KINDS if kind in kinds)
    key = ' '.join([_FORMAT, segments.key, *kinds, weights_digest(visual_encoder, audio_encoder)])
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:24]
    try:
        with lock(
            cache / f'{folder.name}.lock',
            f'is computing features of {segments.about}',
            wait=report,
            advice=_ADVICE,
        ):
            if not (folder / 'features.json').is_file():
                begun = folder.with_suffix('.begun')
                with writing(folder, _ADVICE), _kept_if_begun(begun, segments):
                    done = _begun_of(begun, len(segments))
                    report(
                        f'computing features of {segments.about}'
                        + (f'; {done} are there already' if done else '')
                    )
                    features = extract_features(
                        visual_encoder,
                        audio_encoder,
                        segments,
                        kinds,
                        begun,
                        device=device,
                        progress=progress,
                    )
                    _describe(begun, features, kinds, segments.about)
                    put(begun, folder)
                    (folder / _MARK).unlink()
            return _open(folder)
    except OSError as error:
        raise AvsolError(f'cannot keep features in {cache} ({error}); {_ADVICE}') from error


@contextmanager
def _kept_if_begun(folder: Path, segments) -> Iterator[None]:
    """Have a folder for features; what is in it stays only if some of them are computed."""

    def kept() -> str:
        done = _begun_of(folder, len(segments))
        return (
            f'interrupted; features of {done} of {len(segments)} windows are kept, and the same '
            'command goes on'
            if done
            else 'interrupted before the first features; the same command begins again'
        )

    folder.mkdir(exist_ok=True)
    try:
        with on_interrupt(kept):
            yield
    finally:
        if folder.is_dir() and not (folder / _MARK).is_file():
            remove_folder(folder)


def _describe(folder: Path, features: FeatureSet, kinds, about: str) -> None:
    np.save(folder / 'labels.npy', features.labels.numpy().astype(np.uint8))
    np.save(folder / 'clips.npy', features.clips.numpy())
    shapes = {
        kind: list(getattr(features, kind).shape)
        for kind in kinds
        if getattr(features, kind) is not None
    }
    (folder / 'features.json').write_text(json.dumps({'about': about, 'shapes': shapes}))


def _open(folder: Path) -> FeatureSet:
    return FeatureSet(
        torch.from_numpy(np.load(folder / 'labels.npy')).float(),
        torch.from_numpy(np.load(folder / 'clips.npy')),
        folder=folder,
        **_map_files(folder),
    )


def _map_files(folder: Path) -> dict[str, torch.Tensor]:
    shapes = json.loads((folder / 'features.json').read_text())['shapes']
    return {
        kind: _mapped(folder / kind, shape, _TYPES[kind], False) for kind, shape in shapes.items()
    }


def _mapped(path: Path, shape, dtype: torch.dtype, write: bool) -> torch.Tensor:
    """A tensor whose memory is a file."""
    count = int(np.prod(shape))
    size = count * dtype.itemsize
    if write:
        with path.open('wb') as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk shows here, not as a crash
    elif path.stat().st_size != size:
        raise AvsolError(
            f'{path} has {path.stat().st_size} bytes, expected {size}; remove '
            f'{path.parent} and run again'
        )
    return torch.from_file(str(path), shared=True, size=count, dtype=dtype).view(*shape)
