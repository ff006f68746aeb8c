"""Names of the files that a run over a recording leaves."""

#: The film, the contact sheet, a line for each window, the bag of results.
OVERLAY, SHEET, LINES, RESULTS = (
    'overlay.mp4',
    'sheet.png',
    'localizations.jsonl',
    'localizations',
)

#: Those of a film.
FILM_FILES = (OVERLAY, SHEET, LINES)
