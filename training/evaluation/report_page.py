"""The page of a report: its frame, style and tables. One file, nothing from elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby

from avsol_ros.training.evaluation.report_tables import LOWER_IS_BETTER, cell, count_rows, title

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --soft: #57606a;
  --line: #d0d7de; --panel: #f6f8fa; --ave: #1a7f37; --other: #bc4c00; --silent: #a626a4;
  --unseen: #cf222e; --c0: #0b62c4; --c1: #c2410c; --c2: #0f766e; --c3: #9d2fa8; --c4: #8a6100;
  --c5: #57606a; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --text: #e6edf3; --soft: #9da7b3;
  --line: #30363d; --panel: #161b22; --ave: #3fb950; --other: #f0883e; --silent: #eb3ceb;
  --unseen: #ff6b62; --c0: #6cb0ff; --c1: #ff9b5e; --c2: #4fd1c5; --c3: #e58cf0; --c4: #e3b341;
  --c5: #9da7b3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .3rem 0 1rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .4rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .2rem; }
h4 { font-size: .95rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h4 span { font-weight: 400; color: var(--soft); }
p, ul { max-width: 46rem; margin: .4rem 0; } ul { padding-left: 1.2rem; }
p, li, figcaption { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; max-width: 100%; }
table.scores { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.scores th, .scores td { padding: .3rem .55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
.scores .name { text-align: left; position: sticky; left: 0; background: var(--page);
  font-weight: 400; min-width: 9rem; max-width: 15rem; white-space: normal;
  overflow-wrap: anywhere; }
.scores small { display: block; font-weight: 400; color: var(--soft); }
.scores thead th { color: var(--soft); font-weight: 600; }
.scores thead tr:first-child th { text-align: center; border-bottom: 0; }
.scores .first { border-left: 1px solid var(--line); }
.scores tr.mean > * { background: var(--panel); font-weight: 600; }
.scores tr.baseline > * { color: var(--soft); font-style: italic; }
.scores tr.count > * { color: var(--soft); border-bottom: 0; padding-block: .1rem; }
.scores .best { font-weight: 700; text-decoration: underline; text-underline-offset: 3px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.charts > div { max-width: 30rem; min-width: 0; }
svg.chart { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.bar { opacity: .55; } .bar.ave, .key.ave { fill: var(--ave); background: var(--ave); }
.bar.other, .key.other { fill: var(--other); background: var(--other); }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); }
.s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); }
.key { display: inline-block; width: 1.1em; height: .6em; margin-right: .4em;
  border-radius: 2px; }
.s1, .s4 { stroke-dasharray: 7 4; } .s2, .s5 { stroke-dasharray: 2 3; }
.key.line { height: 0; border-radius: 0; vertical-align: middle; border-top-width: 3px;
  border-top-style: solid; }
.key.k1, .key.k4 { border-top-style: dashed; } .key.k2, .key.k5 { border-top-style: dotted; }
.k0 { border-color: var(--c0); } .k1 { border-color: var(--c1); } .k2 { border-color: var(--c2); }
.k3 { border-color: var(--c3); } .k4 { border-color: var(--c4); } .k5 { border-color: var(--c5); }
.chance { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 1 4; }
.key.sounding { background: #3cdc46; } .key.silent { background: #eb3ceb; }
.key.unseen { background: #eb2d2d; }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; padding: 0;
  max-width: none; font-size: .85rem; } ul.legend li { overflow-wrap: anywhere; }
.strips { display: grid; grid-template-columns: repeat(auto-fill, min(100%, WIDE)); gap: 1rem;
  align-items: start; }
.strip { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .7rem; min-width: 0; margin: 0 0 1rem; } .strips .strip { margin: 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem; }
figure { margin: 0; width: 192px; } figcaption { font-size: .78rem; line-height: 1.35;
  overflow-wrap: anywhere; } figure b { color: var(--text); font-weight: 600; }
.tiles figure { width: calc(50% - .25rem); max-width: 192px; }
img { max-width: 100%; width: 100%; height: auto; display: block; border-radius: 3px; }
table.sequence { border-collapse: collapse; width: 100%; } .sequence td { padding: 2px; }
.sequence figure { width: 100%; min-width: 72px; max-width: 128px; }
.sequence th { font-size: .78rem; font-weight: 600; text-align: left; padding-right: .4rem;
  min-width: 4rem; max-width: 7rem; overflow-wrap: anywhere; }
svg.sound { width: 100%; height: 64px; display: block; margin-top: .4rem; }
.sequence svg.sound { height: 84px; }
.wave { stroke: var(--soft); stroke-width: 3; } rect.sounding { fill: var(--ave); }
rect.unseen { fill: var(--unseen); }
@media print { .scroll { overflow: visible; } .strip { break-inside: avoid; } }
"""


