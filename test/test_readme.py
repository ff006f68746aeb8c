"""README and docs lead somewhere: every link, anchor, picture and file that they name exists."""

import re

import pytest
from doc_pages import PAGES, README, ROOT, Page

FOLDERS = r'avsol_ros|training|env|launch|config|msg|test|docs|\.ci|\.github'
each_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)


def test_the_readme_is_read_in_a_minute():
    assert len(README.text.splitlines()) <= 160
    assert len(README.text.split()) <= 1000


def test_every_page_can_be_reached_from_the_readme():
    pages = {page.name: page for page in PAGES}
    reached, waiting = set(), [README.name]
    while waiting:
        name = waiting.pop()
        if name in pages and name not in reached:
            reached.add(name)
            waiting += [file for file, _ in targets(pages[name])]
    assert reached == set(pages)


def targets(page: Page) -> list[tuple[str, str]]:
    """Files, from the root, and anchors that a page links to."""
    folder = (ROOT / page.name).parent
    found = []
    for link in page.links:
        if link.startswith(('http://', 'https://')):
            continue
        file, _, anchor = link.partition('#')
        path = (folder / file).resolve() if file else ROOT / page.name
        found.append((path.relative_to(ROOT).as_posix(), anchor))
    return found


@each_page
def test_links_lead_somewhere(page):
    for file, anchor in targets(page):
        assert (ROOT / file).exists(), file
        assert not anchor or anchor in Page(file).anchors, f'{file}#{anchor}'


@each_page
def test_pictures_are_pictures_that_can_be_loaded_quickly(page):
    folder = (ROOT / page.name).parent
    for name in page.pictures:
        assert 10_000 < (folder / name).stat().st_size < 3_000_000


@each_page
def test_files_named_exist(page):
    # Folders end in a slash and files in a suffix; avsol_ros/SoundingObjects is a message.
    for name in re.findall(rf'`((?:{FOLDERS})/(?:[\w/.-]+\.\w+|(?:\w+/)*))`', page.prose):
        assert (ROOT / name).exists(), name


@each_page
def test_modules_named_exist(page):
    if page.name == 'CHANGELOG.md':
        pytest.skip('it tells of modules that are no more')
    for name in re.findall(r'`(avsol_ros(?:\.\w+)+)`', page.prose):
        path = name.replace('avsol_ros.training', 'training').replace('.', '/')
        assert (ROOT / f'{path}.py').exists() or (ROOT / path / '__init__.py').exists(), name


@each_page
def test_every_block_says_what_it_is(page):
    assert page.languages <= {'bash', 'python', 'json', 'text', 'bibtex'}


@each_page
def test_lines_are_short_but_for_tables_and_commands(page):
    for line in page.prose.splitlines():
        assert len(line) <= 105 or line.startswith(('|', '  |', '!')) or '](' in line, line
