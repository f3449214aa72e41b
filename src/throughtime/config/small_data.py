"""Options that follow the size of the data, so that no default leaves a training with twenty steps."""

from __future__ import annotations

from throughtime.config.options import RunConfig

# Fewer updates leave a recurrent network where it began: on GunPoint's 45 sequences the validation loss is
# 0.66 after 190 steps, 0.12 after 500, and no longer falls from 1,200 on.
LEAST_STEPS = 1_500
# Convolutions have found by then what they will: in cross-validation within ArrowHead, ItalyPowerDemand,
# GunPoint and BasicMotions the validation loss no longer falls after 100 to 450 steps.
LEAST_STEPS_OF_CONVOLUTIONS = 500
# A step of a language model sees the next token in two thousand places, and not eight labels.
LEAST_STEPS_OF_TEXT = 400
# More passes over a handful of examples teach only their noise.
_MOST_EPOCHS = 400
# Evaluations of a training whose epochs are short: more would cost time, and pick the luckiest weights.
_EVALUATIONS = 30
# An epoch has about so many batches at least: gradients of half the data hardly differ from one another.
_BATCHES = 8
_SMALLEST_BATCH = 4
# Fewer labelled examples than this are all learned from. A tenth of them held out, which picks the weights,
# costs more than it tells: in cross-validation within the training part of ItalyPowerDemand (67 examples),
# 98.5 % are right without, and 95.5 % with it. Its test split gives 91.9 % (docs/results.md).
FEWEST_TO_HOLD_OUT = 100
# So few sequences are learned by several networks, which are wrong in other places, and whose convolutions
# find a shape wherever it lies: see docs/results.md.
FEWEST_FOR_ONE_NETWORK = FEWEST_TO_HOLD_OUT
NETWORKS_OF_FEW = 5
CONVOLUTIONS_OF_FEW = 3
# Convolutions see each step four times, and keep what they saw until the gradient: of more steps a training
# would take many minutes, and gigabytes.
MOST_STEPS_OF_FEW = 1_000
_MEASURING = ("validation", "validation_fraction", "folds", "fold")


def holds_nothing_out(config: RunConfig, examples: int) -> bool:
    """Whether examples with a label each are so few that all are learned from.

    Args:
        config: what measures while training, where somebody gave it, stays: a share or a file to validate on,
            folds, and what follows the validation loss.
        examples: before any is held out.
    """
    training = config.training
    follows = training.early_stopping or training.schedule == "plateau" or training.keep_best > 1
    asked = config.given("data") & set(_MEASURING) or (
        training.keep == "best" and "keep" in config.given("training")
    )
    return examples < FEWEST_TO_HOLD_OUT and not asked and not follows


def fit_to_data(
    config: RunConfig, examples: int, what: str = "examples", least_steps: int = LEAST_STEPS
) -> tuple[RunConfig, str]:
    """Choose the batch and the epochs that few examples need.

    Args:
        config: what the user or a preset gave stays as it is.
        examples: to learn from; of streams, how many chunks.
        what: they are, in the plural.
        least_steps: of the whole training.
    Returns:
        The options, and what was chosen, in a line; "" where nothing was.
    """
    batch, epochs = config.training.batch, config.training.epochs
    if "batch" not in config.given("training"):
        while batch > _SMALLEST_BATCH and batch * _BATCHES > examples:
            batch //= 2
    steps = -(-examples // batch)
    if "epochs" not in config.given("training"):
        epochs = max(epochs, min(-(-least_steps // steps), _MOST_EPOCHS))
    evaluate_every = config.training.evaluate_every
    if epochs > _EVALUATIONS and not config.given("training") & {"epochs", "evaluate_every"}:
        evaluate_every = epochs * steps // _EVALUATIONS
    chosen = {
        name: value
        for name, value in (("batch", batch), ("epochs", epochs), ("evaluate_every", evaluate_every))
        if value != getattr(config.training, name)
    }
    if not chosen:
        return config, ""
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    return config.changed(chosen), (
        f"fitted to {examples:,} training {what}: {flags}, which are {epochs * steps:,} steps"
    )
