"""Pictures of predictions: where a model looked, what it said when. Needs matplotlib, and no torch."""

from throughtime.errors import MissingExtraError


def require_matplotlib() -> None:
    """Raise MissingExtraError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "pictures need matplotlib: install it with `pip install matplotlib`"
        ) from None
