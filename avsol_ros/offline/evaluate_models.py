"""Models over a recorded bag, one after the other."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avsol_ros.config import NANOSECONDS
from avsol_ros.inference.localizer import Localizer
from avsol_ros.offline.bag_session import BagSession
from avsol_ros.offline.bag_source import bag_messages
from avsol_ros.offline.bag_summary import describe_streams
from avsol_ros.offline.find_films import unique_names
from avsol_ros.offline.localization_run import LocalizationRun
from avsol_ros.offline.results_bag import results_about
from avsol_ros.offline.timeline import Timeline
from avsol_ros.stopping import Stopped
from avsol_ros.streams.intake import Intake, window_config


def run_models(session: BagSession) -> None:
    """Run the models of the options over the bag."""
    options = session.options
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    models = list(map(str, options.models))
    localizers = [Localizer.load(name, options.device, options.engine) for name in models]
    folders = _folders(session.out, models)
    for name, localizer, folder in zip(models, localizers, folders):
        if not session.interrupted:
            _run_model(session, name, localizer, folder)


def _run_model(session: BagSession, name: str, localizer: Localizer, folder: Path) -> None:
    options = session.options
    is_first = not session.document['runs']
    config = window_config(options.hop, localizer.frames)
    refused: list[str] = []
    intake = Intake(
        config,
        refused.append,
        options.audio_format,
        session.audio_latency_ns,
        round(options.stream_timeout * NANOSECONDS),
        options.audio_stamps,
    )
    scores = session.begin_scores(name, localizer.model.config)
    began = time.monotonic()
    with session.make_files(folder, Timeline(config.hop_ns)) as files:

        def watch(kind: str, log_ns: int, msg: Any) -> None:
            session.stopping.check()
            if is_first:
                session.facts.add(kind, log_ns, msg)
            if files.film is not None:
                files.film.add_message(kind, log_ns, msg)
            session.tell_progress(name, log_ns, files.windows, began)

        files.add_bag(
            _heatmap_size(options.heatmap_size),
            results_about(name, session.reader.name, session.origin_ns),
        )
        files.add_sheet(session.duration_ns // config.hop_ns + 1)
        messages = bag_messages(session.reader, session.streams)
        run = LocalizationRun(messages, localizer, intake, options.boxes, watch)
        try:
            for one in run:
                stamp_ns, image = one.middle_frame
                session.image_size = session.image_size or image.shape[:2]
                if scores is not None:
                    scores.add(one.localization, frames=one.window.frames)
                truth = session.drawn_truth(stamp_ns, image)
                files.add_localized(one, intake.frame_id, truth)
        except Stopped:
            session.interrupted = True
        kept, wrong = files.finish()
    session.problems += [*refused, *run.problems, *wrong]
    if is_first:
        _describe_streams(session, intake)
    took_s = max(time.monotonic() - began, 1e-9)
    session.add_run(
        name,
        files,
        kept,
        scores,
        where=str(localizer),
        failed=run.failed,
        speed=max(run.log_ns - session.reader.start_ns, 0) / NANOSECONDS / took_s,
    )


def _describe_streams(session: BagSession, intake: Intake) -> None:
    """Take down what the streams are like, and why there are no windows if there are none."""
    session.document |= describe_streams(
        session.facts, session.image_size, intake.audio_format, intake.stats, intake.refused
    )
    session.problems += session.facts.problems(session.streams.image, session.streams.audio)
    if session.interrupted or intake.stats.windows_cut:
        return
    if session.facts.audio.count and not (session.facts.audio_format or intake.audio_format).known:
        session.problems.append(
            f'nothing tells the format of the sound on {session.streams.audio}; name the topic of '
            'AudioInfo with --audio-info-topic, or give --audio-format, --audio-sample-rate and '
            '--audio-channels'
        )
    elif not intake.refused:  # else it is told already
        session.problems.append(
            'there is no whole second in which both images and sound came; their stamps may be '
            'of different clocks'
        )


def _heatmap_size(size: str | tuple[int, int]) -> tuple[int, int] | None:
    """Width and height as ``ResultsBag`` takes them: (0, 0) for the camera's, None the model's."""
    if isinstance(size, tuple):
        return size
    return (0, 0) if size == 'camera' else None


def _folders(out: Path, models: Sequence[str]) -> list[Path]:
    """Where the files of each model go: one folder each, where there are several."""
    if len(models) == 1:
        return [out]
    names = []
    for model in models:
        path = Path(model.removesuffix('.safetensors'))
        # A training leaves its checkpoint as NAME/model.safetensors.
        names.append(path.parent.name if path.name == 'model' and path.parent.name else path.name)
    return [out / name for name in unique_names(names)]
