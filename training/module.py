"""What Lightning trains: the parts of a model after its frozen encoders."""

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torchmetrics import MeanMetric

from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.network import LocalizationModel
from avsol_ros.training.datasets.features import see_frames
from avsol_ros.training.objectives import Outcome, judge, tasks

ENCODERS = ('model.visual_encoder.', 'model.audio_encoder.')


class TrainingModule(LightningModule):
    """
    A model in training.

    :param rate: highest learning rate of the one-cycle schedule of AdamW.
    :param steps: of the whole training.

    :ivar metrics: results of the epoch that has just been trained and validated, by name.
    """

    def __init__(self, model: LocalizationModel, rate: float, decay: float, steps: int):
        super().__init__()
        self.model = model
        self.rate, self.decay, self.steps = rate, decay, steps
        self.metrics = {}
        names = [f'{task}_{what}' for task in tasks(model) for what in ('loss', 'accuracy')]
        self.validation = nn.ModuleDict({name: MeanMetric() for name in names})
        self._totals = torch.zeros(len(tasks(model)))
        self._count = 0

    def train(self, mode: bool = True) -> 'TrainingModule':
        """Everything but the encoders, which stay fixed and in eval mode (section 5.1)."""
        super().train(mode)
        self.model.freeze_encoders()
        return self

    def judge(self, batch: dict[str, torch.Tensor]) -> Outcome:
        """Encoders where they are not cached, and everything after."""
        if 'frames' in batch:
            with torch.no_grad():
                visual = see_frames(self.model.visual_encoder, batch['frames'])
        else:
            visual = batch['visual'].permute(0, 4, 1, 2, 3)
        maps = batch['maps'].float() if 'maps' in batch else None
        audio = AudioFeatures(maps, batch.get('embedding'))
        if not torch.is_autocast_enabled(visual.device.type):
            visual = visual.float()
        return judge(self.model, visual, audio, batch['labels'])

    def on_train_epoch_start(self) -> None:
        self.train()
        self._totals = torch.zeros(len(tasks(self.model)), device=self.device)
        self._count = 0

    def training_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        losses = [loss.mean() for loss in self.judge(batch).losses.values()]
        self._totals += torch.stack(losses).detach()
        self._count += 1
        return sum(losses)

    def on_validation_epoch_start(self) -> None:
        for metric in self.validation.values():
            metric.reset()
        if self.trainer.world_size > 1:
            # On CPUs each process has statistics of its own; what counts are those that are saved.
            for part in self.model.trained():
                for buffer in part.buffers():
                    torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: dict[str, torch.Tensor]) -> None:
        # In single precision, as the model is used: alike however it is cut into batches.
        with torch.autocast(self.device.type, enabled=False):
            found = self.judge(batch)
        for task, loss in found.losses.items():
            self.validation[f'{task}_loss'].update(loss)
            self.validation[f'{task}_accuracy'].update(found.right[task].float())

    def on_validation_epoch_end(self) -> None:
        found = {
            f'val_{name}': float(metric.compute()) for name, metric in self.validation.items()
        }
        # Section 5.2 chooses by accuracy in AVC and in classification; a model that does both,
        # by the mean of the two.
        accuracies = [found[f'val_{task}_accuracy'] for task in tasks(self.model)]
        found['val_selection'] = sum(accuracies) / len(accuracies)
        if self._count:
            mean = self.trainer.strategy.reduce(self._totals / self._count, reduce_op='mean')
            found = {
                f'{task}_loss': float(value) for task, value in zip(tasks(self.model), mean)
            } | found
        self.metrics = found

    def configure_optimizers(self):
        parts = [p for part in self.model.trained() for p in part.parameters()]
        optimizer = torch.optim.AdamW(parts, self.rate, weight_decay=self.decay)
        # OneCycleLR divides by zero where the rate would rise for exactly one step.
        rise = 0.2 if self.steps != 5 else 0.4
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.rate, pct_start=rise, total_steps=self.steps
        )
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Leave the encoders out: they are large and do not change."""
        checkpoint['state_dict'] = {
            name: value
            for name, value in checkpoint['state_dict'].items()
            if not name.startswith(ENCODERS)
        }

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        checkpoint['state_dict'] |= {
            name: value for name, value in self.state_dict().items() if name.startswith(ENCODERS)
        }
