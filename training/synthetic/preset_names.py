"""Names of the presets of synthetic scenes, known without drawing any."""

#: ``clean``: one sound at a time. ``hard``: look-alikes, ambient sound, several sounds at once.
#: ``real``: photographs, cut-outs and recordings of a folder, see ``material_lists``.
REAL = 'real'
PRESET_NAMES = ('clean', 'hard', REAL)
