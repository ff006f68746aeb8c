"""
Custom data of bags: what a bag that was made from a film keeps beside its messages.

Each is a text under its key in the bag's metadata. The stamp of the film's time 0 is there as
well, under ``avsol_ros.offline.bag_source.ORIGIN_KEY``.
"""

#: Name of the film.
VIDEO_KEY = 'avsol_video'
#: JSON list of all categories that could occur in it.
CATEGORIES_KEY = 'avsol_categories'
#: JSON of what its annotation says besides the frames: video, rate, width, height, duration,
#: categories.
ANNOTATION_KEY = 'avsol_annotation'
#: JSON of its labels by seconds, as AVE's lists have them: categories, events, split.
LABELS_KEY = 'avsol_labels'
#: What the bag was made from, so that an unchanged bag is not made again.
SOURCE_KEY = 'avsol_conversion'
