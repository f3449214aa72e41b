"""Every way in which bytes from outside reach Throughtime."""

from __future__ import annotations

from fuzzing import targets_files as files
from fuzzing import targets_options, targets_runs
from fuzzing.seeds import Seeds
from fuzzing.target import Target


def all_targets(seeds: Seeds) -> list[Target]:
    """Every target, in an order that does not change."""
    return [
        *(*files.tables(), *files.metadata(), *files.texts(), *files.standard_input()),
        *(*files.series(), *files.sentences(), *files.lines_of_text(), *files.other_targets()),
        *(*files.arrays(), *files.media(), *files.tars()),
        *targets_options.options(),
        *targets_runs.run_folders(sorted(seeds.files)),
        *(*targets_runs.snapshots(), *targets_runs.foreign_weights()),
    ]
