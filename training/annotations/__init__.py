"""AVSOL-E annotations (section 3.2): their model, files, checks, statistics and importers."""
