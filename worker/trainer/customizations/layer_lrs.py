"""Learning rates by layer: the stock optimizer's groups, split by part."""

from worker.trainer.customizations.layers import ModelLayers
from worker.trainer.mixins.rates import split_by_layer
from worker.trainer.run import Composed
from worker.trainer.upstream import Untyped


class LayerRates(Composed):
    """Splits every group that the stock builder returns, and multiplies the rates of the parts.

    Overrides `build_optimizer` (after super), which is called once, before the scheduler takes each
    group's rate as its `initial_lr` (Ultralytics 8.4.190, trainer.py:324). The schedule and the
    warm-up work on those, so the ratios hold at every step, but for one: the warm-up of biases
    begins at `warmup_bias_lr` in every part, as it does in MuSGD's own groups at three times the
    rate (trainer.py:532). The factor says where it ends.

    All other options of a group, as weight decay, `use_muon` and what marks biases, go with its
    parts. Frozen tensors are in the groups as all others. Parts without a tensor are left out;
    which these are follows from spec and model alone, so that a resume finds the same groups.
    """

    def build_optimizer(self, model: Untyped, *arguments: Untyped, **options: Untyped) -> Untyped:
        """Split each group by layer, and multiply the rate of each part."""
        optimizer = super().build_optimizer(model, *arguments, **options)
        layers = ModelLayers.of(model)
        layer_lrs = self.run.job.spec.customize.layer_lrs
        for place, each in enumerate(layer_lrs):
            layers.indices(each.layers, field=f"customize.layer_lrs[{place}].layers")
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
