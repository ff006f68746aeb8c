"""``avsol annotations``: check, count and import annotations of sounding objects."""

import json

from avsol_ros.cli.arguments import ArgumentParser, a_path
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus


def main(argv: list[str]) -> int:
    parser = ArgumentParser(
        prog='avsol annotations',
        description='Annotations of sounding objects: boxes at 10 per second with the tags '
        'sounding and out-of-view (section 3.2 of the paper), or for one frame of single windows '
        'of films. docs/annotations.md tells the format.',
    )
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    check = actions.add_parser('check', help='list all that is wrong, with video and frame')
    check.add_argument(
        'files', nargs='+', type=a_path, metavar='FILE', help='annotations, or folders of them'
    )
    stats = actions.add_parser('stats', help="count frames in the form of the paper's Table 1")
    stats.add_argument('files', nargs='+', type=a_path, metavar='FILE')
    stats.add_argument('--json', action='store_true', help='print JSON instead of a table')
    schema = actions.add_parser('schema', help='print the JSON Schema of the format')
    cvat = actions.add_parser('import-cvat', help="convert exports as 'CVAT for video 1.1'")
    cvat.add_argument(
        'tasks',
        nargs='+',
        type=a_path,
        metavar='TASK.xml',
        help='the .xml, or the .zip that CVAT makes',
    )
    cvat.add_argument(
        '--fps',
        required=True,
        help='pictures per second of the video that CVAT shows, e.g. 30000/1001',
    )
    cvat.add_argument(
        '--size', metavar='WIDTHxHEIGHT', help='of the pictures, where the file does not tell'
    )
    coco = actions.add_parser('import-coco', help='convert a COCO file of numbered pictures')
    coco.add_argument('tasks', nargs=1, type=a_path, metavar='COCO.json')
    coco.add_argument(
        '--fps', default='10', help='pictures per second by which images are numbered (default 10)'
    )
    coco.add_argument(
        '--first',
        type=int,
        default=0,
        metavar='N',
        help='number of the first picture of a video (default 0)',
    )
    for importer in (cvat, coco):
        importer.add_argument('out', type=a_path, metavar='OUT.json')
        importer.add_argument(
            '--rate', default='10', help='annotated frames per second to make (default 10)'
        )
        importer.add_argument('--video', help='name of the video, where the file does not tell')
        importer.add_argument(
            '--clip', action='store_true', help='cut boxes off at the border of the picture'
        )
    coco.set_defaults(size=None)
    windows = actions.add_parser(
        'import-windows', help='convert a list of films with annotated windows of one second'
    )
    windows.add_argument('list', type=a_path, metavar='WINDOWS.json')
    windows.add_argument('out', type=a_path, metavar='OUT.json')
    windows.add_argument(
        '--media',
        type=a_path,
        metavar='FOLDER',
        help='folder of the films: look whether each is there and is as the list says',
    )
    windows.add_argument(
        '--clip', action='store_true', help='cut boxes off at the border of the picture'
    )
    check.set_defaults(run=_check)
    stats.set_defaults(run=_stats)
    schema.set_defaults(run=_schema)
    cvat.set_defaults(run=_import)
    coco.set_defaults(run=_import)
    windows.set_defaults(run=_import_windows)
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)


def _check(arguments) -> int:
    from avsol_ros.training.annotations.annotation_files import examine
    from avsol_ros.training.annotations.sparse_files import examine_film_windows, sort_kinds

    dense, sparse = sort_kinds(arguments.files)
    annotations, problems = examine(*dense)
    films, more = examine_film_windows(*sparse)
    if _report([*problems, *more]):
        return ExitStatus.FAILED
    if annotations or not films:
        frames = sum(len(a.frames) for a in annotations)
        print(f'nothing is wrong in {frames:,} frames of {len(annotations):,} videos')
    if films:
        windows = sum(len(film.windows) for film in films)
        print(f'nothing is wrong in {windows:,} windows of {len(films):,} films')
    return ExitStatus.OK


def _report(problems: list) -> bool:
    for problem in problems:
        print(problem)
    return bool(problems)


def _stats(arguments) -> int:
    from avsol_ros.training.annotations.annotation_files import read_annotations
    from avsol_ros.training.annotations.sparse_files import read_film_windows, sort_kinds
    from avsol_ros.training.annotations.statistics import count_frames, format_statistics

    dense, sparse = sort_kinds(arguments.files)
    statistics = count_frames([*read_annotations(*dense), *read_film_windows(*sparse)])
    print(
        json.dumps(statistics.as_dict(), indent=2)
        if arguments.json
        else format_statistics(statistics)
    )
    return ExitStatus.OK


def _schema(_) -> int:
    from avsol_ros.training.annotations.annotation_files import schema_path

    print(schema_path().read_text(encoding='utf-8'), end='')
    return ExitStatus.OK


def _import(arguments) -> int:
    from avsol_ros.training.annotations.annotation_files import write_annotations
    from avsol_ros.training.annotations.coco import import_coco
    from avsol_ros.training.annotations.cvat import import_cvat
    from avsol_ros.training.annotations.importing import ImportSettings, parse_fraction, parse_size
    from avsol_ros.training.annotations.model import share_categories
    from avsol_ros.training.annotations.problems import find_problems

    if arguments.video and len(arguments.tasks) > 1:
        raise AvsolError(
            f'--video names one video, and there are {len(arguments.tasks)} files; '
            'import them one by one'
        )
    settings = ImportSettings(
        parse_fraction(arguments.fps),
        parse_fraction(arguments.rate),
        arguments.video,
        parse_size(arguments.size),
        arguments.clip,
    )
    annotations = []
    for path in arguments.tasks:
        if arguments.action == 'import-cvat':
            annotations += import_cvat(path, settings)
        else:
            annotations += import_coco(path, settings, arguments.first)
    annotations = share_categories(annotations)
    if _report(find_problems(annotations)):
        return ExitStatus.FAILED
    print(write_annotations(arguments.out, annotations))
    return ExitStatus.OK


def _import_windows(arguments) -> int:
    from avsol_ros.training.annotations.problems import find_film_problems
    from avsol_ros.training.annotations.sparse_files import write_film_windows
    from avsol_ros.training.annotations.windows_list import check_film, import_windows_list

    films = import_windows_list(arguments.list, arguments.clip)
    if _report(find_film_problems(films)):
        return ExitStatus.FAILED
    if arguments.media is not None:
        for film in films:
            check_film(film, arguments.media)
    print(write_film_windows(arguments.out, films))
    return ExitStatus.OK
