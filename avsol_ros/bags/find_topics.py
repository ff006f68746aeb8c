"""Which topics of a bag are the camera, the microphone, the truth and our own results."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from avsol_ros.bags.bag_reader import BagReader
from avsol_ros.bags.type_definitions import SOUNDING_OBJECTS
from avsol_ros.errors import AvsolError

_IMAGE = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_AUDIO = 'audio_common_msgs/msg/'
_IMAGES = (_IMAGE, _COMPRESSED)
_SOUNDS = tuple(_AUDIO + name for name in ('AudioDataStamped', 'AudioStamped', 'AudioData'))
_DETECTIONS = 'vision_msgs/msg/Detection2DArray'
# Topics that the localizer publishes beside its SoundingObjects.
_OURS = ('heatmap', 'heatmap_float', 'overlay', 'detections', 'sounding_objects')
_NODE = 'avsol_localizer'
# Encodings of images that measure distance.
_DEPTH = ('16UC1', 'mono16', '32FC1', '64FC1')
_OPTIONS = {
    'image': '--image-topic',
    'audio': '--audio-topic',
    'audio_info': '--audio-info-topic',
    'truth': '--truth-topic',
    'sounding': '--localizer',
}
_TITLES = {
    'image': 'camera',
    'audio': 'audio',
    'audio_info': 'audio format',
    'truth': 'ground truth',
    'sounding': 'localization',
}


@dataclass(frozen=True)
class Streams:
    """
    Names of topics; '' or None where the bag has none.

    :param sounding: SoundingObjects that a live localizer published; ``heatmap`` and
        ``heatmap_float`` are its maps.
    """

    image: str = ''
    audio: str = ''
    audio_info: str | None = None
    truth: str | None = None
    sounding: str | None = None
    heatmap: str | None = None
    heatmap_float: str | None = None


def find_streams(
    reader: BagReader,
    image: str = '',
    audio: str = '',
    audio_info: str = '',
    truth: str = '',
    localizer: str = '',
    need: Collection[str] = ('image', 'audio'),
) -> Streams:
    """
    Find topics by their types; those that are named are checked.

    A compressed camera topic beside the raw one, and plain audio beside stamped, are the same
    stream twice: the better one is taken. Detections count as truth if 'truth' is in the topic's
    name, or if the truth is needed and there is one such topic.

    :param reader: the bag.
    :param localizer: node whose results are meant, if the bag has those of several.
    :param need: which of 'image', 'audio', 'audio_info', 'truth', 'sounding', 'heatmap' and
        'heatmap_float' must be there.
    :raises AvsolError: if a needed topic is missing, or it is not clear which one is meant.
    """
    finder = _Finder(reader, need)
    sounding = finder.sounding(localizer)
    heat = {name: finder.beside(sounding, name) for name in ('heatmap', 'heatmap_float')}
    camera = finder.choose('image', _IMAGES, image, finder.drop_second_images)
    sound = finder.choose('audio', _SOUNDS, audio, finder.drop_plain_audio)
    return Streams(
        camera or '',
        sound or '',
        finder.audio_info(audio_info, sound),
        finder.truth(truth),
        sounding,
        **heat,
    )


class _Finder:
    def __init__(self, reader: BagReader, need: Collection[str]):
        self._reader = reader
        self._topics = reader.topics
        self._need = need
        self._results = [
            name for name, topic in self._topics.items() if topic.type == SOUNDING_OBJECTS
        ]

    def choose(
        self,
        what: str,
        types: Collection[str],
        named: str,
        refine: Callable[[list[str]], list[str]],
    ) -> str | None:
        """Return the one topic of these types; None if there is none and none is needed."""
        if named:
            return self._check(what, types, named)
        found = self._of(types)
        if len(found) > 1:
            found = refine(found)
        return self._only(what, types, found, strict=what in self._need)

    def sounding(self, node: str) -> str | None:
        found = [name for name in self._results if self._topics[name].count != 0]
        if node:
            prefix = '/' + node.strip('/')
            named = [n for n in found if n == prefix or n.rpartition('/')[0] == prefix]
            if not named:
                raise AvsolError(
                    f'the bag {self._reader.name} has no results of {prefix}; it has '
                    + (self._list(found) or 'none of any localizer')
                )
            return named[0]
        return self._only(
            'sounding',
            (SOUNDING_OBJECTS,),
            found,
            strict=not {'sounding', 'heatmap', 'heatmap_float'}.isdisjoint(self._need),
        )

    def beside(self, sounding: str | None, name: str) -> str | None:
        topic = f'{sounding.rpartition("/")[0]}/{name}' if sounding else ''
        if (
            topic in self._topics
            and self._topics[topic].type == _IMAGE
            and self._topics[topic].count != 0
        ):
            return topic
        if name in self._need:
            raise AvsolError(
                f'the bag {self._reader.name} has no recorded {name}; '
                + (f'expected the topic {topic}' if topic else 'it has no results of a localizer')
            )
        return None

    def audio_info(self, named: str, audio: str | None) -> str | None:
        types = (_AUDIO + 'AudioInfo',)
        if named:
            return self._check('audio_info', types, named)
        if audio and self._topics[audio].type == _AUDIO + 'AudioStamped':
            return None  # these carry their format
        found = self._of(types)
        if len(found) > 1 and audio:
            space = audio.rpartition('/')[0]
            found = [n for n in found if n.rpartition('/')[0] == space] or found
        return self._only(
            'audio_info', types, found, strict=True, optional='audio_info' not in self._need
        )

    def truth(self, named: str) -> str | None:
        if named:
            return self._check('truth', (_DETECTIONS,), named)
        found = self._of((_DETECTIONS,))
        called = [name for name in found if 'truth' in name.lower()]
        if not called and 'truth' not in self._need:
            return None
        return self._only(
            'truth',
            (_DETECTIONS,),
            called or found,
            strict=True,
            optional='truth' not in self._need,
        )

    def drop_second_images(self, found: list[str]) -> list[str]:
        found = [n for n in found if not n.lower().endswith('/compresseddepth')]
        found = [
            n
            for n in found
            if not (self._topics[n].type == _COMPRESSED and n.rpartition('/')[0] in found)
        ]
        if len(found) > 1:
            found = [n for n in found if not self._is_depth(n)] or found
        return found

    def drop_plain_audio(self, found: list[str]) -> list[str]:
        return [
            n
            for n in found
            if self._topics[n].type != _AUDIO + 'AudioData' or f'{n}_stamped' not in found
        ]

    def _is_depth(self, name: str) -> bool:
        message = next(self._reader.messages([name]), None)
        try:
            return getattr(message and message.decode(), 'encoding', '') in _DEPTH
        except AvsolError:
            return False

    def _is_ours(self, name: str) -> bool:
        spaces = {topic.rpartition('/')[0] for topic in self._results}
        parts = name.split('/')
        for index, part in enumerate(parts):  # behind the name may come a transport's
            space = '/'.join(parts[:index])
            if part in _OURS and (space in spaces or space.rpartition('/')[2] == _NODE):
                return True
        return False

    def _of(self, types: Collection[str]) -> list[str]:
        return [
            name
            for name, topic in self._topics.items()
            if topic.type in types and topic.count != 0 and not self._is_ours(name)
        ]

    def _only(
        self,
        what: str,
        types: Collection[str],
        found: list[str],
        strict: bool,
        optional: bool = False,
    ) -> str | None:
        if len(found) == 1:
            return found[0]
        if found and strict:
            raise AvsolError(
                f'the bag {self._reader.name} has several topics of {_TITLES[what]}: '
                f'{self._list(found)}; name one with {_OPTIONS[what]}'
            )
        if strict and not optional:
            raise AvsolError(
                f'the bag {self._reader.name} has no {_TITLES[what]} topic with messages; '
                f'expected one of {", ".join(types)}; it has '
                + (self._list(self._topics) or 'no topics')
            )
        return None

    def _check(self, what: str, types: Collection[str], name: str) -> str:
        # ROS gives every topic a leading slash; other writers may not.
        bare = name.lstrip('/')
        full = next((n for n in (name, f'/{bare}', bare) if n in self._topics), None)
        option = _OPTIONS[what]
        if full is None:
            candidates = self._list(self._of(types)) or self._list(self._topics) or 'no topics'
            raise AvsolError(
                f'{option}: the bag {self._reader.name} has no topic {name}; it has {candidates}'
            )
        topic = self._topics[full]
        if topic.type not in types:
            raise AvsolError(f'{option}: {full} is {topic.type}; expected {" or ".join(types)}')
        if topic.count == 0:
            raise AvsolError(f'{option}: {full} has no messages in the bag {self._reader.name}')
        return full

    def _list(self, names: Iterable[str]) -> str:
        return ', '.join(f'{n} ({self._topics[n].type}, {self._topics[n].count})' for n in names)
