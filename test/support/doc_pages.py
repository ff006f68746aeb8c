"""README and docs as tests see them: pages, and their commands, examples, links and headings."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Programs whose name at the beginning of `inline code` makes it a command.
_PROGRAMS = r'avsol|make|ros2|python|pip|torchrun|apt|dnf|pre-commit'
_FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.M | re.S)
_INLINE = re.compile(rf'`((?:{_PROGRAMS}) [^`]+)`')
_LINK = re.compile(r'(!?)\[[^]]*\]\(([^)\s]+)\)')
# A block with one of these is a script: its lines need each other.
_SCRIPT = re.compile(r'^for |&$', re.M)


@dataclass(frozen=True)
class Page:
    """A Markdown file; ``name`` is its path from the root of the repository."""

    name: str

    @cached_property
    def text(self) -> str:
        return (ROOT / self.name).read_text(encoding='utf-8')

    @property
    def prose(self) -> str:
        """The text without fenced blocks."""
        return _FENCE.sub('', self.text)

    def blocks(self, language: str) -> list[str]:
        """Fenced blocks of a language, in order."""
        return [block for found, block in _FENCE.findall(self.text) if found == language]

    @property
    def languages(self) -> set[str]:
        """Languages of all fenced blocks; '' of a block without one."""
        return {found for found, _ in _FENCE.findall(self.text)}

    @property
    def commands(self) -> list[str]:
        """
        Commands that a reader may type: each line of a bash block, and inline code.

        A block whose lines need each other is one command. What stands for something, as
        ``avsol <verb>``, is none.
        """
        found = []
        for block in self.blocks('bash'):
            if _SCRIPT.search(block):
                found.append(block.strip())
            else:
                found += block.replace('\\\n', ' ').strip().splitlines()
        inline = [' '.join(command.split()) for command in _INLINE.findall(self.prose)]
        return found + [command for command in inline if '<' not in command]

    @property
    def links(self) -> list[str]:
        """Targets of all links and pictures."""
        return [target for _, target in _LINK.findall(self.prose)]

    @property
    def pictures(self) -> list[str]:
        return [target for mark, target in _LINK.findall(self.prose) if mark]

    @property
    def anchors(self) -> set[str]:
        """Anchors of the headings, as GitHub makes them."""
        titles = re.findall(r'^#+ (.+)$', self.prose, re.M)
        return {
            re.sub(r'[^\w\- ]', '', re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', title))
            .lower()
            .replace(' ', '-')
            for title in titles
        }


PAGES = [
    Page(path.relative_to(ROOT).as_posix())
    for path in (
        ROOT / 'README.md',
        ROOT / 'CONTRIBUTING.md',
        ROOT / 'CHANGELOG.md',
        *sorted((ROOT / 'docs').glob('*.md')),
    )
]
README = PAGES[0]
# What a reader may type. The changelog tells of commands that are no more.
COMMANDS = sorted({c for page in PAGES if page.name != 'CHANGELOG.md' for c in page.commands})
