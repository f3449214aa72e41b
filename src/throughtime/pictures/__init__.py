"""Pictures of predictions: where a model looked, what it said when. Needs matplotlib, and no torch."""

from throughtime.errors import MissingExtraError
from throughtime.extras import install_command

# Okabe and Ito 2008: told apart by colour-blind readers. A layer has the same colour in every picture.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def require_matplotlib() -> None:
    """Raise MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f"pictures need matplotlib: install it with `{install_command('plots', 'matplotlib')}`"
        ) from None
