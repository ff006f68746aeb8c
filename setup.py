"""For people without ROS: ``pip install .`` gives the core, training and ``avsol``."""

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

SOURCE = Path(__file__).resolve().parent


def found(pattern: str, path: str) -> str:
    return re.search(pattern, (SOURCE / path).read_text(encoding='utf-8'))[1]


setup(
    name='avsol_ros',
    version=found(r"__version__ = '(.+)'", 'avsol_ros/__init__.py'),
    description='Audio-visual sounding object localization: which object in view makes the sound',
    license='Apache-2.0',
    license_files=['LICENSE', 'NOTICE'],
    python_requires='>=3.10',
    packages=[
        *find_packages(include=['avsol_ros', 'avsol_ros.*']),
        'avsol_ros.training',
        *(f'avsol_ros.training.{name}' for name in find_packages('training')),
    ],
    package_dir={'avsol_ros.training': 'training'},
    package_data={
        'avsol_ros': ['checkpoints/*.safetensors', 'py.typed'],
        'avsol_ros.offline': ['templates/*'],
        'avsol_ros.training.evaluation': ['templates/*'],
    },
    data_files=[
        ('share/avsol_ros/config', sorted(glob('config/*.*'))),
        *(
            (f'share/avsol_ros/config/{name}', sorted(glob(f'config/{name}/*')))
            for name in ('models', 'training')
        ),
        ('share/avsol_ros/msg', sorted(glob('msg/*.msg'))),
    ],
    zip_safe=False,
    entry_points={'console_scripts': ['avsol = avsol_ros.cli:main']},
    install_requires=[
        'av',
        'jinja2',
        'numpy',
        'opencv-python-headless',
        'PyYAML',
        'rosbags>=0.11',
        'safetensors',
        'torch',
        'torchaudio',
        'tqdm',
    ],
    extras_require={
        'openvino': ['openvino'],
        'training': [
            'jsonargparse[signatures]',
            'lightning',
            'scikit-learn',
            'scipy',
            'tensorboard',
            'torchmetrics',
        ],
        'test': [
            'hypothesis',
            'jsonschema',
            'mcap-ros2-support',
            'mypy',
            'pytest',
            'pytest-timeout',
            'pytest-xdist',
            'ruff',
            'scipy',
            'types-PyYAML',
        ],
    },
)
