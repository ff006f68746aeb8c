"""What the localizer says about itself on /diagnostics, once a second."""

import time
from collections.abc import Callable
from dataclasses import asdict

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from avsol_ros.config import NANOSECONDS
from avsol_ros.nodes.worker import Worker
from avsol_ros.streams.intake import Intake

# Seconds for which images and sound may come without a window. Streams that are further apart
# than what is held of each, four seconds, never give one.
GRACE_S = 5.0


class Monitor:
    """
    Compares counters with those of the last look.

    :param name: name of the node, for the status.
    :param model: name of the model, given as hardware_id.
    :param warn: called once, with one line, when images and sound come but give no windows.
    :param clock: seconds that pass.
    """

    def __init__(
        self,
        name: str,
        model: str,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._name = name
        self._model = model
        self._warn = warn
        self._warned = False
        self._clock = clock
        self._last = (clock(), {})
        self._cutting_at = clock()
        self._avc = ''
        self._age_s: float | None = None

    def note(self, localization, now_ns: int) -> None:
        """Remember a result that has just been published."""
        avc = localization.avc
        self._avc = 'none: this model has no AVC' if avc is None else f'{avc:.3f}'
        self._age_s = (now_ns - localization.stamp_ns) / NANOSECONDS

    def look(self, intake: Intake, worker: Worker, stamp) -> DiagnosticArray:
        """One status; a warning when data or windows were lost, or do not come, since last."""
        work = worker.counts
        now = self._clock()
        counts = {
            'images': intake.images,
            'audio messages': intake.audio_messages,
            'messages refused': intake.refused,
            'windows done': work.done,
            'windows dropped': work.dropped,
            'windows failed': work.failed,
            **{name.replace('_', ' '): value for name, value in asdict(intake.stats).items()},
        }
        since, before = self._last
        self._last = (now, counts)
        new = {name: value - before.get(name, 0) for name, value in counts.items()}
        seconds = max(now - since, 1e-3)
        values = {name: str(value) for name, value in counts.items()}
        values['image rate [Hz]'] = f'{new["images"] / seconds:.1f}'
        values['audio rate [messages/s]'] = f'{new["audio messages"] / seconds:.1f}'
        values['window rate [Hz]'] = f'{new["windows done"] / seconds:.1f}'
        computed = max(work.done + work.failed, 1)
        values['mean time per window [ms]'] = f'{work.busy_s / computed * 1e3:.1f}'
        values['delay of the last window [ms]'] = f'{work.delay_s * 1e3:.1f}'
        values['audio messages waiting for their format'] = str(intake.pending)
        if self._age_s is not None:
            values['age of the last result [s]'] = f'{self._age_s:.3f}'
        if self._avc:
            values['AVC probability'] = self._avc
        problems = problems_in(new, intake.pending) + self._stall(new, intake, now)
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if problems else DiagnosticStatus.OK,
            name=f'{self._name}: localization',
            hardware_id=self._model,
            message='; '.join(problems) or 'localizing',
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = stamp
        return message

    def _stall(self, new: dict[str, int], intake: Intake, now: float) -> list[str]:
        """Tell of images and sound that have come for a while and gave no windows."""
        if new['windows cut'] or not (new['images'] and new['audio messages']):
            self._cutting_at = now
        if now - self._cutting_at < GRACE_S or intake.lead_s is None:
            return []
        problem = (
            f'images and audio come, but no windows: the newest image is '
            f'{abs(intake.lead_s):.3f} s {"later" if intake.lead_s > 0 else "earlier"} '
            'than the newest sound; give both stamps of one clock'
        )
        if not self._warned:
            self._warned = True
            self._warn(problem)
        return [problem]


def problems_in(new: dict[str, int], waiting: int) -> list[str]:
    """
    What is wrong, in words.

    :param new: how much each counter has grown.
    :param waiting: audio messages whose format is not known yet.
    """
    problems = []
    if not new['images']:
        problems.append('no images come')
    if waiting:
        problems.append('audio waits for AudioInfo to tell its format')
    elif not new['audio messages']:
        problems.append('no audio comes')
    for name in (
        'messages refused',
        'windows dropped',
        'windows failed',
        'audio gaps',
        'frames late',
        'frames dropped',
        'audio dropped samples',
        'restarts',
    ):
        if new[name]:
            problems.append(f'{new[name]} {name}')
    return problems
