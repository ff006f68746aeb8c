"""
Tables and lists in docs that are made from the code.

Each stands between the comments ``<!-- NAME -->`` and ``<!-- /NAME -->``. Tests compare them; to
write them anew: ``.venv/bin/python test/support/doc_tables.py``.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """Give a table, the first row its header."""
    header, *rest = rows
    return '\n'.join(f'| {" | ".join(row)} |' for row in (header, *rest)).replace(
        '|\n', f'|\n|{"---|" * len(header)}\n', 1
    )


def parameters(node: str) -> str:
    """Parameters of a node."""
    from avsol_ros.nodes.parameters import (
        LOCALIZER,
        PLAY,
        RECORD,
        RECORDER,
        describe_parameters,
    )

    tables = {'localizer': LOCALIZER, 'play': PLAY, 'record': RECORD, 'recorder': RECORDER}
    return describe_parameters(tables[node])


def launch_arguments() -> str:
    """Arguments of the launch file, read without ``launch``."""
    source = ast.parse((ROOT / 'launch' / 'avsol.launch.py').read_text(encoding='utf-8'))
    [arguments] = [
        node.value
        for node in source.body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'ARGUMENTS'
    ]
    rows = [('argument', 'default', 'meaning')]
    for key, value in zip(arguments.keys, arguments.values, strict=True):
        default, meaning = value.elts
        if isinstance(default, ast.Constant):
            shown = f'`{default.value}`' if default.value else 'empty'
        else:
            shown = 'the one of the package'
        rows.append((f'`{key.value}`', shown, meaning.value.replace('<', '&lt;')))
    return markdown(rows)


def models() -> str:
    """Every named model, as ``avsol models`` lists them."""
    from avsol_ros.cli.models import numbered_classes, table
    from avsol_ros.models.builder import named_config
    from avsol_ros.models.catalogue import describe
    from avsol_ros.models.model_names import named_models

    classes = numbered_classes()
    return markdown(table([describe(n, named_config(n, classes)) for n in named_models()]))


def import_order() -> str:
    """Rooms in the order in which they may import each other."""
    from test_packaging import ROOMS

    return '\n'.join(
        f'{number}. {", ".join(f"`{room}`" for room in rooms.split())}'
        for number, rooms in enumerate(ROOMS, 1)
    )


# (page, name) -> what makes it.
TABLES: dict[tuple[str, str], Callable[[], str]] = {
    ('docs/architecture.md', 'order of imports'): import_order,
    ('docs/models.md', 'models'): models,
    ('docs/parameters.md', 'launch arguments'): launch_arguments,
    **{
        ('docs/parameters.md', f'parameters: {node}'): lambda node=node: parameters(node)
        for node in ('localizer', 'play', 'record', 'recorder')
    },
}


def pattern(name: str) -> re.Pattern:
    """Find a table between its comments."""
    return re.compile(
        rf'(?<=<!-- {re.escape(name)} -->\n).*?(?=<!-- /{re.escape(name.split(":")[0])} -->)', re.S
    )


def main() -> None:
    """Write all tables anew."""
    for (page, name), make in TABLES.items():
        path = ROOT / page
        text = path.read_text(encoding='utf-8')
        table = make()
        changed = pattern(name).sub(lambda _, table=table: f'{table}\n', text, count=1)
        if changed != text:
            path.write_text(changed, encoding='utf-8')
            print(f'{page}: {name}')


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT / 'test'))  # as pytest does
    main()
