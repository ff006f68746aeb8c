"""
A recorded bag through the localizer, or what it found live, and what comes of it as files.

- ``run``: a model over a bag, window by window
- ``recorded``: results that a live localizer published, read back
- ``facts``: rates, gaps and stamps of the bag's topics
- ``timeline``: what was found when
- ``pictures``, ``results``: the film and the sheet; all files of a run
- ``summary``: all of it as a document, and that as text
"""
