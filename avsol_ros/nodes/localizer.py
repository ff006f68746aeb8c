"""The node `avsol_localizer`: camera and microphone in, sounding objects out."""

import time
import traceback
from collections.abc import Callable

import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.nodes.audio_topics import (
    AudioTopics,
    audio_options,
    chosen_type,
    installed_types,
)
from avsol_ros.nodes.diagnostics import Monitor
from avsol_ros.nodes.parameter_values import box_config, changed, declare
from avsol_ros.nodes.parameters import LOCALIZER
from avsol_ros.nodes.process import ros_process, spin
from avsol_ros.nodes.qos import image_qos, result_qos
from avsol_ros.nodes.result_publishers import Results
from avsol_ros.nodes.worker import Worker
from avsol_ros.streams.intake import Intake, blank_window, window_config

NAME = 'avsol_localizer'


class LocalizerNode(LifecycleNode):
    """
    Lifecycle node: configured it holds the model, active it subscribes and publishes.

    Callbacks convert and store; the model runs in the worker's thread.

    :param load: makes the localizer from the names of a model, a device and an engine.
    """

    def __init__(self, load: Callable[..., Localizer] = Localizer.load, **node_options):
        self._load = load
        self._localizer = self._results = self._diagnostics = self._monitor = None
        self.intake = self.worker = self._audio_topics = None
        self._subscriptions_active: list = []
        self._timers_active: list = []
        super().__init__(NAME, **node_options)
        self.values = declare(self, LOCALIZER)
        box_config(self.values)
        self.add_on_set_parameters_callback(self._change_parameters)

    def _change_parameters(self, changes) -> SetParametersResult:
        try:
            values = changed(
                LOCALIZER,
                self.values,
                {change.name: change.value for change in changes},
                running=self._localizer is not None,
            )
            box_config(values)
        except AvsolError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.values = values
        return SetParametersResult(successful=True)

    # Transitions

    def on_configure(self, state) -> TransitionCallbackReturn:
        model, threads = self.values['model'], self.values['threads']
        try:
            if threads:
                torch.set_num_threads(threads)
            localizer = self._load(model, self.values['device'], self.values['engine'])
            self._config = window_config(self.values['hop'], localizer.frames)
            self._make_intake()  # says now what is wrong with the settings
            chosen_type(self.values['audio_type'], installed_types())
            localizer(blank_window(self._config))
        except AvsolError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f'model {model!r} does not run:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f'{model} runs on {localizer}')
        self._localizer = localizer
        self._results = Results(self, lambda: self.values)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', result_qos())
        return super().on_configure(state)

    def on_activate(self, state) -> TransitionCallbackReturn:
        self.intake = self._make_intake()
        self._monitor = Monitor(
            self.get_fully_qualified_name().strip('/'),
            self.values['model'],
            self.get_logger().warning,
        )
        self._localizer.reset()  # of the trial, or of what came before a pause
        self.worker = Worker(
            self._localizer, self._deliver, self._tell_failure, self.values['queue_size']
        )
        result = super().on_activate(state)
        self._subscribe()
        # On a clock that goes on when a player stops the ROS time.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_active = [
            self.create_timer(1.0, self._publish_diagnostics, clock=steady),
            self.create_timer(0.1, self._finish_ended_stream, clock=steady),
        ]
        return result

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        result = super().on_cleanup(state)
        self._free()
        return result

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        self._stop()
        result = super().on_shutdown(state)
        self._free()
        return result

    def destroy_node(self, wait: bool = True) -> None:
        """
        Destroy the node.

        :param wait: for the window that is being localized.
        """
        try:
            self._stop(wait)
        except KeyboardInterrupt:  # it takes too long
            self._stop(wait=False)
            raise
        finally:
            super().destroy_node()

    def _make_intake(self) -> Intake:
        values = self.values
        return Intake(
            self._config,
            self.get_logger().error,
            stream_timeout_ns=round(values['stream_timeout'] * NANOSECONDS),
            **audio_options(values),
            clock=self._seconds,
            real_clock=time.monotonic,
        )

    def _seconds(self) -> float:
        """Time that passes for the messages: that of a player, if one gives it."""
        clock = self.get_clock()
        if clock.ros_time_is_active:
            return clock.now().nanoseconds / NANOSECONDS
        return time.monotonic()

    def _stop(self, wait: bool = True) -> None:
        for subscription in self._subscriptions_active:
            self.destroy_subscription(subscription)
        if self._audio_topics is not None:
            self._audio_topics.destroy()
        for timer in self._timers_active:
            self.destroy_timer(timer)
        self._subscriptions_active, self._timers_active = [], []
        if self.worker is not None:
            self.worker.stop(wait)
        self.worker = self.intake = self._monitor = self._audio_topics = None

    def _free(self) -> None:
        if self._localizer is None:
            return
        self._results.destroy()
        self.destroy_publisher(self._diagnostics)
        self._localizer = self._results = self._diagnostics = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # Data

    def _subscribe(self) -> None:
        compressed = self.values['image_transport'] == 'compressed'
        image = (CompressedImage, 'image/compressed') if compressed else (Image, 'image')
        self._audio_topics = AudioTopics(
            self,
            self.values['audio_type'],
            self.values['reliability'],
            self._take_audio,
            self._take_audio_info,
        )
        self._subscriptions_active = [
            self.create_subscription(
                *image, self._take_image, image_qos(self.values['reliability'])
            )
        ]

    def _take_audio_info(self, msg) -> None:
        self.intake.add_audio_info(msg)
        self._submit(self.intake.windows())

    def _take_audio(self, msg) -> None:
        self.intake.add_audio(msg, self.get_clock().now().nanoseconds)
        self._submit(self.intake.windows())

    def _take_image(self, msg: Image | CompressedImage) -> None:
        self.intake.add_image(msg)
        self._submit(self.intake.windows())

    def _finish_ended_stream(self) -> None:
        if self.intake.is_idle(self.values['stream_timeout']) and self.worker.idle:
            self._submit(self.intake.flush_idle())

    def _submit(self, windows) -> None:
        windows = list(windows)
        idle = bool(windows) and self.worker.idle
        dropped = sum(map(self.worker.submit, windows))
        if dropped and idle:  # not the model's fault
            self.get_logger().info(
                f'{len(windows)} windows came at once, for their sound or images had to wait; '
                f'the oldest {dropped} are dropped'
            )
        elif dropped:
            counts = self.worker.counts
            self.get_logger().warning(
                f'the model is slower than the windows come: {counts.dropped} of '
                f'{counts.submitted} windows dropped so far, the oldest first; raise hop, or '
                'take a faster model or device',
                throttle_duration_sec=10.0,
            )

    def _deliver(self, window, localization) -> None:
        self._results.publish(window, localization, self.intake.frame_id)
        self._monitor.note(localization, self.get_clock().now().nanoseconds)

    def _tell_failure(self, error: Exception) -> None:
        self.get_logger().error(
            f'a window was not localized: {type(error).__name__}: {error}',
            throttle_duration_sec=10.0,
        )

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(
            self._monitor.look(self.intake, self.worker, self.get_clock().now().to_msg())
        )


def run(argv: list[str], **node_options) -> bool:
    """
    Run the node until it is told to stop.

    :param argv: words of the command line, of which rclpy takes what follows --ros-args.
    :returns: False where it cannot start, of which it has told why.
    """
    with ros_process(NAME, argv) as stopping:
        node = LocalizerNode(**node_options)
        try:
            if node.values['autostart']:
                with stopping.at_once():  # to load a model may take long
                    if not _start(node):
                        return False
                node.get_logger().info('ready')
            spin(node, stopping)
        finally:
            node.destroy_node(wait=not stopping.forced)
    return True


def _start(node: LocalizerNode) -> bool:
    """Configure and activate a node; False where it says that it cannot."""
    return all(
        transition() == TransitionCallbackReturn.SUCCESS
        for transition in (node.trigger_configure, node.trigger_activate)
    )
