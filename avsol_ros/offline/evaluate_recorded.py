"""What a localizer found live and a recorder kept, evaluated without any model."""

import heapq
import time
from collections.abc import Iterator
from typing import Any

from avsol_ros.bags import Streams, find_streams
from avsol_ros.offline.bag_session import BagSession
from avsol_ros.offline.bag_source import bag_messages, first_image
from avsol_ros.offline.bag_summary import describe_streams
from avsol_ros.offline.localization_run import TimedMessage
from avsol_ros.offline.recorded_results import RecordedMaps, RecordedRun
from avsol_ros.offline.results_bag import CENTRE_KEY, MODEL_KEY, SIZE_KEY
from avsol_ros.offline.timeline import Timeline
from avsol_ros.stopping import Stopped


def run_recorded(session: BagSession) -> None:
    """Take the results from the bag; camera and sound only for the facts and the film."""
    streams = session.streams
    if session.results is not session.reader:
        streams = find_streams(
            session.results, localizer=session.options.localizer, need=('sounding',)
        )
    heatmaps = 'heatmap_float' if streams.heatmap_float else 'heatmap' if streams.heatmap else ''
    maps = _recorded_maps(session)
    session.image_size = maps.image_size
    node = (streams.sounding or '').rpartition('/')[0]
    model = session.results.custom.get(MODEL_KEY) or node
    name = f'recorded: {model.strip("/")}'
    scores, heard = session.begin_scores(name), session.make_audio_reader()
    began = time.monotonic()
    with session.make_files(session.out, Timeline()) as files:

        def watch(kind: str, log_ns: int, msg: Any) -> None:
            session.stopping.check()
            session.facts.add(kind, log_ns, msg)
            if kind == 'audio_info':
                heard.add_info(msg)
            if files.film is not None:
                files.film.add_message(kind, log_ns, msg)
            session.tell_progress(name, log_ns, files.windows, began)

        run = RecordedRun(_recorded_messages(session, streams), maps, heatmaps, watch)
        try:
            for finding, heat in run:
                files.add(finding)
                if scores is not None:
                    scores.add_recorded(finding.result, finding.stamp_ns, heat)
        except Stopped:
            session.interrupted = True
        kept, wrong = files.finish()
    session.problems += [
        *wrong,
        *run.problems(),
        *session.facts.problems(session.streams.image, session.streams.audio),
    ]
    session.document |= describe_streams(session.facts, session.image_size, heard.format)
    session.add_run(name, files, kept, scores, heatmaps=list(maps.sources))


def _recorded_maps(session: BagSession) -> RecordedMaps:
    """What makes maps over the image, by all that tells the size of the image."""
    image = first_image(session.reader, session.streams.image)
    size = image and image[1:]
    width, _, height = session.results.custom.get(SIZE_KEY, '').partition('x')
    if size is None and width.isdecimal() and height.isdecimal():
        size = int(height), int(width)
    if size is None and session.scores is not None and session.scores.truth.size is not None:
        size = session.scores.truth.size[::-1]
    try:
        centre = float(session.results.custom[CENTRE_KEY])
    except (KeyError, ValueError):
        centre = None
    return RecordedMaps(size, centre)


def _recorded_messages(session: BagSession, streams: Streams) -> Iterator[TimedMessage]:
    """Messages of the recording and of the results, in order of log time."""
    if session.results is session.reader:
        return bag_messages(session.reader, streams, results=True)
    found = bag_messages(
        session.results,
        Streams(
            sounding=streams.sounding,
            heatmap=streams.heatmap,
            heatmap_float=streams.heatmap_float,
        ),
        results=True,
    )
    # The film wants them in turn; scores do not care.
    recording = bag_messages(session.reader, session.streams)
    return heapq.merge(recording, found, key=lambda item: item[1])
