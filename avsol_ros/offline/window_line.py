"""What was found in a window, as a line of JSON."""

import json
from collections.abc import Iterable, Mapping

from avsol_ros.config import NANOSECONDS
from avsol_ros.offline.localization_run import Finding


def window_line(finding: Finding, origin_ns: int, source: Mapping[str, str] | None = None) -> str:
    """
    Write one window as JSON, without a line break.

    :param origin_ns: stamp from which ``time``, the start of the window in seconds, counts.
    :param source: what the window is of, to stand before all else.
    """
    result = finding.result

    def rounded(values: Iterable[float]) -> list[float]:
        return [round(float(v), 2) for v in values]

    return json.dumps(
        {
            **(source or {}),
            'time': round((result.start_ns - origin_ns) / NANOSECONDS, 6),
            'start_ns': result.start_ns,
            'end_ns': result.end_ns,
            'stamp_ns': finding.stamp_ns,
            'avc': None if result.avc is None else round(float(result.avc), 6),
            'class_scores': {k: round(float(v), 6) for k, v in result.class_scores.items()},
            'boxes': [
                {
                    'box': rounded((b.x0, b.y0, b.x1, b.y1)),
                    'class': b.class_name or None,
                    'score': round(b.score, 6),
                    'class_score': round(b.class_score, 6),
                }
                for b in result.boxes
            ],
            'peak': rounded(result.peak),
            'image_size': list(result.image_size),
            'frames': finding.frames,
            'audio_missing': None
            if finding.audio_missing_s is None
            else round(finding.audio_missing_s, 6),
        },
        allow_nan=False,
    )
