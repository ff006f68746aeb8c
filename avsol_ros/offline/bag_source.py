"""A recorded bag as a source of messages for a run."""

from collections.abc import Iterator
from typing import Any

from avsol_ros.bags import BagReader, Message, Streams
from avsol_ros.errors import AvsolError
from avsol_ros.messages.images import decode_image
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.offline.localization_run import TimedMessage

#: What a bag keeps beside its messages: the stamp of time 0 of its annotations.
ORIGIN_KEY = 'avsol_origin_ns'


def bag_messages(
    reader: BagReader, streams: Streams, results: bool = False
) -> Iterator[TimedMessage]:
    """
    Messages of the streams in order of log time, the first AudioInfo before all others.

    Drivers publish the format when they start, before the recording, and then every few seconds.
    ``avsol play`` publishes it first too. A message that cannot be decoded is left out and listed
    in ``reader.problems``.

    :param results: give also those of the localizer, as the kinds 'sounding', 'heatmap' and
        'heatmap_float'.
    """
    kinds = {'image': streams.image, 'audio': streams.audio, 'audio_info': streams.audio_info}
    if results:
        kinds |= {
            'sounding': streams.sounding,
            'heatmap': streams.heatmap,
            'heatmap_float': streams.heatmap_float,
        }
    by_topic = {topic: kind for kind, topic in kinds.items() if topic}
    if streams.audio_info:
        for message in reader.messages([streams.audio_info]):
            msg = _decoded(message)
            if msg is not None:
                yield 'audio_info', reader.start_ns, msg
                break
    for message in reader.messages(list(by_topic)):
        msg = _decoded(message)
        if msg is not None:
            yield by_topic[message.topic], message.log_ns, msg


def first_image(reader: BagReader, topic: str | None) -> tuple[int, int, int] | None:
    """Stamp in nanoseconds, height and width of the first image that can be read; None without."""
    for message in reader.messages([topic]) if topic else ():
        msg = _decoded(message)
        if msg is not None:
            try:
                return stamp_to_ns(msg.header.stamp), *decode_image(msg).shape[:2]
            except AvsolError:
                continue
    return None


def bag_origin(reader: BagReader, streams: Streams) -> int | None:
    """
    Stamp of time 0 of a bag's annotations, in nanoseconds.

    :returns: what the bag says, else the stamp of its first image; None without either.
    """
    said = reader.custom.get(ORIGIN_KEY, '')
    try:
        return int(said)
    except ValueError:
        image = first_image(reader, streams.image)
        return image and image[0]


def _decoded(message: Message) -> Any:
    """Give the message as an object; None if it cannot be decoded."""
    try:
        return message.decode()
    except AvsolError:
        return None  # the reader has counted it
