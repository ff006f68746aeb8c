"""Words in reports and messages of the evaluation."""


def counted(count: int, noun: str) -> str:
    """A number with its noun: ``1 window``, ``2 windows``."""
    return f'{count} {noun}{"" if count == 1 else "s"}'
