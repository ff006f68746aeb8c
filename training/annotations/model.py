"""
The annotation of a video: which objects are in view, and what sounds (section 3.2).

Boxes are x0, y0, x1, y1 in pixels of the video's own size, half-open, as floats. A frame stands
for one moment, its ``time`` in seconds of the video; it belongs to the window ``[start, end)``
that holds this moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

NANOSECONDS = 1_000_000_000

# Kinds of frames, as Table 1 counts them. AVE: what sounds is in view.
AVE_KINDS = ('single', 'multiple')
NON_AVE_KINDS = ('visible', 'audible', 'noise')


@dataclass(frozen=True, slots=True)
class ObjectTruth:
    """
    One potential sounding object at one moment.

    :param track: the same number all through a video, used by one object only.
    :param category: one of the video's; None for a sound out of view that nobody can name.
    :param box: None out of view, and only there.
    :param sounding: whether it makes a sound at this moment.
    :param out_of_view: a sound is heard whose object cannot be seen; implies ``sounding``.
    """

    track: int
    category: str | None
    box: tuple[float, float, float, float] | None
    sounding: bool
    out_of_view: bool = False


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """
    All objects at one moment.

    :param time: seconds from the start of the video.
    """

    time: float
    objects: tuple[ObjectTruth, ...] = ()

    @property
    def time_ns(self) -> int:
        return round(self.time * NANOSECONDS)

    @property
    def sounding(self) -> tuple[ObjectTruth, ...]:
        """Objects in view that sound: the sounding objects of the metrics (section 3.3)."""
        return tuple(o for o in self.objects if o.sounding and not o.out_of_view)

    @property
    def silent(self) -> tuple[ObjectTruth, ...]:
        """Objects in view that do not sound."""
        return tuple(o for o in self.objects if not o.sounding and not o.out_of_view)

    @property
    def out_of_view(self) -> tuple[ObjectTruth, ...]:
        """Sounds whose objects are not in view."""
        return tuple(o for o in self.objects if o.out_of_view)

    @property
    def kind(self) -> str:
        """
        Row of Table 1 in which the frame is counted.

        AVE: ``single`` or ``multiple`` sounding objects in view. Non-AVE: ``audible`` where
        something out of view sounds, ``visible`` where something in view is silent, ``noise``
        where there is neither. The paper does not say what a frame is that has both an unseen
        sound and a silent object in view: here it is ``audible``, because something is heard.
        """
        sounding = len(self.sounding)
        if sounding:
            return 'single' if sounding == 1 else 'multiple'
        if self.out_of_view:
            return 'audible'
        return 'visible' if self.objects else 'noise'

    @property
    def is_ave(self) -> bool:
        return self.kind in AVE_KINDS


@dataclass(frozen=True, slots=True)
class Annotation:
    """
    The annotation of one video.

    :param video: name of its file.
    :param rate: frames per second of the annotation, 10 in AVSOL-E; not that of the video.
    :param width: of the boxes' picture in pixels, as is ``height``.
    :param duration: seconds.
    :param categories: all that could occur, in the order of class indices.
    :param frames: in the order of time, 1 / rate apart.
    """

    video: str
    rate: float
    width: int
    height: int
    duration: float
    categories: tuple[str, ...]
    frames: tuple[FrameTruth, ...]

    def between(self, start_ns: int, end_ns: int) -> tuple[FrameTruth, ...]:
        """Frames of the window ``[start_ns, end_ns)``, in nanoseconds of the video."""
        return tuple(f for f in self.frames if start_ns <= f.time_ns < end_ns)

    def about(self) -> dict:
        """What it says besides its frames, as plain values for JSON."""
        return {
            'video': self.video,
            'rate': self.rate,
            'width': self.width,
            'height': self.height,
            'duration': self.duration,
            'categories': list(self.categories),
        }


def share_categories(annotations: Iterable[Annotation]) -> list[Annotation]:
    """Give all annotations one list of categories: those of the first, then what others add."""
    annotations = list(annotations)
    shared = tuple(dict.fromkeys(c for a in annotations for c in a.categories))
    return [replace(a, categories=shared) for a in annotations]
