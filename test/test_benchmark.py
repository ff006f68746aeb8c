"""What `avsol benchmark` says; how fast anything is depends on the machine."""

import json

import numpy as np
import pytest
import torch

from avsol_ros import benchmark, cli
from avsol_ros.engine import choose_engine
from avsol_ros.errors import AvsolError

ROW = {'model': str, 'engine': str, 'auto': bool, 'window_ms': float, 'live_ms': float,
       'gflop': float, 'gflop_per_s': float, 'peak_gflop_per_s': float, 'share': float,
       'feature_error': float, 'heatmap_error': float}
ENGINES = ['torch', 'torch-half']


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(benchmark, 'GEMM_SIZE', {'cpu': 64})
    monkeypatch.setattr(benchmark, 'CAMERA', (30, 48, 64))


def test_json_has_one_row_of_each_model_and_engine(capsys):
    assert cli.main(['benchmark', 'compact-cdf-dnm', 'compact', '--engine', *ENGINES,
                     '--repeat', '1', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['repeat'] == 1 and found['hop_s'] == 0.25
    assert {'cpu', 'threads', 'torch', 'openvino'} <= found['machine'].keys()
    rows = found['rows']
    assert [(row['model'], row['engine']) for row in rows] == [
        (model, engine) for model in ('compact-cdf-dnm', 'compact') for engine in ENGINES]
    for row in rows:
        assert {key: type(value) for key, value in row.items()} == ROW
        assert row['window_ms'] > 0 and row['live_ms'] > 0
        assert row['share'] == pytest.approx(row['gflop_per_s'] / row['peak_gflop_per_s'])
        assert row['gflop_per_s'] == pytest.approx(1e3 * row['gflop'] / row['window_ms'])
        exact = row['engine'] == 'torch'
        assert row['feature_error'] < (1e-5 if exact else 0.03)
        assert row['heatmap_error'] < (1e-5 if exact else 0.03)
        assert row['auto'] == exact  # small encoders stay as they were trained


def test_the_table_says_the_machine_and_a_line_for_each_row(capsys):
    assert cli.main(['benchmark', '--engine', 'torch', '--repeat', '1']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f'threads {torch.get_num_threads()}' in lines[0] and torch.__version__ in lines[0]
    table = [line for line in lines if line.startswith('|')]
    assert len(table) == 3 and len({line.count('|') for line in table}) == 1
    assert table[2].startswith('| compact | torch (auto) | ')


def test_work_is_counted_as_by_hand():
    model = benchmark.get_model('compact-static-dnm')
    total = 0
    # Of the visual encoder: side of the output, channels in and out, kernel.
    for side, inside, outside, kernel in (
            (56, 3, 24, 3), (56, 24, 24, 3), (28, 24, 48, 3), (28, 48, 48, 3), (28, 48, 48, 3),
            (14, 48, 96, 3), (14, 96, 96, 3), (14, 96, 96, 1)):
        total += 8 * 2 * side ** 2 * inside * outside * kernel ** 2
    rest = 2 * 9 * (96 * 64 * 24 + 48 * 32 * 24 * 48 + 24 * 16 * (48 * 96 + 96 * 96 + 96 * 128))
    assert total + rest < benchmark.count_flop(model) < 1.05 * (total + rest)


def test_windows_overlap_and_come_from_the_seed():
    first, second = benchmark.overlapping_windows(8, 3)
    shared = {id(frame) for frame in first.frames} & {id(frame) for frame in second.frames}
    assert len(shared) == 6
    assert second.start_ns - first.start_ns == benchmark.HOP_NS
    again, _ = benchmark.overlapping_windows(8, 3)
    np.testing.assert_array_equal(np.stack(again.frames), np.stack(first.frames))
    np.testing.assert_array_equal(again.audio, first.audio)
    assert not shared & {id(frame) for frame in again.frames}


def test_named_models_have_the_weights_of_the_seed():
    a, b, c = (benchmark.get_model('compact-static-dnm', seed).state_dict()
               for seed in (0, 0, 1))
    key = 'visual_encoder.layers.0.0.weight'
    assert torch.equal(a[key], b[key]) and not torch.equal(a[key], c[key])


@pytest.mark.parametrize('arguments, text', [
    (['--engine', 'warp'], "engine is 'warp'; to be had here are torch, torch-half"),
    (['--repeat', '0'], '--repeat is 0; expected at least 1'),
    (['nothing'], "no model 'nothing'"),
    (['--device', 'tpu9000'], "device is 'tpu9000'")])
def test_bad_arguments_give_one_line(arguments, text, capsys):
    assert cli.main(['benchmark', *arguments]) == 1
    error = capsys.readouterr().err
    assert text in error and error.count('\n') == 1


def test_auto_is_marked_by_the_rule_of_the_engines():
    model = benchmark.get_model('compact-static-dnm')
    assert choose_engine('auto', model, torch.device('cpu')) == 'torch'
    with pytest.raises(AvsolError):
        choose_engine('fast', model, torch.device('cpu'))
