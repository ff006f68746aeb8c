"""
The nodes' parameters, each declared once: name, default, range, when it may change, meaning.

From these tables come the ROS declarations (``parameter_values``), the command lines' options
(``avsol_ros.cli.node_options``) and the tables in docs/parameters.md.
"""

from dataclasses import dataclass

from avsol_ros.config import DEFAULT_MODEL, HOP_RANGE_S, NANOSECONDS, BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.streams.time_jumps import SILENCE_NS


@dataclass(frozen=True)
class Parameter:
    """
    One parameter of a node. Its type is its default's.

    :param meaning: one sentence for `ros2 param describe`, `--help` and docs/parameters.md.
    :param low: smallest value, for numbers.
    :param high: greatest value, for numbers.
    :param choices: the only values, for strings.
    :param live: may be changed while the node runs; others are read when it is configured.
    """

    name: str
    default: bool | int | float | str
    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    @property
    def kind(self) -> type:
        return type(self.default)

    @property
    def values(self) -> str:
        """The range in words."""
        if self.choices:
            return ', '.join(self.choices)
        if self.low is not None:
            return f'{self.low:.10g} to {self.high:.10g}'
        return {bool: 'true, false', str: 'text'}[self.kind]

    def check(self, value):
        """Return the value in the parameter's own type, or say what is wrong with it."""
        if self.kind is float and type(value) is int:
            value = float(value)
        elif self.kind is str and type(value) in (int, float):
            value = str(value)
        if type(value) is not self.kind:
            raise AvsolError(
                f'parameter {self.name} is {value!r}; '
                f'expected a value of type {self.kind.__name__}'
            )
        outside = self.low is not None and not self.low <= value <= self.high
        if outside or (self.choices and value not in self.choices):
            raise AvsolError(f'parameter {self.name} is {value!r}; expected {self.values}')
        return value


# Of every node that takes the audio.
AUDIO = (
    Parameter(
        'audio_sample_rate',
        0,
        'Sample rate of the audio topic in Hz, if the driver does not tell it; 0 waits for '
        'AudioInfo.',
        low=0,
        high=768_000,
    ),
    Parameter(
        'audio_channels',
        0,
        'Channels of the audio topic, if the driver does not tell them; 0 waits for AudioInfo.',
        low=0,
        high=64,
    ),
    Parameter(
        'audio_format',
        '',
        'Sample format of the audio topic, such as S16LE or F32LE, or its coding, such as mp3, '
        'if the driver does not tell it; empty waits for AudioInfo.',
    ),
    Parameter(
        'audio_type',
        'auto',
        'Message type of the audio topic; auto takes the type that is published, of the '
        'installed audio_common_msgs.',
        choices=('auto', 'AudioDataStamped', 'AudioData', 'AudioStamped'),
    ),
    Parameter(
        'audio_stamps',
        'auto',
        'Whether the stamp of an audio message is the time of the start or of the end of its '
        'sound. auto takes the start, as audio_capture and mgonzs13 from 4.0 give it; mgonzs13 '
        'before 4.0 gives the end. Sound without a stamp ends when its message arrives.',
        choices=('auto', 'start', 'end'),
    ),
    Parameter(
        'audio_latency',
        0.0,
        'Seconds by which the stamps of the audio are later than the sound was. The delay of an '
        'encoder is known and is not part of this.',
        low=-10.0,
        high=10.0,
    ),
)

