"""
What a robot recorded, through the localizer or as it was found live, scored where truth is known.

From Python::

    from avsol_ros.offline.evaluate_bag import EvaluateBagOptions, evaluate_bag

    done = evaluate_bag(EvaluateBagOptions('kitchen.mcap', hop=1.0))
    print(done.windows, done.problems, done.files)

For scores pass the module that makes them: ``scoring=avsol_ros.training.evaluation.bag_report``.
"""

from contextlib import ExitStack
from pathlib import Path

from avsol_ros.bags import BagReader
from avsol_ros.locks import claim_folder
from avsol_ros.offline.bag_options import EvaluateBagOptions
from avsol_ros.offline.bag_session import BagEvaluation, BagSession, OnProgress
from avsol_ros.offline.evaluate_models import run_models
from avsol_ros.offline.evaluate_recorded import run_recorded
from avsol_ros.offline.scorer import Scoring
from avsol_ros.stopping import Stopping

__all__ = ['BagEvaluation', 'EvaluateBagOptions', 'evaluate_bag']


def evaluate_bag(
    options: EvaluateBagOptions,
    scoring: Scoring | None = None,
    *,
    on_progress: OnProgress = lambda name, share, rest: None,
    stopping: Stopping | None = None,
) -> BagEvaluation:
    """
    Localize a bag, or take what was found live, and score it where the truth is known.

    :param scoring: makes the scores, such as the module
        ``avsol_ros.training.evaluation.bag_report``; None for no scores.
    :param on_progress: told how far a run is: its name, the share that is done, more in words.
    :param stopping: a request to stop, which is looked for at every message. What was found until
        then is written.
    :raises AvsolError: for a bag, a topic, a model or a truth that cannot be used, where nothing
        can be written, and where another process writes into the folder.
    """
    with ExitStack() as stack:
        reader = results = stack.enter_context(BagReader(options.bag))
        if options.recorded is not None and Path(options.recorded) != Path(options.bag):
            results = stack.enter_context(BagReader(options.recorded))
        session = BagSession(
            options, reader, results, scoring, stopping or Stopping(), on_progress
        )
        stack.enter_context(claim_folder(session.out))
        if options.takes_recorded:
            run_recorded(session)
        else:
            run_models(session)
        return session.finish()
