"""
What was found in a recording, as files: a line for each window, a film, a sheet, a bag of results.

All of them are written window by window into a folder beside, and moved to their places at the
end, so that files of an earlier run stay whole until then.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from avsol_ros.errors import AvsolError
from avsol_ros.files import StagedFolder
from avsol_ros.offline.file_names import LINES, OVERLAY, RESULTS, SHEET
from avsol_ros.offline.localization_run import Finding, LocalizedWindow
from avsol_ros.offline.result_pictures import Film, Sheet
from avsol_ros.offline.timeline import Timeline
from avsol_ros.offline.window_line import window_line

if TYPE_CHECKING:
    from avsol_ros.offline.results_bag import ResultsBag


class RunFiles:
    """
    All files of one run over a recording, window by window.

    :param folder: where :meth:`finish` puts them. Without that nothing is left.
    :param origin_ns: stamp from which times are told.
    :param name: of the recording, for the sheet.
    :param timeline: of what was found when.
    :param film: writes the film, given the path; None for no film.
    :param source: what stands before all else in the line of each window.
    :ivar film: told of the recording's messages by the caller; None without.
    """

    def __init__(
        self,
        folder: Path,
        origin_ns: int,
        name: str,
        timeline: Timeline,
        film: Callable[[Path], Film] | None = None,
        source: Mapping[str, str] | None = None,
    ):
        self._output = StagedFolder(folder)
        self._origin_ns = origin_ns
        self._name = name
        self._source = source
        self._stack = ExitStack()
        self._lines: TextIO  # from the beginning of the block on
        self._bag: ResultsBag | None = None
        self._bag_open = ExitStack()  # closes the bag before its folder is moved
        self._sheet: Sheet | None = None
        self._make_film = film
        self.film: Film | None = None
        self.timeline = timeline
        self.windows = 0

    def __enter__(self) -> 'RunFiles':
        with self._stack as stack:
            part = stack.enter_context(self._output).part
            stack.enter_context(self._bag_open)
            self._lines = stack.enter_context(open(part / LINES, 'w', encoding='utf-8'))
            if self._make_film is not None:
                self.film = self._make_film(part / OVERLAY)
                stack.callback(self.film.discard)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add_sheet(self, expected: int) -> None:
        """
        Write a contact sheet too.

        :param expected: windows that will come, roughly.
        """
        self._sheet = Sheet(expected)

    def add_bag(self, heatmap_size: tuple[int, int] | None, about: dict[str, str]) -> None:
        """Write a bag of results too; see ``ResultsBag``."""
        # This needs the package rosbags, which films do without.
        from avsol_ros.offline.results_bag import ResultsBag, refuse_foreign

        refuse_foreign(self._output.folder / RESULTS)
        bag = ResultsBag(self._output.part / RESULTS, heatmap_size, about)
        self._bag = self._bag_open.enter_context(bag)

    def add(self, finding: Finding) -> str:
        """
        Add what was found in a window.

        :returns: its line.
        """
        self.windows += 1
        line = window_line(finding, self._origin_ns, self._source)
        self._lines.write(line + '\n')
        self.timeline.add(finding)
        if self.film is not None:
            self.film.add_finding(finding)
        return line

    def add_localized(
        self, one: LocalizedWindow, frame_id: str = '', truth: Sequence[Mapping] = ()
    ) -> str:
        """
        Add a window that was localized here, also to the bag of results and the sheet.

        :param frame_id: of its camera.
        :param truth: annotated objects in its middle frame, as ``draw_localization`` has them.
        :returns: its line.
        """
        if self._bag is not None:
            self._bag.add(one.localization, one.finding, frame_id)
        if self._sheet is not None:
            _, image = one.middle_frame
            self._sheet.add(image, one.localization, one.finding, self._origin_ns, truth)
        return self.add(one.finding)

    def finish(self) -> tuple[list[str], list[str]]:
        """
        Finish all files and move them to their places; without a window there are none.

        :returns: their paths, and what went wrong with the film.
        """
        if not self.windows:
            return [], []
        problems = []
        self._lines.close()
        self._bag_open.close()
        if self._sheet is not None:
            self._sheet.write(self._output.part / SHEET, self._name)
        if self.film is not None:
            try:
                self.film.close()
            except AvsolError as error:
                problems.append(f'{OVERLAY} was not written: {error}')
                self.film.discard()
        return [str(path) for path in self._output.commit()], problems
