"""``avsol benchmark``: what it times, counts and compares."""

import json

import pytest
import torch

from avsol_ros.cli import main
from avsol_ros.inference import speed
from avsol_ros.models.builder import named_config
from avsol_ros.models.catalogue import describe
from avsol_ros.models.checkpoint import load_checkpoint

SETTINGS = 'method: cam\nvisual: compact\nfusion: static\ntask: cls\ndim: 8\nframes: 4\n'


def test_each_engine_has_a_row_that_agrees_with_itself(tmp_path, capsys):
    small = tmp_path / 'small.yaml'
    small.write_text(SETTINGS)
    assert (
        main(
            [
                'benchmark',
                str(small),
                '--device',
                'cpu',
                '--engine',
                'torch',
                'torch-half',
                '--repeat',
                '1',
                '--json',
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    exact, half = found['rows']
    assert (exact['engine'], exact['auto'], half['engine']) == ('torch', True, 'torch-half')
    assert exact['feature_error'] < 1e-5 < half['feature_error'] < 0.01
    assert exact['heatmap_error'] < 1e-5
    flops = describe('small', named_config(small, map(str, range(28)))).flops
    for row in found['rows']:
        assert row['gflop'] == pytest.approx(flops / 1e9)
        assert row['gflop_per_s'] == pytest.approx(row['gflop'] / row['window_ms'] * 1e3)
        assert row['share'] == pytest.approx(row['gflop_per_s'] / row['peak_gflop_per_s'])
        assert row['live_ms'] > 0


def test_the_live_window_shares_three_quarters_of_its_frames():
    first, second = speed.overlapping_windows(8, seed=0)
    assert second.start_ns - first.start_ns == speed.HOP_NS
    assert sum(any(a is b for b in first.frames) for a in second.frames) == 6
    other, _ = speed.overlapping_windows(8, seed=0)
    assert not any(a is b for a in other.frames for b in first.frames)


def test_errors_are_relative_for_features_and_absolute_for_the_heatmap():
    exact = [torch.tensor([0.2, 0.9]), torch.tensor([3.0, 4.0]), torch.tensor([6.0, 8.0])]
    found = [torch.tensor([0.25, 0.8]), torch.tensor([3.0, 5.0]), torch.tensor([6.0, 8.5])]
    assert speed.errors(found, exact) == pytest.approx((0.2, 0.1))


def test_a_checkpoint_is_timed_as_it_is_and_a_row_with_weights_of_its_own():
    shipped = speed.get_model('compact')
    for name, value in load_checkpoint('compact').state_dict().items():
        assert torch.equal(value, shipped.state_dict()[name])
    row = speed.get_model('compact-cam')
    assert row.config.method == 'cam' and len(row.config.classes) == speed.CLASSES


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--engine', 'warp'], "engine is 'warp'; to be had here are torch, torch-half"),
        (['--repeat', '0'], '--repeat is 0; expected at least 1'),
        (['nothing'], "no model 'nothing'"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, capsys):
    assert main(['benchmark', *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
