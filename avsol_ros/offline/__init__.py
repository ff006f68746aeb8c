"""
Recordings through the core: films and bags, what is found in them, and the files of it.

- ``localization_run``: messages through intake and model, window by window
- ``film_source``, ``bag_source``: the messages of a film and of a bag
- ``localize_film``: a film from Python
- ``find_films``, ``film_files``, ``film_index``: films as files, and one page with all sheets
- ``evaluate_bag``: a bag from Python; ``bag_options``, ``bag_session``, ``evaluate_models`` and
  ``evaluate_recorded`` are its parts, ``scorer`` says what it asks of those who score
- ``recorded_results``: results that a live localizer published, read back
- ``topic_facts``, ``timeline``: facts about a bag's topics; what was found when
- ``run_files``: all files of one run; ``window_line``, ``result_pictures`` and ``results_bag``
  make them
- ``bag_summary``, ``film_summary``: what was found as a document, and that as text;
  ``span_table`` and ``text_table`` are its tables
"""
