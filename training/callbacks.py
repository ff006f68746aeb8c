"""What happens at the end of an epoch: the best model, the point to resume from, logs, maps."""

import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO
from lightning.pytorch import Callback

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_bytes, write_text

LAST = 'last.ckpt'
METRICS = 'metrics.csv'
GO_ON = 'make room and run the same command again to go on'


class DurableIO(CheckpointIO):
    """
    Writes checkpoints so that a kill leaves the old one or the new one.

    Loading them executes no code from the file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path, storage_options=None) -> None:
        data = io.BytesIO()  # torch.save says nothing of a full disk, only of its own surprise
        torch.save(checkpoint, data)
        write_bytes(path, data.getbuffer(), GO_ON)

    def load_checkpoint(self, path, map_location=None, weights_only=True) -> dict[str, Any]:
        return torch.load(path, map_location=map_location or 'cpu', weights_only=True)

    def remove_checkpoint(self, path) -> None:
        Path(path).unlink(missing_ok=True)


class EpochOrder(Callback):
    """
    Tells the plan of a resumed run its epoch before batches are asked for.

    Lightning sets the epoch of a sampler after it has made the loader's iterator. A loader with
    workers asks for the first batches, and so for the order of the whole epoch, when its iterator
    is made: a resumed run would repeat the order of epoch 0.

    :param plan: with a ``set_epoch``.
    """

    def __init__(self, plan):
        self.plan = plan

    def on_load_checkpoint(self, trainer, module, checkpoint: dict[str, Any]) -> None:
        self.plan.set_epoch(checkpoint['epoch'] + 1)


class Journal(Callback):
    """
    Keeps the results of all epochs, and the model of the best (section 5.2).

    After each epoch in this order, so that a kill between any two of them loses nothing: what is
    done again after it gives the same.

    :param save_best: called with the module, the epoch and its metrics when it is the best so
        far, the earliest of equals.
    :param report: called with one line per epoch.
    """

    def __init__(self, folder: Path, save_best: Callable, report: Callable[[str], None]):
        self.folder, self.save_best, self.report = folder, save_best, report
        self.rows = []
        self.best = None
        self.kept = 0  # epochs, from the end of which the same command goes on
        self._started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {'rows': self.rows, 'best': self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.best = state['rows'], state['best']
        self.kept = len(self.rows)

    def on_train_epoch_start(self, trainer, module) -> None:
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer, module) -> None:
        epoch = trainer.current_epoch + 1
        metrics = dict(module.metrics)
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise AvsolError(
                f'{bad[0]} is not a finite number in epoch {epoch}; expected losses '
                'to stay finite: take a lower --rate and another --out'
            )
        row = {'epoch': epoch, **metrics}
        best = self.best is None or metrics['val_selection'] > self.best['val_selection']
        self.rows = [*self.rows, row]
        if best:
            self.best = row
        if trainer.is_global_zero:
            if best:
                self.save_best(module, row)
            self._write()
            for logger in trainer.loggers:
                logger.log_metrics(metrics, epoch)
                logger.save()
        trainer.save_checkpoint(self.folder / LAST)
        self.kept = epoch
        if trainer.is_global_zero:
            self.report(self._line(row, trainer.max_epochs, best))

    def _write(self) -> None:
        lines = [','.join(self.rows[0])]
        lines += [','.join(f'{value:.9g}' for value in row.values()) for row in self.rows]
        write_text(self.folder / METRICS, '\n'.join(lines) + '\n', GO_ON)

    def _line(self, row: dict, epochs: int, best: bool) -> str:
        numbers = [
            f'{name.replace("_", " ")} {value:.3f}'
            for name, value in row.items()
            if name not in ('epoch', 'val_selection')
            and not (name.startswith('val') and name.endswith('loss'))
        ]
        return (
            f'epoch {row["epoch"]}/{epochs} {", ".join(numbers)}, '
            f'{time.monotonic() - self._started:.0f} s{", best so far" * best}'
        )
