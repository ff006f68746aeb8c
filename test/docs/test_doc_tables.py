"""What docs list is what the code has."""

import re
from xml.etree import ElementTree

import pytest
import yaml
from doc_pages import PAGES, README, ROOT, Page
from doc_tables import TABLES, pattern


@pytest.mark.parametrize('page, name', TABLES)
def test_a_table_is_the_code_s(page, name):
    [written] = pattern(name).findall(Page(page).text)
    assert written == f'{TABLES[page, name]()}\n', (
        'write the tables anew: .venv/bin/python test/support/doc_tables.py'
    )


def test_every_marked_table_is_compared():
    marked = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r'^<!-- ([^/].*?) -->$', page.text, re.M)
    }
    assert marked == set(TABLES)


@pytest.mark.parametrize('page', ['README.md', 'docs/topics.md'])
def test_every_topic_that_is_published_is_listed(page):
    pytest.importorskip('rclpy')
    from avsol_ros.nodes.result_publishers import TOPICS

    listed = re.findall(r'^\| `avsol_localizer/(\w+)` \| `(\w+)/(\w+)`', Page(page).text, re.M)
    found = {
        name: f'{kind.__module__.split(".")[0]}/{kind.__name__}' for name, kind in TOPICS.items()
    }
    assert {name: f'{package}/{kind}' for name, package, kind in listed} == found


def test_every_field_of_the_message_is_told():
    message = (ROOT / 'msg' / 'SoundingObjects.msg').read_text()
    fields = re.findall(r'^[\w/]+(?:\[\])? (\w+)$', message, re.M)
    section = Page('docs/topics.md').text.partition('## SoundingObjects')[2].partition('\n## ')[0]
    assert fields and set(fields) <= set(re.findall(r'`(\w+)`', section))


def test_every_room_is_told():
    told = re.findall(r'^\| (`.+?) \|', Page('docs/architecture.md').text, re.M)
    named = {name for cell in told for name in re.findall(r'`([\w/]+/)`', cell)}
    rooms = {
        f'{path.parent.relative_to(ROOT).as_posix()}/'
        for room in ('avsol_ros', 'training')
        for path in (ROOT / room).rglob('__init__.py')
    }
    assert rooms <= named


def test_every_module_that_all_rooms_use_is_told():
    text = Page('docs/architecture.md').text
    for path in (ROOT / 'avsol_ros').glob('[a-z]*.py'):
        assert f'`{path.name}`' in text, path.name


def test_every_engine_is_told():
    from avsol_ros.inference.engine import ENGINES

    column = re.findall(r'^\| `([\w-]+)` \|', Page('docs/speed.md').text, re.M)
    assert column == ['engine', *ENGINES[1:]]


def test_a_robot_gets_from_pip_what_rosdep_does_not_bring():
    said = re.search(r'pip install ([\w ]+\w)', (ROOT / 'package.xml').read_text())[1]
    for page in ('README.md', 'docs/install.md'):
        assert f'\npip install {said}\n' in Page(page).text


def test_style_is_checked_alike_everywhere():
    pinned = re.search(r'^ruff==(.+)$', (ROOT / 'env/requirements.txt').read_text(), re.M)[1]
    hooks = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    assert [repo['rev'] for repo in hooks if 'ruff' in repo['repo']] == [f'v{pinned}']


def test_the_citation_has_the_version_and_the_licence_of_the_package():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert citation['version'] == manifest.findtext('version')
    assert citation['license'] == manifest.findtext('license')
    names = [author['family-names'] for author in citation['preferred-citation']['authors']]
    assert all(name in README.text for name in names)
    title = citation['preferred-citation']['title']
    assert title in ' '.join(README.text.split())


def test_continuous_integration_runs_what_a_developer_runs():
    workflow = yaml.safe_load((ROOT / '.github' / 'workflows' / 'ci.yml').read_text())
    [job] = workflow['jobs'].values()
    assert [step['run'] for step in job['steps'] if 'run' in step] == ['.ci/run']
