"""Files on disk to batches of tokens. Nothing here needs torch."""

from throughtime.data.streams import IGNORED_TARGET, ChunkLengths, ContiguousStreams, EvaluationStreams
from throughtime.data.text import read_blocks, read_byte_blocks
from throughtime.data.tokenizer import StreamDecoder, Tokenizer
from throughtime.data.tokens import TokenFile, split, write_tokens
from throughtime.data.vocabularies import TokenizerKind

__all__ = [
    "IGNORED_TARGET",
    "ChunkLengths",
    "ContiguousStreams",
    "EvaluationStreams",
    "StreamDecoder",
    "TokenFile",
    "Tokenizer",
    "TokenizerKind",
    "read_blocks",
    "read_byte_blocks",
    "split",
    "write_tokens",
]
