"""A run over a bag as a document of plain values, and that as text for people."""

from datetime import datetime, timezone
from typing import Any

from avsol_ros.bags import BagReader, Streams
from avsol_ros.config import NANOSECONDS
from avsol_ros.messages.audio import AudioFormat
from avsol_ros.offline.span_table import format_spans
from avsol_ros.offline.timeline import Timeline
from avsol_ros.offline.topic_facts import StreamFacts
from avsol_ros.streams.windows import SAMPLE_RATE, WindowStats


def describe_bag(reader: BagReader, streams: Streams, origin_ns: int) -> dict:
    """Describe the bag and the topics that are used; times in seconds, stamps in nanoseconds."""
    topics = {
        kind: name and {'name': name, 'type': reader.topics[name].type}
        for kind, name in vars(streams).items()
    }
    return {
        'version': 1,
        'bag': {
            'path': str(reader.path),
            'name': reader.name,
            'start_ns': reader.start_ns,
            'end_ns': reader.end_ns,
            'duration': (reader.end_ns - reader.start_ns) / NANOSECONDS,
        },
        'origin_ns': origin_ns,
        'topics': {kind: topic or None for kind, topic in topics.items()},
    }


def describe_streams(
    facts: StreamFacts,
    image_size: tuple[int, int] | None,
    audio_format: AudioFormat | None = None,
    stats: WindowStats | None = None,
    refused: int = 0,
) -> dict:
    """
    Describe the two streams.

    :param image_size: height and width.
    :param audio_format: of sound that does not carry its own.
    :param stats: of the cutter; None where no windows were cut.
    :param refused: messages that could not be used.
    """
    known = facts.audio_format or audio_format or AudioFormat()
    height, width = image_size or (None, None)
    document: dict[str, Any] = {
        'image': {**facts.image.as_dict(), 'width': width, 'height': height},
        'audio': {
            **facts.audio.as_dict(),
            'sample_rate': known.sample_rate or None,
            'channels': known.channels or None,
            'format': known.sample_format or None,
            'coding': known.coding or None,
        },
        'skew': {
            'image_lead': facts.image_lead_s,
            'image_log_minus_stamp': facts.image.as_dict()['log_minus_stamp'],
            'audio_log_minus_stamp': facts.audio.as_dict()['log_minus_stamp'],
        },
        'cut': None,
    }
    if stats is not None:
        document['audio'] |= {
            'gaps': stats.audio_gaps,
            'gap_seconds': stats.audio_gap_samples / SAMPLE_RATE,
            'overlap_seconds': stats.audio_overlap_samples / SAMPLE_RATE,
        }
        document['cut'] = {
            'windows': stats.windows_cut,
            'skipped': stats.windows_skipped,
            'restarts': stats.restarts,
            'refused': refused,
            'frames_late': stats.frames_late,
            'frames_duplicate': stats.frames_duplicate,
        }
    return document


def describe_found(timeline: Timeline, origin_ns: int) -> dict:
    """List what was found when."""
    return {
        'found': [span.as_dict(origin_ns) for span in timeline.spans],
        'found_more': timeline.more,
    }


def format_streams(document: dict) -> str:
    """Describe the bag as text, one line for each topic and fact."""
    lines = [
        ('bag', _bag(document)),
        ('image', _image(document)),
        ('sound', _sound(document)),
        ('skew', _skew(document)),
        ('windows', _windows(document)),
        ('truth', document.get('truth') or ''),
    ]
    return '\n'.join(f'{name:8} {text}' for name, text in lines if text)


def _bag(document: dict) -> str:
    bag = document['bag']
    when = datetime.fromtimestamp(bag['start_ns'] // NANOSECONDS, timezone.utc)
    return f'{bag["name"]}: {bag["duration"]:.1f} s from {when:%Y-%m-%d %H:%M:%S} UTC'


def _topic(document: dict, kind: str) -> str:
    topic = document['topics'][kind]
    return f'{topic["name"]} ({topic["type"]})'


def _image(document: dict) -> str:
    image = document['image']
    if not document['topics']['image'] or not image['messages']:
        return ''
    text = f'{_topic(document, "image")}: {image["messages"]} images'
    if image['width']:
        text += f' of {image["width"]} x {image["height"]}'
    if image['rate'] is not None:
        text += f', {image["rate"]:.2f} a second, longest gap {image["longest_gap"]:.3f} s'
    return text


def _sound(document: dict) -> str:
    audio = document['audio']
    if not document['topics']['audio'] or not audio['messages']:
        return ''
    parts = [f'{audio["messages"]} messages']
    coding = audio['coding'] if audio['coding'] not in (None, 'pcm') else audio['format']
    parts.append(coding or 'of unknown format')
    if audio['channels']:
        parts.append(f'{audio["channels"]} channel{"s" if audio["channels"] > 1 else ""}')
    if audio['sample_rate']:
        parts.append(f'{audio["sample_rate"]} Hz')
    if audio['unstamped']:
        parts.append('without stamps: the time of arrival counts')
    if 'gaps' in audio and coding:
        parts.append(
            f'{audio["gaps"]} gap{"" if audio["gaps"] == 1 else "s"} '
            f'({audio["gap_seconds"]:.3f} s missing)'
            if audio['gaps']
            else 'no gaps'
        )
        if audio['overlap_seconds']:
            parts.append(f'{audio["overlap_seconds"]:.3f} s twice')
    return f'{_topic(document, "audio")}: ' + ', '.join(parts)


def _skew(document: dict) -> str:
    skew, parts = document['skew'], []
    lead = skew['image_lead']
    if lead is not None:
        parts.append(
            f'images begin {abs(lead):.3f} s {"after" if lead >= 0 else "before"} the sound'
        )
    late = []
    for name, spread in (
        ('images', skew['image_log_minus_stamp']),
        ('sound', skew['audio_log_minus_stamp']),
    ):
        if spread:
            late.append(
                f'{name} {_ms(spread["median"])} ({_ms(spread["low"])} to {_ms(spread["high"])})'
            )
    if late:
        parts.append('recorded after its stamp: ' + ', '.join(late))
    return '; '.join(parts)


def _ms(seconds: float) -> str:
    return f'{seconds:.1f} s' if abs(seconds) >= 10 else f'{1000 * seconds:.1f} ms'


def _windows(document: dict) -> str:
    cut = document['cut']
    if cut is None:
        return ''
    parts = [f'{cut["windows"]} cut', f'{cut["skipped"]} skipped']
    parts += [
        f'{cut[key]} {words}'
        for key, words in (
            ('refused', 'messages refused'),
            ('restarts', 'times begun anew'),
            ('frames_late', 'images late'),
            ('frames_duplicate', 'images of a stamp that was there'),
        )
        if cut[key]
    ]
    return ', '.join(parts)


def format_head(run: dict) -> str:
    """Say in one line which model ran, or which results were read."""
    head = f'{run["model"]}: {run["windows"]} windows'
    if run.get('where'):
        head += f' on {run["where"]}, {run["speed"]:.1f} times as fast as it was recorded'
    if run.get('heatmaps'):
        head += ', heat from ' + ' and '.join(run['heatmaps'])
    return head


def format_run(run: dict) -> str:
    """What one model found when."""
    return f'{format_head(run)}\n\n{format_spans(run["found"], run["found_more"])}'