LOCALIZER = (
    Parameter('model', DEFAULT_MODEL, 'Name of a shipped model, or path of a checkpoint.'),
    Parameter(
        'device',
        'auto',
        'Where the model runs; auto takes a GPU where there is one.',
        choices=('auto', 'cpu', 'cuda'),
    ),
    Parameter(
        'engine',
        'auto',
        'What computes large models: torch (float32), torch-half or openvino, both in half '
        'precision; auto takes the fastest that is there.',
        choices=('auto', 'torch', 'torch-half', 'openvino'),
    ),
    Parameter(
        'threads', 0, 'CPU threads of the model; 0 leaves the choice to PyTorch.', low=0, high=256
    ),
    Parameter(
        'hop',
        0.25,
        'Seconds between the starts of two windows of one second.',
        low=HOP_RANGE_S[0],
        high=HOP_RANGE_S[1],
    ),
    Parameter(
        'image_transport',
        'raw',
        'Subscribe to image (raw) or to image/compressed.',
        choices=('raw', 'compressed'),
    ),
    Parameter(
        'reliability',
        'best_effort',
        'QoS of the camera and audio subscriptions.',
        choices=('best_effort', 'reliable'),
    ),
    *AUDIO,
    Parameter(
        'stream_timeout',
        SILENCE_NS / NANOSECONDS,
        'Seconds without any data after which a stream has ended and its last windows are cut. '
        'Data whose stamps are later by more than this begins a new stream.',
        low=0.2,
        high=3600.0,
    ),
    Parameter(
        'queue_size',
        4,
        'Windows that may wait for the model. When one more comes, the oldest is dropped.',
        low=1,
        high=1000,
    ),
    Parameter(
        'avc_threshold',
        BoxConfig.avc_threshold,
        'AVC probability below which nothing in view sounds. Models without AVC do not use it.',
        low=0.0,
        high=1.0,
        live=True,
    ),
    Parameter(
        'box_threshold',
        BoxConfig.box_threshold,
        "A box surrounds the heat that is at least this share of the heatmap's peak; more than 0, "
        'less than 1.',
        low=0.0,
        high=1.0,
        live=True,
    ),
    Parameter(
        'min_area',
        BoxConfig.min_area,
        'Smallest box, as a share of the image.',
        low=0.0,
        high=1.0,
        live=True,
    ),
    Parameter(
        'max_boxes',
        BoxConfig.max_boxes,
        'Maximum number of boxes in one image, the strongest first.',
        low=1,
        high=100,
        live=True,
    ),
    Parameter('publish_overlay', True, 'Draw and publish ~/overlay.', live=True),
    Parameter('publish_heatmap', True, 'Publish ~/heatmap (mono8).', live=True),
    Parameter('publish_heatmap_float', False, 'Publish ~/heatmap_float (32FC1).', live=True),
    Parameter(
        'heatmap_width',
        0,
        "Width of the heatmaps in pixels; 0 is the camera image's.",
        low=0,
        high=16_384,
        live=True,
    ),
    Parameter(
        'heatmap_height',
        0,
        "Height of the heatmaps in pixels; 0 is the camera image's.",
        low=0,
        high=16_384,
        live=True,
    ),
    Parameter(
        'autostart',
        True,
        'Configure and activate at start; false leaves this to a lifecycle manager.',
    ),
)

PLAY = (
    Parameter('file', '', 'The media file or the bag.'),
    Parameter(
        'rate',
        1.0,
        'Speed, where 1 is real time. 0 plays as fast as the localizer takes it, and follows '
        'the results on avsol_localizer/sounding_objects.',
        low=0.0,
        high=100.0,
    ),
    Parameter(
        'clock',
        False,
        'Publish the time that is played on /clock, for nodes with '
        'use_sim_time: of a bag its log times, of a film its stamps.',
    ),
    Parameter('image_topic', '', "The bag's camera topic; empty finds it."),
    Parameter('audio_topic', '', "The bag's audio topic; empty finds it."),
    Parameter('audio_info_topic', '', "The bag's topic of the audio's format; empty finds it."),
    Parameter(
        'stamp_audio',
        True,
        "Give a bag's audio without stamps the stamps of its log times; false publishes it as "
        'it is.',
    ),
    Parameter(
        'audio_sample_rate',
        0,
        "Sample rate in Hz of a bag's audio without stamps, if the bag does not tell it.",
        low=0,
        high=768_000,
    ),
    Parameter(
        'audio_channels',
        0,
        "Channels of a bag's audio without stamps, if the bag does not tell them.",
        low=0,
        high=64,
    ),
    Parameter(
        'audio_format',
        '',
        "Format of a bag's audio without stamps, such as S16LE or mp3, if the bag does not tell "
        'it.',
    ),
    Parameter('loop', False, 'Play a film again from the beginning, with rising stamps.'),
    Parameter(
        'start_time',
        'now',
        "Stamp of a film's time 0 in seconds; now takes the current time in whole seconds.",
    ),
    Parameter(
        'ahead',
        1.25,
        'With rate 0: seconds of media that are sent ahead of the last window whose result has '
        'come.',
        low=0.1,
        high=3600.0,
    ),
    Parameter(
        'result_timeout',
        10.0,
        'With rate 0: seconds without a result after which a little more is played.',
        low=0.1,
        high=3600.0,
    ),
    Parameter('frame_id', 'camera', "frame_id of a film's images and audio."),
    Parameter(
        'image_size',
        '',
        "WIDTHxHEIGHT to which a film's frames are resized; empty keeps their size.",
    ),
    Parameter('compressed', False, 'Publish a film as image/compressed (JPEG) in place of image.'),
    Parameter('jpeg_quality', 90, 'Quality of the JPEG images.', low=1, high=100),
    Parameter(
        'wait_for_subscribers',
        1,
        'Subscribers of the image and of the audio topic to wait for before playing; with '
        'rate 0 also for a publisher of results.',
        low=0,
        high=100,
    ),
    Parameter(
        'wait_timeout',
        30.0,
        'Seconds to wait for subscribers. Then it plays anyway; but with rate 0 and no publisher '
        'of results it ends.',
        low=0.0,
        high=3600.0,
    ),
)

