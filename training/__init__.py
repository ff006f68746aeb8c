"""
Training, evaluation and data: what needs no robot. It stands on the core and knows no ROS.

Rooms, lowest first; a module imports from its own room and from those above it in this list:

- ``annotations``: the truth of a video, its files, checks and importers;
- ``metrics``: how well a map tells what sounds, and where;
- ``synthetic``: rendered scenes and sounds whose truth is known;
- ``datasets``: AVE, prepared clips, pairs, augmentation, features;
- the recipe, in files of no folder: ``fit``, ``module``, ``objectives``, ...;
  ``evaluation``: scoring of models, tables and the report;
  ``convert``: bags to datasets, and films to bags.

The last three do not know each other. ``test/test_packaging.py`` holds these rules.
"""
