"""What was found when, as a table."""

from collections.abc import Mapping, Sequence

from avsol_ros.offline.text_table import align_columns

#: Names of the columns.
SPAN_COLUMNS = ('time', 'found', 'class score', 'AVC', 'windows', 'box (x0 y0 x1 y1)')
#: Rows that a table shows at most.
MOST_SPANS = 40


def span_cells(span: Mapping) -> tuple[str, ...]:
    """
    One row.

    :param span: what ``Span.as_dict`` gives.
    """
    return (
        f'{span["start"]:.2f} - {span["end"]:.2f} s',
        span['found'] or '-',
        _number(span['class_score']),
        _number(span['avc']),
        str(span['windows']),
        '-' if span['box'] is None else ' '.join(f'{value:.0f}' for value in span['box']),
    )


def format_spans(spans: Sequence[Mapping], more: int = 0) -> str:
    """
    The table as text for a terminal.

    :param spans: what ``Span.as_dict`` gives, of each.
    :param more: how many there are that are not among ``spans``.
    """
    lines = [SPAN_COLUMNS, *map(span_cells, spans[:MOST_SPANS])]
    text = align_columns(lines, right=('windows',))
    more += max(len(spans) - MOST_SPANS, 0)
    if more:
        text.append(f'... and {more} more')
    return '\n'.join(text)


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.2f}'
