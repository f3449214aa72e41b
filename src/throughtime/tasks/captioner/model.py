"""A picture to words: one to many."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.draws import dropout
from throughtime.encoders.encoder import Encoder
from throughtime.models.functions import Definition, state_outputs, state_ports
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.tasks.captioner.attention_over_image import AttentionOverImage
from throughtime.tasks.captioner.options import CaptionerNetwork


@dataclass(frozen=True)
class Decoding:
    """Where the writing of captions stands.

    Args:
        recurrent: the recurrence's state, tensors (L, B, S).
        image: what enters at every step, (B, W); None where the image enters only once.
        grid: the places that attention chooses among, (B, P, A); None without attention.
        keys: the part of the attention's scores that does not change, (B, P, K); None without attention.
    """

    recurrent: State
    image: Tensor | None = None
    grid: Tensor | None = None
    keys: Tensor | None = None


class Captioner(nn.Module):
    """Image features enter a recurrence; words come out until END.

    The features v enter in one of five ways, `config.image_input`:

        every-step      h_t = tanh(W_hh h_{t-1} + W_xh x_t + W_ih v)   (Karpathy and Fei-Fei 2015; Mao et al.
                        2015). For every cell: v stands beside the word in the cell's input.
        first-input     x_0 = W v, then START and the words (Vinyals et al. 2015, equations 10 to 12)
        initial-state   h_0 (and c_0) = W v + b
        attention       x_t and a mean over the feature grid, weighted anew at each step (Xu et al. 2015)
        late-attention  the mean stands beside h_t, not x_t: what is looked at depends on the word just read
                        (Lu et al. 2017, equations 6 to 8)

    Tokens: those of the tokenizer, 0 to V - 1, then END = V and START = V + 1. START is read, never written.

    Args:
        config: the sizes and options.
        vocabulary_size: V.
        encoder: images, or what was cached of them, to features.
    """

    def __init__(self, config: CaptionerNetwork, vocabulary_size: int, encoder: Encoder) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.end, self.start = vocabulary_size, vocabulary_size + 1
        self.encoder = encoder
        width = config.image_embedding or encoder.size
        self.embedding = nn.Embedding(vocabulary_size + 2, config.embedding)
        enters_always = config.image_input in ("every-step", "attention")
        self.recurrent = Recurrent(
            config.cell,
            config.embedding + (width if enters_always else 0),
            config.hidden,
            **config.recurrent_options(),
        )
        self.image: nn.Linear | None = None
        if config.image_input == "first-input":
            self.image = nn.Linear(encoder.size, config.embedding)
        elif config.image_input == "initial-state":
            self.image = nn.Linear(encoder.size, config.layers * sum(self.recurrent.state_sizes))
        elif config.image_embedding:
            # Without a bias: the cell has one.
            self.image = nn.Linear(encoder.size, width, bias=config.attends)
        self.attention = (
            AttentionOverImage(width, self.recurrent.output_size, config.attention_size, config.embedding)
            if config.attends
            else None
        )
        self.initial = (
            nn.Linear(width, config.layers * sum(self.recurrent.state_sizes)) if self.attention else None
        )
        read = config.embedding if self.attention else self.recurrent.output_size
        self.output = nn.Linear(read, vocabulary_size + 1)
        initialise(self, config)

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of the word after each, with the true words fed (teacher forcing).

        Args:
            images: (B, ...) as the encoder reads them.
            tokens: (T, B) int64, START first.
        Returns:
            Logits (T, B, V + 1), and with attention its weights (T, B, P), else None.
        """
        decoding = self.begin(images)
        words = self._drop(self.embedding(tokens), self.config.input_dropout)
        if self.attention is not None:
            return self._attend_through_time(words, decoding)
        if decoding.image is not None:
            words = torch.cat([words, decoding.image.to(words.dtype).expand(words.shape[0], -1, -1)], -1)
        outputs, _ = self.recurrent(words, decoding.recurrent)
        return self.output(self._drop(outputs, self.config.output_dropout)), None

    def begin(self, images: Tensor) -> Decoding:
        """Let the image in; the next token to read is START.

        Args:
            images: (B, ...) as the encoder reads them.
        """
        features = self.encoder(images)  # (B, F), or (B, P, F) for attention
        features = dropout(features, self.config.feature_dropout, self.training, rows=0)
        if self.attention is not None and self.initial is not None:
            grid = features if self.image is None else torch.relu(self.image(features))
            state = self._state(self.initial(grid.mean(1)))
            return Decoding(state, grid=grid, keys=self.attention.project(grid))
        if self.config.image_input == "every-step":
            image = features if self.image is None else self.image(features)
            return Decoding(self.recurrent.initial_state(image.shape[0], image), image)
        assert self.image is not None
        entered = self.image(features)
        if self.config.image_input == "initial-state":
            return Decoding(self._state(entered))
        _, state = self.recurrent(entered[None])
        return Decoding(state)

    def functions(self) -> dict[str, Definition]:
        """encoder: images to the first state. step: a word to the logits of the next.

        What enters at every step lies between them: image, or grid and keys.
        """
        shape, dtype, meaning = self.encoder.reads
        recurrent, attention = self.recurrent, self.attention
        width = self.config.image_embedding or self.encoder.size
        entering: list[Port] = []
        if attention is not None:
            places = self.encoder.places
            keys = attention.key.out_features
            entering = [
                Port("grid", "float32", ("B", places, width), "what attention weighs"),
                Port("keys", "float32", ("B", places, keys), "what attention compares with"),
            ]
        elif self.config.image_input == "every-step":
            entering = [Port("image", "float32", ("B", width), "enters at every step")]

        def encode(images: Tensor) -> tuple[Tensor, ...]:
            begun = self.begin(images)
            kept = (part for part in (begun.image, begun.grid, begun.keys) if part is not None)
            return *kept, *begun.recurrent

        def step(token: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            count = len(recurrent.state_sizes)
            state, kept = rest[:count], rest[count:]
            words = self.embedding(token)
            if attention is not None:
                outputs, after, alpha = self._attend(words, Decoding(state, None, *kept))
                return self.output(outputs), *after.recurrent, alpha
            outputs, after = recurrent(torch.cat([words, *kept], -1)[None], state)
            return self.output(outputs[0]), *after

        name = "images" if dtype == "uint8" else "features"
        images = Port(name, dtype, ("B", *shape), meaning)
        token = Port("token", "int64", ("B",), "the word before; START at first", self.start + 1)
        kept = {port.name: port.meaning for port in entering}
        outputs = {"logits": "of the next word, END the last", **state_outputs(recurrent)}
        outputs |= {} if attention is None else {"attention": "where the step looked; the sum is 1"}
        return {
            "encoder": Definition(encode, (images,), {**kept, **state_outputs(recurrent, "")}),
            "step": Definition(step, (token, *state_ports(recurrent), *entering), outputs),
        }

    def _attend(
        self, words: Tensor, decoding: Decoding, mask: Tensor | None = None
    ) -> tuple[Tensor, Decoding, Tensor]:
        """One step with attention, up to what the output layer reads (B, E); and the weights (B, P)."""
        attention, grid, keys = self.attention, decoding.grid, decoding.keys
        assert attention is not None and grid is not None and keys is not None
        if self.config.image_input == "late-attention":
            outputs, state = self.recurrent(words[None], decoding.recurrent)
            context, alpha = (part[:, 0] for part in attention(outputs[0][:, None], grid, keys))
        else:
            before = decoding.recurrent[0][-1][:, None]
            context, alpha = (part[:, 0] for part in attention(before, grid, keys))
            inputs = torch.cat([words, context.to(words.dtype)], -1)
            outputs, state = self.recurrent(inputs[None], decoding.recurrent)
        hidden = outputs[0] if mask is None else outputs[0] * mask
        return attention.read_out(hidden, words, context), replace(decoding, recurrent=state), alpha

    def _attend_through_time(self, words: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
        """A loop over time: what is looked at depends on the state, and the state on it unless it is late."""
        if self.config.image_input == "late-attention":
            return self._attend_late(words, decoding)
        ones = words.new_ones(*words.shape[:2], self.recurrent.output_size)
        masks = self._drop(ones, self.config.output_dropout)
        outputs: list[Tensor] = []
        alphas: list[Tensor] = []
        for word, mask in zip(words.unbind(0), masks.unbind(0), strict=True):
            output, decoding, alpha = self._attend(word, decoding, mask)
            outputs.append(output)
            alphas.append(alpha)
        return self.output(torch.stack(outputs)), torch.stack(alphas)

    def _attend_late(self, words: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
        """One scan over all steps, as nothing that is looked at enters it."""
        attention, grid, keys = self.attention, decoding.grid, decoding.keys
        assert attention is not None and grid is not None and keys is not None
        outputs, _ = self.recurrent(words, decoding.recurrent)
        contexts, alphas = (part.transpose(0, 1) for part in attention(outputs.transpose(0, 1), grid, keys))
        hidden = self._drop(outputs, self.config.output_dropout)
        return self.output(attention.read_out(hidden, words, contexts)), alphas

    def _state(self, values: Tensor) -> State:
        """Cut (B, L * sum of S) into the recurrence's state, tensors (L, B, S)."""
        sizes = self.recurrent.state_sizes
        layers = values.view(values.shape[0], self.config.layers, sum(sizes)).transpose(0, 1)
        return tuple(part.contiguous() for part in layers.split(sizes, -1))

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(sequence, probability, self.training)
        return dropout(sequence, probability, self.training)
