"""What the package needs beyond its core, and what to do where it is missing."""

import importlib.metadata
import importlib.util

from avsol_ros.errors import AvsolError

_PACKAGE = 'avsol_ros'

#: What the extra ``training`` brings: what to pip install, by the name under which it is imported.
TRAINING = {
    'jsonargparse': 'jsonargparse[signatures]',
    'lightning': 'lightning',
    'scipy': 'scipy',
    'sklearn': 'scikit-learn',
    'tensorboard': 'tensorboard',
    'torchmetrics': 'torchmetrics',
}

# What to pip install for another module, where that is not the module's own name.
_DISTRIBUTIONS = {
    'cv2': 'opencv-python-headless',
    'yaml': 'PyYAML',
}


def is_installed(module: str) -> bool:
    """Whether a top-level module can be found. It is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require_modules(*modules: str) -> None:
    """Raise AvsolError, one for all, where any of these modules is not installed."""
    missing = [module for module in modules if not is_installed(module)]
    if missing:
        raise AvsolError(explain_missing(*missing))


def require_ros() -> None:
    """Raise AvsolError where there is no ROS."""
    require_modules('rclpy')


def explain_missing(*modules: str) -> str:
    """
    Say what to install.

    :param modules: names of modules that cannot be imported, at least one; of a submodule its
        whole dotted name.
    """
    tops = list(dict.fromkeys(module.partition('.')[0] for module in modules))
    if 'rclpy' in tops:
        return (
            'this needs ROS 2, and there is no rclpy; for films take `avsol localize`, which '
            'needs no ROS. Or source setup.bash of your ROS installation, or run `make .venv` in '
            'the source folder and use .venv/bin/avsol'
        )
    if _PACKAGE in tops:
        return f'{modules[0]} is not installed; build the package again (colcon build, make .venv)'
    if any(top in TRAINING for top in tops):
        wanted = _all_of_training()
    else:
        wanted = ' '.join(_DISTRIBUTIONS.get(top, top) for top in tops)
    what = 'module' if len(tops) == 1 else 'modules'
    verb = 'is' if len(tops) == 1 else 'are'
    return f'the Python {what} {", ".join(tops)} {verb} missing; pip install {wanted}'


def _all_of_training() -> str:
    """The extra; where colcon has installed the package, pip does not know that: its parts."""
    try:
        importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return ' '.join(f"'{name}'" if '[' in name else name for name in TRAINING.values())
    return f"'{_PACKAGE}[training]'"
