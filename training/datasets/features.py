"""
Features of frozen encoders, computed once and kept in files that are mapped into memory.

A folder of the cache has one file for each kind of features and serves every run, and all
processes of a run, whose encoders and data are the same. Its name is a digest of both.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.files import AtomicPath, remove_leftovers
from avsol_ros.locks import lock

KINDS = ('visual', 'mean', 'maps', 'embedding')
Progress = Callable[[str, int, int], object]
_FORMAT = 'avsol_ros features 1'
_ADVICE = 'make room or choose another folder with --cache'
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
    """(B, T, S, S, 3) uint8 to (B, C, T', h, w), in half the precision: the encoder is frozen."""
    with torch.autocast(frames.device.type, torch.bfloat16):
        return visual_encoder(frames.permute(0, 1, 4, 2, 3).float().div(255))


def extract_features(
    visual_encoder: nn.Module | None,
    audio_encoder: nn.Module | None,
    segments,
    kinds=KINDS,
    folder: Path | None = None,
    batch: int = 32,
    device: str | torch.device = 'cpu',
    progress: Progress = lambda name, done, total: None,
) -> FeatureSet:
    """
    Pass every segment through the frozen encoders once.

    :param visual_encoder: None where no visual features are wanted; ``audio_encoder`` likewise.
    :param segments: see ``segments``.
    :param kinds: what to keep of what the encoders give, among KINDS.
    :param folder: where to put the files; None keeps everything in memory.
    :param progress: told a name, how many segments are done and how many there are.
    """
    device = torch.device(device)
    for encoder in (visual_encoder, audio_encoder):
        if encoder is not None:
            encoder.to(device).eval()
    tensors = {}
    for start in range(0, len(segments), batch):
        indices = range(start, min(start + batch, len(segments)))
        if visual_encoder is None:
            frames, sounds = None, [segments.sound(i) for i in indices]
        else:
            pictures, sounds = zip(*(segments.read(i) for i in indices))
            frames = torch.from_numpy(np.stack(pictures))
        found = encode(
            visual_encoder, audio_encoder, frames, torch.from_numpy(np.stack(sounds)), device
        )
        for kind in set(kinds) & set(found):
            if kind not in tensors:
                shape = (len(segments), *found[kind].shape[1:])
                tensors[kind] = (
                    torch.empty(shape, dtype=_TYPES[kind])
                    if folder is None
                    else _mapped(folder / kind, shape, _TYPES[kind], True)
                )
            tensors[kind][start : start + len(indices)] = found[kind]
        progress(f'features of {segments.about}', indices.stop, len(segments))
    return FeatureSet(
        torch.from_numpy(segments.labels).float(),
        torch.from_numpy(np.ascontiguousarray(segments.clips)),
        **tensors,
    )


def cached_features(
    visual_encoder: nn.Module | None,
    audio_encoder: nn.Module | None,
    segments,
    kinds,
    cache: Path,
    device='cpu',
    report=print,
    progress: Progress = lambda name, done, total: None,
) -> FeatureSet:
    """
    Like ``extract_features``, from the cache where they are; computed and put there otherwise.

    Processes that want the same wait for the one which began.
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
                report(f'computing features of {segments.about}')
                remove_leftovers(cache, folder.name, locked=True)
                with AtomicPath(folder, _ADVICE) as part:
                    part.mkdir()
                    features = extract_features(
                        visual_encoder,
                        audio_encoder,
                        segments,
                        kinds,
                        part,
                        device=device,
                        progress=progress,
                    )
                    _describe(part, features, kinds, segments.about)
            return _open(folder)
    except OSError as error:
        raise AvsolError(f'cannot keep features in {cache} ({error}); {_ADVICE}') from error


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
