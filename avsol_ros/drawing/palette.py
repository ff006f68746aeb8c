"""Colours of the pictures, as RGB. What a colour means is the same in all of them."""

# Annotations as in figures 4 to 6 of the paper.
TRUTH_SOUNDING = (60, 220, 70)
TRUTH_SILENT = (235, 60, 235)
TRUTH_OUT_OF_VIEW = (235, 45, 45)
# What was found: unlike those three, and unlike the colours of the heat.
FOUND = (0, 215, 255)
# Marks on a contact sheet: whether what was found agrees with the truth.
HIT = (60, 200, 90)
MISS = (235, 70, 60)

WHITE = (255, 255, 255)
GREY = (165, 172, 180)
DARK = (16, 18, 22)
PANEL = (24, 27, 33)
PANEL_WINDOW = (44, 54, 66)
WAVE = (92, 104, 120)