RECORD = (
    Parameter('output', '', 'Folder of the bag to write.'),
    Parameter(
        'topics',
        '',
        'Topics to record, with spaces between them; empty takes image, '
        'audio, audio_info, ground_truth and the results of the localizer.',
    ),
    Parameter('localizer', 'avsol_localizer', 'Name of the localizer whose results are taken.'),
    Parameter(
        'image_transport',
        'raw',
        'Record image (raw) or image/compressed.',
        choices=('raw', 'compressed'),
    ),
    Parameter('storage', 'mcap', 'Form of the bag.', choices=('mcap', 'sqlite3')),
    Parameter(
        'compression',
        'none',
        'Compress each message with zstd, or the file at the end.',
        choices=('none', 'message', 'file'),
    ),
    Parameter(
        'until',
        0.0,
        'ROS time in seconds at which the recording ends; 0 records until told to stop.',
        low=0.0,
        high=2147483647.0,
    ),
    Parameter(
        'pause',
        0.0,
        'Seconds without any message after which the recording ends; 0 waits forever.',
        low=0.0,
        high=3600.0,
    ),
    Parameter(
        'max_memory',
        512,
        'MiB of messages that may wait to be written; when more come, they are dropped.',
        low=16,
        high=65_536,
    ),
)

RECORDER = (
    Parameter(
        'output',
        'overlay.mp4',
        'Film to write. The results of all windows go to a file of the same name with .json.',
    ),
    Parameter('localizer', 'avsol_localizer', 'Name of the localizer whose results are taken.'),
    Parameter(
        'image_transport',
        'raw',
        'Subscribe to image (raw) or to image/compressed.',
        choices=('raw', 'compressed'),
    ),
    Parameter(
        'reliability',
        'reliable',
        'QoS of the camera and audio subscriptions; reliable '
        'becomes best_effort where the driver offers no more.',
        choices=('best_effort', 'reliable'),
    ),
    *AUDIO,
    Parameter(
        'until',
        0.0,
        'Stamp in seconds at which the stream ends, and with it the '
        'recording; 0 records until told to stop.',
        low=0.0,
        high=2147483647.0,
    ),
    Parameter(
        'patience',
        5.0,
        'Seconds without any message after which a stream that is close to until has ended.',
        low=0.1,
        high=3600.0,
    ),
    Parameter(
        'max_wait',
        6.0,
        'Seconds of the stream that a frame waits for its result.',
        low=0.1,
        high=60.0,
    ),
    Parameter('max_memory', 512, 'MiB of frames that may wait.', low=16, high=65_536),
    Parameter(
        'progress',
        False,
        'Print one JSON object a line on stdout when the localizer is there, and for each window.',
    ),
)


def describe_parameters(table: tuple[Parameter, ...] = LOCALIZER) -> str:
    """Markdown table for docs/parameters.md."""
    lines = ['| parameter | default | values | while running | meaning |', '|---|---|---|---|---|']
    for parameter in table:
        default = str(parameter.default).lower() if parameter.kind is bool else parameter.default
        lines.append(
            f'| `{parameter.name}` | {f"`{default}`" if default != "" else "empty"} '
            f'| {parameter.values} | {"yes" if parameter.live else "no"} '
            f'| {parameter.meaning} |'
        )
    return '\n'.join(lines)
