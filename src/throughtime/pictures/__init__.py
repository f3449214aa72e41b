"""Pictures of predictions: where a model looked, what it said when. Needs matplotlib, and no torch."""

from throughtime.errors import MissingExtraError
from throughtime.extras import install_command


def require_matplotlib() -> None:
    """Raise MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f"pictures need matplotlib: install it with `{install_command('plots', 'matplotlib')}`"
        ) from None
