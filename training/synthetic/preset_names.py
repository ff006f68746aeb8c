"""Names of the presets of synthetic scenes, known without drawing any."""

#: ``clean``: one sound at a time. ``hard``: look-alikes, ambient sound, several sounds at once.
PRESET_NAMES = ('clean', 'hard')
