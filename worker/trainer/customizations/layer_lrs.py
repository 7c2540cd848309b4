"""Learning rates by layer: splits the stock optimizer's groups by part."""

from worker.trainer.customizations.layers import ModelLayers
from worker.trainer.mixins.rates import split_by_layer
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Untyped


class LayerRates(TrainerMixin):
    """Splits every group that the stock builder returns, and multiplies the rates of the parts.

    Overrides `build_optimizer` (after super), which is called once, before the scheduler takes each
    group's rate as its `initial_lr` (Ultralytics 8.4.190, trainer.py:324). The schedule and the
    warm-up use `initial_lr`, so the ratios hold at every step, with one exception: the warm-up of
    biases begins at `warmup_bias_lr` in every part, as it does in MuSGD's own groups at three times
    the rate (trainer.py:532), and ends at the rate with the factor.

    The parts inherit all other options of a group, such as weight decay, `use_muon` and the mark of
    biases. Frozen tensors are in the groups like all others. Parts without a tensor are left out;
    spec and model alone determine which parts these are, so a resume has the same groups.
    """

    def build_optimizer(self, model: Untyped, *arguments: Untyped, **options: Untyped) -> Untyped:
        """Split each group by layer, and multiply the rate of each part."""
        optimizer = super().build_optimizer(model, *arguments, **options)
        layers = ModelLayers.of(model)
        layer_lrs = self.run.job.spec.customize.layer_lrs
        for place, layer_lr in enumerate(layer_lrs):
            layers.indices(layer_lr.layers, field=f"customize.layer_lrs[{place}].layers")
        names = {id(tensor): name for name, tensor in model.named_parameters()}
        split = tuple(
            split_by_layer(
                optimizer.param_groups,
                names,
                layer_lrs=layer_lrs,
                backbone_layers=layers.backbone,
            )
        )
        optimizer.param_groups.clear()
        for _, group in split:
            optimizer.add_param_group(group)
        self.rate_names = tuple(name for name, _ in split)
        return optimizer
