"""What every section of options is."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from throughtime.encodings import check_encoding

# Whole numbers have an end, so that a typing mistake or a damaged config.toml is named, and does not ask for
# all memory. A recurrence with more units than this would have matrices of 16 GiB.
MOST_UNITS = 1 << 16
MOST_LAYERS = 256
# A product of a layer's sizes stays within 31 bits, see `kLargestSide` in native/bindings.h.
MOST_TOKENS = 1 << 24
# Of what is counted and takes no memory of its own: steps, epochs, evaluations.
MOST_COUNTED = (1 << 31) - 1
# Rates and weights, which are multiplied with each other in 32 bits.
MOST_RATE = 1e6

# Options that several tasks have, each at its place among the others.
Encoding = Annotated[str, AfterValidator(check_encoding)]
SkipBad = Annotated[
    bool,
    Field(description="Leave out examples that cannot be used, with a count, instead of stopping."),
]
AllowOutsideFiles = Annotated[
    bool,
    Field(
        description="Read files that a table names outside its own folder: by absolute names, `..` or links."
    ),
]
GroupBy = Annotated[
    str | None,
    Field(
        description="Rows with the same value in this column belong together and become one row with lists: "
        "the words of a sentence, the clicks of a user, the steps of a recording."
    ),
]
OnceInGroup = Annotated[
    str | None,
    Field(
        description="With --group-by: the columns with one value for each group, such as its label, between "
        "commas (default: those of the training data that have one)."
    ),
]
Decimal = Annotated[
    Literal[",", "."] | None,
    Field(
        description="How the numbers of a .csv or .tsv file are written: `,` for 1.234,5 and `.` for 1,234.5 "
        "or $1,234.50 (default: plain numbers such as 1234.5, or what the training data shows)."
    ),
]
Fill = Annotated[
    Literal["none", "zero", "previous", "linear"],
    Field(
        description="What takes the place of empty cells and NaN in arrays: zeros, the value before, or "
        "the line between the values around; none refuses them."
    ),
]


class Section(BaseModel):
    """Options that belong together: typed, with a range and a description each; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Help begins with what most users give; what comes from a base class would stand first otherwise.
    listed_last: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def listed(cls) -> list[str]:
        """The names of the options in the order in which help shows them."""
        return sorted(cls.model_fields, key=lambda name: name in cls.listed_last)

    @field_validator("*")
    @classmethod
    def _can_be_written(cls, value: Any) -> Any:
        """A file's name may hold bytes that are no UTF-8, which Python hands on as surrogates."""
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise PydanticCustomError(
                        "not_unicode", "must be UTF-8, as config.toml is (rename the file or the column)"
                    ) from None
        return value
