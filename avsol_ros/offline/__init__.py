"""
Recordings through the core: films and bags, what is found in them, and the files of it.

- ``localization_run``: messages through intake and model, window by window
- ``film_source``, ``bag_source``: the messages of a film and of a bag
- ``localize_film``: a film from Python
- ``recorded_results``: results that a live localizer published, read back
- ``topic_facts``: rates, gaps and stamps of a bag's topics
- ``timeline``: what was found when
- ``result_pictures``, ``result_files``: the film and the sheet; all files of a run
- ``bag_summary``, ``film_summary``: what was found as a document, and that as text
"""
