"""
Hard scenes: what makes AVE hard, in pixels and sounds whose truth is known.

Known and unknown things sound out of view; there are wind, hum, crowd, rain and echo. Silent
things in view move as well. Several things sound at once. Two of one category stand side by side,
and only strokes that are both seen and heard show which of them sounds. Sounds start and end at
any time, while labels name one category for a clip and whole seconds, as AVE's do (section 3.2 of
the paper).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.ambience import draw_room, render_ambience, reverberate
from avsol_ros.training.synthetic.objects import CATEGORIES, STRANGERS
from avsol_ros.training.synthetic.rhythm import (
    UNKNOWN_VOICES,
    draw_onsets,
    render_beat,
    stroke_drive,
)
from avsol_ros.training.synthetic.sounds import DRIVE_RATE, noise
from avsol_ros.training.synthetic.stage import (
    Camera,
    Event,
    Scene,
    SceneObject,
    draw_backdrop,
    make_object,
    place,
)


@dataclass(frozen=True)
class HardConfig:
    """
    What hard scenes are made of.

    :param seconds: length of a clip.
    :param objects: fewest and most things of a category in view.
    :param strangers: fewest and most things of no category.
    :param area: smallest and largest box, as a share of the picture.
    :param p_empty: chance that nothing of a category is in view.
    :param p_twin: chance that two of the things in view are of one category.
    :param p_sounding: chance that something in view sounds in a stretch of time.
    :param p_unseen: chance that only something unseen does; ambient sound alone has the rest.
    :param p_second: chance that a second thing in view sounds too.
    :param p_unseen_too: chance that something unseen sounds beside what is in view.
    :param p_unknown: chance that what sounds unseen is of no category.
    :param p_impostor: otherwise, chance that it is of a category that is in view.
    :param p_restless: chance that a thing moves while it is silent.
    :param stretch: shortest and longest stretch of time, seconds.
    :param period: shortest and longest mean time between two strokes, seconds.
    :param ambient_db: least and most ambient sound, dB relative to full scale.
    :param p_room: chance of echo.
    :param shake: see ``Camera``, as is ``light``.
    :param aspects: smallest and largest width / height of the camera.
    :param backdrop: width of the background picture in pixels.
    :param sprite: width of an object's own picture in pixels.
    """

    key: ClassVar[tuple[int, ...]] = (1,)
    single_label: ClassVar[bool] = True
    degraded: ClassVar[bool] = False
    categories: ClassVar[tuple[str, ...]] = CATEGORIES

    seconds: int = 4
    objects: tuple[int, int] = (2, 4)
    strangers: tuple[int, int] = (0, 2)
    area: tuple[float, float] = (0.035, 0.12)
    p_empty: float = 0.06
    p_twin: float = 0.6
    p_sounding: float = 0.8
    p_unseen: float = 0.1
    p_second: float = 0.3
    p_unseen_too: float = 0.2
    p_unknown: float = 0.4
    p_impostor: float = 0.6
    p_restless: float = 0.7
    stretch: tuple[float, float] = (0.9, 3.0)
    period: tuple[float, float] = (0.4, 0.9)
    ambient_db: tuple[float, float] = (-48, -26)
    p_room: float = 0.5
    shake: float = 0.006
    light: float = 0.08
    aspects: tuple[float, float] = (0.75, 1.78)
    backdrop: int = 240
    sprite: int = 96

    def __post_init__(self):
        if not 1 <= self.objects[0] <= self.objects[1] <= len(CATEGORIES):
            raise AvsolError(
                f'objects is {self.objects}; expected 1 <= fewest <= most <= {len(CATEGORIES)}'
            )
        if not 0.01 <= self.area[0] <= self.area[1] <= 0.3:
            raise AvsolError(f'area is {self.area}; expected shares from 0.01 to 0.3')
        if not 0.2 <= self.period[0] <= self.period[1]:
            raise AvsolError(f'period is {self.period}; expected 0.2 <= shortest <= longest')
        if self.p_sounding + self.p_unseen > 1:
            total = self.p_sounding + self.p_unseen
            raise AvsolError(f'p_sounding + p_unseen is {total:g}; expected at most 1')

    def plan(self, rng: np.random.Generator) -> Scene:
        """Draw up a scene."""
        return _Planner(rng, self).scene()


# How a stroke moves things; terms as in stage._MOTIONS. Everything moves, and so much that 8
# frames a second at 112 pixels show it.
_STROKES = {
    'bell': {'turn': 0.5, 'shift_x': 0.1},
    'guitar': {'shift_x': 0.25, 'turn': 0.25},
    'engine': {'shift_y': -0.2, 'stretch_x': 0.16},
    'bird': {'shift_y': -0.3},
    'drum': {'stretch_x': 0.2, 'stretch_y': -0.35},
    'siren': {'stretch_x': 0.28, 'stretch_y': 0.28},
    'flute': {'turn': 0.5, 'shift_x': 0.1},
    'transformer': {'stretch_x': -0.25, 'stretch_y': 0.2},
    'rattle': {'turn': 0.62, 'stretch_x': 0.15, 'stretch_y': 0.15},
    'alarm': {'gain': 0.5, 'stretch_x': 0.14, 'stretch_y': 0.14},
    'clock': {'turn': np.pi / 6},
    'spray': {'stretch_y': 0.3, 'gain': -0.3},
}
_STRANGE_STROKES = ({'turn': 0.5}, {'shift_y': -0.25}, {'stretch_x': 0.25, 'stretch_y': 0.25})


_SHORTEST = 0.25  # seconds of a sound or a silent movement
_PEAK = 0.9  # amplitude of all sounds together, at most


class _Planner:
    """Draws the parts of one scene, always in the same order: a seed gives the same scene."""

    def __init__(self, rng: np.random.Generator, config: HardConfig):
        self.rng = rng
        self.config = config

    def scene(self) -> Scene:
        rng, config = self.rng, self.config
        aspect = float(np.exp(rng.uniform(*np.log(config.aspects))))
        cast = self._cast()
        objects = self._objects(cast, aspect)
        room = draw_room(rng) if rng.random() < config.p_room else None
        events = self._events(cast, len(objects), self._schedule(cast), room)
        n = config.seconds * SAMPLE_RATE
        # The noise of the microphone, and ambient sound.
        background = noise(rng, n) * np.float32(10 ** (rng.uniform(-65, -45) / 20))
        background += render_ambience(rng, n) * np.float32(
            10 ** (rng.uniform(*config.ambient_db) / 20)
        )
        speeds = [*rng.uniform(1, 10, 4), rng.uniform(0.3, 2.5)]
        waves = np.stack([speeds, rng.uniform(0, 2 * np.pi, 5)], 1)
        drift = np.concatenate([rng.uniform(0.2, 1.2, 2), rng.uniform(0, 2 * np.pi, 2)])
        return Scene(
            objects,
            events,
            config.seconds,
            aspect,
            draw_backdrop(rng, aspect, config.backdrop),
            drift,
            background,
            Camera(config.shake, config.light, waves),
        )

    def _cast(self) -> list[str]:
        """Categories of what is in view; where there are twins, they come first."""
        rng, config = self.rng, self.config
        names = [CATEGORIES[i] for i in rng.permutation(len(CATEGORIES))]
        count = int(rng.integers(config.objects[0], config.objects[1] + 1))
        if rng.random() < config.p_empty:
            return []
        if count > 1 and rng.random() < config.p_twin:
            return [names[0], *names[: count - 1]]
        return names[:count]

    def _objects(self, cast, aspect) -> list[SceneObject]:
        rng, config = self.rng, self.config
        kinds = list(STRANGERS)
        strange = [
            kinds[i]
            for i in rng.integers(
                len(kinds), size=rng.integers(config.strangers[0], config.strangers[1] + 1)
            )
        ]
        names, shrink = [*cast, *strange], 1.0
        while True:
            areas = shrink * np.exp(rng.uniform(*np.log(config.area), len(names)))
            made = [
                make_object(rng, name, area, aspect, config.sprite)
                for name, area in zip(names, areas)
            ]
            centres = place(rng, [size for _, size in made], 40)
            if centres is not None:
                break
            shrink *= 0.95
        objects = []
        for index, (name, (sprite, size), centre) in enumerate(zip(names, made, centres)):
            known = index < len(cast)
            motion = (
                _STROKES[name] if known else _STRANGE_STROKES[rng.integers(len(_STRANGE_STROKES))]
            )
            vigour, side = rng.uniform(0.8, 1.2), rng.choice([-1, 1])
            # Things turn and sway to either side.
            motion = {
                term: value * vigour * (side if term in ('turn', 'shift_x') else 1)
                for term, value in motion.items()
            }
            objects.append(
                SceneObject(
                    name,
                    sprite,
                    tuple(size),
                    tuple(centre),
                    tuple(rng.normal(0, 0.02, 2)),
                    float(rng.normal(0, 0.12)),
                    motion,
                    known,
                )
            )
        return objects

    def _schedule(self, cast) -> list[tuple[float, float, set]]:
        """Stretches of time and what sounds in each: indices of the cast, None for unseen."""
        rng, config = self.rng, self.config
        # The first stretch has begun before the clip.
        time, stretches = -rng.uniform(0, config.stretch[0]), []
        while time < config.seconds:
            end = time + rng.uniform(*config.stretch)
            draw, now = rng.uniform(0 if cast else config.p_sounding, 1), set()
            if cast and draw < config.p_sounding:
                twins = len(cast) > 1 and cast[0] == cast[1]
                # One of the twins sounds more often than another thing, or few windows had one.
                first = int(rng.integers(2 if twins and rng.random() < 0.6 else len(cast)))
                now = {first}
                if len(cast) > 1 and rng.random() < config.p_second:
                    now.add(int((first + rng.integers(1, len(cast))) % len(cast)))
                if rng.random() < config.p_unseen_too:
                    now.add(None)
            elif draw < config.p_sounding + config.p_unseen:
                now = {None}
            stretches.append((max(0.0, time), min(end, config.seconds), now))
            time = end
        return stretches

    def _events(self, cast, count, stretches, room) -> list[Event]:
        """
        What sounds or moves when, the sounds first: silent things keep out of time with them.

        :param count: how many things are in view, those of no category included.
        """
        events = self._sounds(cast, stretches, room)
        for source in range(count):
            category = cast[source] if source < len(cast) else None
            rivals = [
                e for e in events if e.audible and e.category == category and e.source != source
            ]
            busy = sorted((e.start, e.end) for e in events if e.source == source)
            events += self._silent_moves(source, busy, rivals)
        _limit_peak(events, self.config.seconds)
        return events

    def _sounds(self, cast, stretches, room) -> list[Event]:
        """Of each thing of a category in view, then of what sounds unseen."""
        unseen, pitches = self._unseen_category(cast), self.rng.random(len(cast) + 1)
        return [
            self._sound(source, category, pitch, start, end, room)
            for source, category, pitch in zip([*range(len(cast)), None], [*cast, unseen], pitches)
            for start, end in _runs(stretches, source)
            if end - start >= _SHORTEST
        ]

    def _silent_moves(self, source, busy, rivals) -> list[Event]:
        """:param busy: when it sounds; in between it may move."""
        return [
            self._silent(source, start, end, rivals)
            for start, end in _gaps(busy, self.config.seconds)
            if end - start >= _SHORTEST and self.rng.random() < self.config.p_restless
        ]

    def _unseen_category(self, cast) -> str:
        rng, config = self.rng, self.config
        draw = rng.random(2)
        if draw[0] < config.p_unknown:
            choice = list(UNKNOWN_VOICES)
        elif cast and draw[1] < config.p_impostor:
            choice = cast
        else:
            choice = [c for c in CATEGORIES if c not in cast]
        return choice[rng.integers(len(choice))]

    def _period(self) -> float:
        return float(np.exp(self.rng.uniform(*np.log(self.config.period))))

    def _sound(self, source, category, pitch, start, end, room) -> Event:
        rng = self.rng
        onsets = draw_onsets(rng, end - start, self._period(), 0.08)
        voiced = render_beat(category, pitch, onsets, end - start, rng)
        samples = voiced.samples * np.float32(10 ** (rng.uniform(-14, -5) / 20))
        if room is not None:
            samples = reverberate(samples, room)
        return Event(start, end, source, category, True, samples, voiced.drive)

    def _silent(self, source, start, end, rivals) -> Event:
        """Movement without sound, of several draws the least in time with that of its rivals."""
        rng, best, drive = self.rng, np.inf, None
        length = end - start
        for _ in range(12 if rivals else 1):
            period = self._period()
            candidate = stroke_drive(draw_onsets(rng, length, period, period), length)
            agreement = max((_agreement(candidate, start, rival) for rival in rivals), default=0)
            if agreement < best:
                best, drive = agreement, candidate
        return Event(start, end, source, '', False, np.zeros(0, np.float32), drive)


def _agreement(drive: np.ndarray, start: float, rival: Event) -> float:
    """
    Largest correlation, over windows of one second, of a movement with that of a sound.

    Seconds in which they meet for less than half are left out, and a window in which either
    stands still agrees with nothing.
    """
    low = max(start, rival.start)
    high = min(start + len(drive) / DRIVE_RATE, rival.end)
    worst = -1.0
    for second in range(int(low), int(np.ceil(high))):
        a, b = max(low, second), min(high, second + 1)
        n = int((b - a) * DRIVE_RATE) - 2
        if n < DRIVE_RATE // 2:
            continue
        mine, other = (
            part[i : i + n] - part[i : i + n].mean()
            for part, i in (
                (drive, int((a - start) * DRIVE_RATE)),
                (rival.drive, int((a - rival.start) * DRIVE_RATE)),
            )
        )
        length = min(len(mine), len(other))
        norm = float(np.linalg.norm(mine) * np.linalg.norm(other))
        if norm > 1e-6:
            worst = max(worst, float(mine[:length] @ other[:length]) / norm)
    return worst


def _limit_peak(events: list[Event], seconds: int) -> None:
    """Make all sounds quieter where their sum would clip."""
    peak = np.abs(sum(_laid(e, seconds) for e in events if e.audible)).max(initial=0)
    if peak > _PEAK:
        for event in events:
            event.samples[:] *= np.float32(_PEAK / peak)


def _laid(event: Event, seconds: int) -> np.ndarray:
    """The sound of an event in the whole clip."""
    out = np.zeros(seconds * SAMPLE_RATE, np.float32)
    part = out[round(event.start * SAMPLE_RATE) :][: len(event.samples)]
    part += event.samples[: len(part)]
    return out


def _runs(stretches, source) -> list[tuple[float, float]]:
    """Times over which a source sounds, stretches that follow each other joined."""
    runs = []
    for start, end, now in stretches:
        if source not in now:
            continue
        if runs and runs[-1][1] == start:
            start = runs.pop()[0]
        runs.append((start, end))
    return runs


def _gaps(busy, seconds) -> list[tuple[float, float]]:
    edges = [0.0, *(edge for span in busy for edge in span), float(seconds)]
    return list(zip(edges[::2], edges[1::2]))
