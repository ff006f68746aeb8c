"""The settings which keep large images whole are found, complete, and the user's choice wins."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from avsol_ros.errors import AvsolError
from avsol_ros.nodes import dds_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_environment_names_a_profile_that_exists():
    settings = dds_settings.environment({})
    assert Path(settings['FASTDDS_DEFAULT_PROFILES_FILE']).is_file()
    # Fast DDS 3 warns about the name of version 2.
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE' not in settings
    assert int(settings['MALLOC_MMAP_THRESHOLD_']) > 1280 * 720 * 3
    assert all(isinstance(value, str) for value in settings.values())


@pytest.mark.parametrize('distribution', ['humble', 'jazzy'])
def test_fast_dds_2_is_told_under_its_own_name(distribution):
    settings = dds_settings.environment({'ROS_DISTRO': distribution})
    assert Path(settings['FASTRTPS_DEFAULT_PROFILES_FILE']).is_file()
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' not in settings


@pytest.mark.parametrize(
    'name', ['FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE']
)
def test_what_the_user_has_set_stays(name):
    settings = dds_settings.environment({name: 'mine.xml', 'MALLOC_TOP_PAD_': '1'})
    assert not any('PROFILES_FILE' in key for key in settings)
    assert 'MALLOC_TOP_PAD_' not in settings
    assert 'MALLOC_MMAP_THRESHOLD_' in settings


def test_the_profile_has_a_large_segment_and_udp():
    tree = ElementTree.parse(ROOT / 'config' / 'fastdds.xml')
    space = {'p': 'http://www.eprosima.com'}
    described = {
        element.find('p:transport_id', space).text: element
        for element in tree.iterfind('.//p:transport_descriptor', space)
    }
    used = [element.text for element in tree.iterfind('.//p:userTransports/p:transport_id', space)]
    assert set(used) == set(described)
    kinds = {element.find('p:type', space).text: element for element in described.values()}
    assert set(kinds) == {'SHM', 'UDPv4'}
    assert int(kinds['SHM'].find('p:segment_size', space).text) == 64 << 20
    participant = tree.find('.//p:participant', space)
    assert participant.get('is_default_profile') == 'true'


def test_an_installation_without_the_files_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ament_index_python.packages', None)
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    with pytest.raises(AvsolError, match='config/fastdds.xml is neither'):
        dds_settings.share_folder(tmp_path / 'avsol_ros' / 'transport.py')


def test_a_python_installation_without_ros_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ament_index_python.packages', None)
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    share = tmp_path / 'share' / 'avsol_ros'
    (share / 'config').mkdir(parents=True)
    (share / 'config' / 'fastdds.xml').touch()
    assert dds_settings.share_folder(tmp_path / 'lib' / 'avsol_ros' / 'share.py') == share


@pytest.mark.parametrize('prefixes', [None, '', '/nowhere'])
def test_a_missing_setup_says_so(tmp_path, monkeypatch, prefixes):
    pytest.importorskip('ament_index_python')
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    if prefixes is not None:
        monkeypatch.setenv('AMENT_PREFIX_PATH', prefixes)
    with pytest.raises(AvsolError, match='or source its setup file'):
        dds_settings.share_folder(tmp_path / 'avsol_ros' / 'transport.py')


def test_qos():
    pytest.importorskip('rclpy')
    from rclpy.qos import QoSReliabilityPolicy

    from avsol_ros.nodes import qos

    assert qos.sensor_qos().reliability == QoSReliabilityPolicy.BEST_EFFORT
    assert qos.sensor_qos('reliable', 3).depth == 3
    assert qos.result_qos().reliability == QoSReliabilityPolicy.RELIABLE
    with pytest.raises(AvsolError, match="reliability is 'sure'; expected one of best_effort"):
        qos.sensor_qos('sure')


def test_the_settings_need_no_ros():
    code = (
        'import sys; sys.modules["rclpy"] = None; import avsol_ros.nodes.dds_settings as t; '
        'import avsol_ros.nodes.parameters as p; t.environment(); p.describe_parameters()'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)