def page(heading: str, parts: Iterable[str], wide: int) -> str:
    """
    A whole document.

    :param wide: width of a strip in pixels, by which they are set side by side.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(heading)}</title><style>{_STYLE.replace("WIDE", f"{wide}px")}'
        f'</style></head>\n<body><main><h1>{escape(heading)}</h1>\n'
        + '\n'.join(parts)
        + '\n</main></body></html>\n'
    )


def definitions(items: Mapping[str, str]) -> str:
    """What was evaluated, heading by heading."""
    return (
        '<dl>'
        + ''.join(
            f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in items.items()
        )
        + '</dl>'
    )


def legend(items: Sequence[tuple[str, str]]) -> str:
    """Pairs of a class of the style sheet and what its colour means."""
    return (
        '<ul class="legend">'
        + ''.join(
            f'<li><span class="key {style}"></span>{escape(text)}</li>' for style, text in items
        )
        + '</ul>'
    )


def score_table(
    rows: Sequence[Mapping],
    columns: Sequence[tuple[str, str, str]],
    caption: str,
    kind: str = 'model',
) -> str:
    """
    Scores with a heading over each group of columns; the best underlined.

    Below them of how many frames and windows they are.

    :param columns: key, group and heading of each; without any number it is left out.
    :param kind: what a row is.
    :returns: nothing where no column has one.
    """
    columns = [c for c in columns if any(cell(row, c[0]) != '-' for row in rows)]
    if not columns:
        return ''
    groups = [(over, len(list(group))) for over, group in groupby(columns, key=lambda c: c[1])]
    first = {0} | {sum(n for _, n in groups[:k]) for k in range(len(groups))}
    head = ''.join(
        f'<th class="first" scope="colgroup" colspan="{n}">{escape(over)}'
        f'{" ↓" if over.startswith("PNSR") else ""}</th>'
        for over, n in groups
    )
    names = ''.join(
        f'<th scope="col"{_first(k in first)}>{escape(name)}</th>'
        for k, (_, _, name) in enumerate(columns)
    )
    rivals = _rivals(rows)
    best = {key: _best(rivals, key) for key, _, _ in columns}
    body = ''
    for row in [*rows, *count_rows(rows, columns)]:
        body += f'<tr class="{row["kind"]}"><th scope="row" class="name">{escape(title(row))}</th>'
        for k, (key, _, _) in enumerate(columns):
            text = cell(row, key)
            marks = ' '.join(
                ['first'] * (k in first)
                + ['best']
                * (
                    text != '-'
                    and any(row is one for one in rivals)
                    and f'{row[key]:.3f}' == best[key]
                )
            )
            text = text.replace(' ± ', '<small>± ') + '</small>' * ('±' in text)
            body += f'<td{f" class={chr(34)}{marks}{chr(34)}" if marks else ""}>{text}</td>'
        body += '</tr>'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="scores"><thead><tr><td></td>{head}</tr><tr>'
        f'<th scope="col" class="name">{kind}</th>{names}</tr></thead>'
        f'<tbody>{body}</tbody></table></div>'
    )


def _first(yes: bool) -> str:
    return ' class="first"' if yes else ''


def _rivals(rows: Sequence[Mapping]) -> list[Mapping]:
    """Rows that are compared: of several seeds the mean, for the best of them would be luck."""
    seeds = {name for row in rows if row['kind'] == 'mean' for name in row['runs']}
    return [
        row
        for row in rows
        if row['kind'] == 'mean' or row['kind'] == 'model' and row['model'] not in seeds
    ]


def _best(rivals: Sequence[Mapping], key: str) -> str | None:
    """The best value as text; none where there is nothing to compare."""
    values = [row[key] for row in rivals if cell(row, key) != '-']
    if len(values) < 2:
        return None
    return f'{(min if key.startswith(LOWER_IS_BETTER) else max)(values):.3f}'
