"""Sessions of a language model: slots of the engine, decoders, and journals of tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.generation.text import random_seed
from throughtime.runtime import generators
from throughtime.runtime.sampling import SamplingOptions
from throughtime.server.errors import ApiError
from throughtime.server.live_sessions import LiveSessions
from throughtime.server.rows import Row, TextLive
from throughtime.server.session_requests import CreateRequest
from throughtime.server.store import Append, Entry, Put, Store, StoredSession
from throughtime.server.text_model import TextModel
from throughtime.tasks.language_model.line_session import LineSession

# What a slot takes besides its numbers, and what Python keeps of a session: about.
_BYTES_BESIDES = 2048


class TextSessions(LiveSessions[TextLive]):
    """Sessions of a language model.

    Args:
        model: the model.
        store: where they are kept.
        memory: bytes of states that are kept in memory.
        time_to_live: seconds, of a session that says nothing else.
    """

    def __init__(self, model: TextModel, store: Store, memory: int, time_to_live: float) -> None:
        engine = model.engine
        slot_bytes = 4 * (engine.state_size + engine.vocabulary_size) + _BYTES_BESIDES
        super().__init__(store, model.identity, memory // slot_bytes, time_to_live)
        self.model = model

    def open(self, name: str, request: CreateRequest) -> TextLive:
        seed = random_seed() if request.seed is None else request.seed
        given = {"metadata": request.metadata}
        return self.create(name, request.sampling(), seed, request.ttl, request.conditions, given)

    def described(self, live: TextLive) -> dict[str, Any]:
        facts = live.facts
        return {
            "id": live.id,
            "object": "session",
            "model": self.model.name,
            "position": live.position,
            "seed": facts["seed"],
            "created": int(facts["created"]),
            "expires": int(live.expires),
            "options": facts["options"],
            "conditions": facts.get("conditions"),
            "metadata": facts.get("metadata") or {},
            "forked_from": facts.get("forked_from"),
            "busy": live.busy,
        }

    def create(
        self,
        name: str,
        options: SamplingOptions,
        seed: int,
        time_to_live: float | None = None,
        conditions: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        first_state: NDArray[np.float32] | None = None,
    ) -> TextLive:
        """A new session that has read nothing.

        Args:
            name: its own.
            options, seed: of its draws.
            time_to_live: seconds after its last call.
            conditions: lines: what steers them.
            given: what else is kept with it.
            first_state: what it begins with, where no conditions say it.
        """
        state = self.model.first_state(conditions) if first_state is None else first_state
        facts = {
            "options": asdict(options),
            "seed": seed,
            "time_to_live": time_to_live or self.time_to_live,
            "created": time.time(),
            "conditions": dict(conditions) if conditions else None,
            **(given or {}),
        }
        (slot,) = self.model.open([self.model.draws(options, seed)], state).tolist()
        live = TextLive(
            name, slot, facts, decoder=self.model.new_decoder(), options=options, first_state=state
        )
        live.expires = time.time() + facts["time_to_live"]
        self.admit(live)
        return live

    def fork(self, live: TextLive, name: str, seed: int | None) -> TextLive:
        (slot,) = self.model.engine.fork([live.slot]).tolist()
        decoder = self.model.new_decoder()
        decoder.restore(live.decoder.state())
        facts = {**live.facts, "created": time.time(), "forked_from": live.id}
        copy = TextLive(name, slot, facts, live.position, decoder=decoder, options=live.options)
        copy.complete, copy.first_state = live.complete, live.first_state
        copy.expires = time.time() + facts["time_to_live"]
        if seed is not None:
            facts["seed"] = seed
            words = generators.seeded(seed, [0])
            self.model.engine.set_generators([slot], words)
        self.admit(copy)
        return copy

    def set_options(self, live: TextLive, options: SamplingOptions) -> None:
        """Draw with other options from now on, which the store is not told of."""
        (draws,) = self.model.engine.draws([live.slot])
        self.model.engine.set_draws([live.slot], [replace(draws, options=options)])

    def close(self, live: TextLive) -> None:
        self.model.engine.close([live.slot, live.backup] if live.backup >= 0 else [live.slot])

    # ---- rows

    def release(self, row: Row) -> None:
        """A row that came to its end, and of which the store knows."""
        live = row.live
        if live is None:
            self.model.engine.close([row.slot])
            return
        if row.error is not None:
            if row.is_draft:
                self.end(live, "its call failed")
            else:
                self.drop(live)
            return
        if row.own_options is not None:
            self.set_options(live, live.options)
        if live.backup >= 0:
            self.model.engine.close([live.backup])
            live.backup = -1
        live.busy = False
        if row.is_draft and not row.keeps_draft:
            self.end(live, "it was not to be kept")
        else:
            self.moved(live)

    def abandon(self, row: Row) -> None:
        """A row that nobody waits for any more. A session stands at what was committed of it."""
        live = row.live
        if live is not None and row.is_draft:
            self.end(live, "its call was broken off")
        elif live is not None and (row.atomic or row.entries):
            self.drop(live)
        else:
            row.error = None
            self.release(row)

    def begin_line(self, live: TextLive) -> bool:
        """Put the first state in place where a line begins after another; whether one begins."""
        if not self.model.writes_lines or not live.complete:
            return False
        if live.position:
            self._set_first_state(live)
        live.complete = False
        return True

    def _set_first_state(self, live: TextLive) -> None:
        self.model.engine.set_states([live.slot], self._first_state(live)[None])

    def _first_state(self, live: TextLive) -> NDArray[np.float32]:
        return self.model.own_first_state if live.first_state is None else live.first_state

    def journal_of(self, live: TextLive, call: dict[str, Any]) -> list[Entry]:
        """What a call that was broken off has read and drawn.

        Raises:
            ApiError: the journal does not go back so far.
        """
        start = call["start"]
        entries = [one for one in self._journal(live) if one.position >= start]
        if live.position > start and (not entries or entries[0].position != start):
            raise ApiError(
                409,
                "too_long_ago",
                "the call was broken off so long ago that it cannot be taken up",
                facts={"position": live.position},
                headers={"x-should-retry": "false"},
            )
        return entries

    def _journal(self, live: TextLive) -> list[Entry]:
        """What is kept of what a session has read and drawn, with what this tick has still to commit."""
        entries = [entry for one in self.store.load([live.id]).values() for entry in one.journal]
        for one in self.changes:
            if isinstance(one, Append) and one.id == live.id:
                entries.append(one.entry)
            elif isinstance(one, Put) and one.id == live.id:
                end = one.session.snapshot_position
                entries = [entry for entry in entries if one.keep_from <= entry.position < end]
        return entries

    def go_on(self, row: Row, key: str, call: dict[str, Any], entries: Sequence[Entry]) -> None:
        """Take up a call that was broken off: what it drew is told again, and the rest is drawn."""
        live = row.live
        assert live is not None
        decoder = self.model.new_decoder()
        decoder.restore(call["decoder"])
        row.output.decoder = live.decoder = decoder
        if row.own_options is not None and row.own_options.repetition_penalty != 1:
            # These of the call alone: they have seen what it has read and drawn.
            self._see(live, entries)
        row.key, row.call = key, call
        live.keep_from, live.may_have_open_call = call["start"], True
        read = 0
        for entry in entries:
            tokens = np.frombuffer(entry.tokens, "<i4").tolist()
            if not entry.drawn:
                row.output.skip(tokens)
                read += len(tokens)
                continue
            row.drawn += entry.drawn
            row.limit -= entry.drawn
            row.tokens += tokens
            row.write(row.output.push(tokens)[0])
        row.reads = row.reads[read:]
        if not len(row.reads) and not row.limit:
            self.model.end(row, "length")

    def _see(self, live: TextLive, entries: Sequence[Entry]) -> None:
        marks = self.model.engine.seen([live.slot])
        for entry in entries:
            marks[0, np.frombuffer(entry.tokens, "<i4")] = 1
        self.model.engine.set_seen([live.slot], marks)

    # ---- many at once

    def step_many(
        self, steps: Sequence[tuple[str, Sequence[int], int | None]], wants_logits: bool
    ) -> tuple[list[tuple[int, ApiError | None]], NDArray[np.float32] | None]:
        """Read tokens in many sessions at once.

        Args:
            steps: of each the session, its tokens, and the position that it is expected at.
            wants_logits: give the logits after the last token of each.
        Returns:
            Of each the position afterwards, and what was wrong; and the logits (N, V) of those with which
            nothing was.
        """
        found = self.get_many([name for name, _, _ in steps])
        results: list[tuple[int, ApiError | None]] = [(0, None)] * len(steps)
        places: list[int] = []
        lives: list[TextLive] = []
        named: set[str] = set()
        V = self.model.engine.vocabulary_size
        for place, (name, tokens, position) in enumerate(steps):
            one = found[name]
            try:
                if isinstance(one, ApiError):
                    raise one
                if name in named:
                    raise ApiError(400, "named_twice", f"the session {name!r:.100} is named twice")
                if tokens and not 0 <= min(tokens) <= max(tokens) < V:
                    self.model.checked(tokens)
                lives.append(self.free(one, position))
                places.append(place)
                named.add(name)
            except ApiError as error:
                results[place] = (one.position if isinstance(one, TextLive) else 0, error)
        if not lives:
            return results, None
        for live in lives:
            self.supersede(live)
        logits = self.read_many(lives, [steps[place][1] for place in places], wants_logits)
        for place, live in zip(places, lives, strict=True):
            results[place] = (live.position, None)
        return results, logits

    def read_many(
        self, lives: Sequence[TextLive], tokens: Sequence[Sequence[int]], wants_logits: bool
    ) -> NDArray[np.float32] | None:
        """Read tokens, of the vocabulary, in each session; the logits (N, V) afterwards.

        A line begins with what stands before its first token.
        """
        resets = [False] * len(lives)
        if self.model.writes_lines:
            resets = [bool(one) and self.begin_line(live) for live, one in zip(lives, tokens, strict=True)]
        if any(resets):
            end = self.model.end_token
            tokens = [[end, *one] if begins else one for begins, one in zip(resets, tokens, strict=True)]  # type: ignore[list-item]
        slots = np.array([live.slot for live in lives], np.int64)
        lengths = [len(one) for one in tokens]
        flat = np.fromiter(chain.from_iterable(tokens), np.int64, sum(lengths))
        logits = self.model.engine.read_ragged(slots, flat, lengths, logits=wants_logits)
        content = flat.astype("<i4").tobytes()
        first = 0
        for live, one, begins in zip(lives, tokens, resets, strict=True):
            if one:
                last = first + 4 * len(one)
                entry = Entry(live.position, 0, content[first:last], begins and live.position > 0)
                self.read(live, entry)
                first = last
                live.position += len(one)
                for token in one:
                    live.decoder.push(token)
        return logits

    # ---- from the store and back

    def restore(self, stored: Sequence[StoredSession]) -> list[TextLive]:
        model = self.model
        options = [SamplingOptions(**one.facts["options"]) for one in stored]
        draws = [model.draws(own, one.facts["seed"]) for own, one in zip(options, stored, strict=True)]
        slots = model.open(draws).tolist()
        lives = []
        for one, own, slot in zip(stored, options, slots, strict=True):
            live = TextLive(
                one.id, slot, one.facts, one.snapshot_position, decoder=model.new_decoder(), options=own
            )
            live.saved_position, live.expires = one.snapshot_position, one.expires
            live.may_have_open_call = True  # that only the store knows of
            if one.facts.get("first_state") is not None:
                live.first_state = np.array(one.facts["first_state"], np.float32)
            elif one.facts.get("conditions"):
                live.first_state = model.first_state(one.facts["conditions"])
            if one.snapshot is not None:
                live.decoder.restore(one.facts["decoder"])
                live.complete = one.facts["complete"]
                live.keep_from = one.facts["keep_from"]
            elif live.first_state is not None:
                model.engine.set_states([slot], live.first_state[None])
            lives.append(live)
        pairs = list(zip(stored, lives, strict=True))
        self._put_back([pair for pair in pairs if pair[0].snapshot is not None])
        self._replay(pairs)
        return lives

    def _put_back(self, saved: Sequence[tuple[StoredSession, TextLive]]) -> None:
        """The states of snapshots."""
        if not saved:
            return
        engine = self.model.engine
        S, V = engine.state_size, engine.vocabulary_size
        blobs = [one.snapshot or b"" for one, _ in saved]
        slots = np.array([live.slot for _, live in saved], np.int64)
        states = np.stack([np.frombuffer(blob, "<f4", S) for blob in blobs])
        engine.set_states(slots, states.astype(np.float32))
        words = [np.frombuffer(blob, "<u8", generators.WORDS, 4 * S) for blob in blobs]
        engine.set_generators(slots, np.stack(words).astype(np.uint64))
        engine.set_positions(slots, [live.position for _, live in saved])
        # Logits are kept only where the state does not give them.
        behind = 4 * S + 8 * generators.WORDS
        follow = np.array([len(blob) == behind for blob in blobs])
        if follow.any():
            engine.recompute_logits(slots[follow])
        for (one, live), blob, follows in zip(saved, blobs, follow.tolist(), strict=True):
            if not follows:
                logits = np.frombuffer(blob, "<f4", V, behind)[None].astype(np.float32)
                engine.set_logits([live.slot], logits)
            if one.facts.get("seen"):
                marks = np.zeros((1, V), np.uint8)
                marks[0, one.facts["seen"]] = 1
                engine.set_seen([live.slot], marks)

    def _replay(self, saved: Sequence[tuple[StoredSession, TextLive]]) -> None:
        """Read the journals. What was drawn is read, and the generator moves on as it did for the draw."""
        left = [
            (live, [entry for entry in one.journal if entry.position >= one.snapshot_position])
            for one, live in saved
        ]
        while left := [(live, entries) for live, entries in left if entries]:
            # A line begins with its first state, so that entries are joined up to there only.
            pieces = [self._replayed(live, entries) for live, entries in left]
            slots = [live.slot for live, _ in left]
            lengths = [len(piece) for piece in pieces]
            self.model.engine.read_ragged(slots, np.concatenate(pieces), lengths, logits=False)

    def _replayed(self, live: TextLive, entries: list[Entry]) -> NDArray[np.int64]:
        """The tokens of the next entries, which leave the list; all but the state moves on."""
        count = next((k for k, entry in enumerate(entries) if k and entry.resets), len(entries))
        if entries[0].resets:
            self._set_first_state(live)
        tokens = np.frombuffer(b"".join(entry.tokens for entry in entries[:count]), "<i4").astype(np.int64)
        drawn = sum(entry.drawn for entry in entries[:count])
        if drawn:
            (words,) = self.model.engine.generators([live.slot])
            self.model.engine.set_generators([live.slot], generators.advanced(words, drawn)[None])
        live.position += len(tokens)
        end = self.model.end_token
        live.complete = end is not None and entries[count - 1].drawn > 0 and int(tokens[-1]) == end
        for token in tokens.tolist():
            live.decoder.push(token)
        if live.complete:
            live.decoder = self.model.new_decoder()
        del entries[:count]
        return tokens

    def content(self, lives: Sequence[TextLive]) -> list[tuple[bytes, dict[str, Any]]]:
        engine = self.model.engine
        slots = [live.slot for live in lives]
        states = np.ascontiguousarray(engine.states(slots), "<f4")
        words = np.ascontiguousarray(engine.generators(slots), "<u8")
        follow = engine.logits_follow(slots).tolist()
        contents = []
        for live, state, generator, follows in zip(lives, states, words, follow, strict=True):
            content = state.tobytes() + generator.tobytes()
            if not follows:
                content += np.ascontiguousarray(engine.logits([live.slot])[0], "<f4").tobytes()
            facts: dict[str, Any] = {"decoder": live.decoder.state(), "complete": live.complete}
            if live.options.repetition_penalty != 1:
                facts["seen"] = np.flatnonzero(engine.seen([live.slot])[0]).tolist()
            contents.append((content, facts))
        return contents

    # ---- snapshots that leave the server

    def snapshot_of(self, live: TextLive) -> tuple[bytes, int]:
        """A session as `Session.snapshot` gives it, and its position."""
        content = self.model.snapshot(
            live.slot, live.options, live.decoder, self._first_state(live), live.complete
        )
        return content, live.position

    def restore_into(self, live: TextLive, content: bytes) -> TextLive:
        with self.model.run.restore_session(content) as session:
            stream, live.decoder = session.parts
            self.supersede(live)
            self.model.engine.copy(stream.slot, [live.slot])
            live.position, live.options = stream.position, stream.options
            if isinstance(session, LineSession):
                first = session.first_state.copy()
                live.complete, live.first_state = session.begins_line, first
                live.facts = {**live.facts, "first_state": first.tolist()}
        live.facts = {**live.facts, "options": asdict(live.options)}
        self.renew(live)
        return live

    def restore_new(self, name: str, content: bytes) -> TextLive:
        with self.model.run.restore_session(content) as session:
            # What cannot be read leaves no session behind.
            first = session.first_state if isinstance(session, LineSession) else self.model.own_first_state
        return self.restore_into(self.create(name, SamplingOptions(), 0, first_state=first.copy()), content)

    def since(self, live: TextLive, position: int) -> dict[str, Any]:
        """The text of the tokens after a position, as far as the journal goes back.

        Raises:
            ApiError: it does not go back so far.
        """
        entries = [one for one in self._journal(live) if one.position + one.count > position]
        if position < live.position and (not entries or entries[0].position > position):
            raise ApiError(
                410,
                "too_long_ago",
                f"what came after position {position} is no longer kept",
                "since",
                facts={"position": live.position},
            )
        decoder = self.model.new_decoder()
        text = ""
        for entry in entries:
            tokens = np.frombuffer(entry.tokens, "<i4")[max(position - entry.position, 0) :]
            text += "".join(decoder.push(token) for token in tokens.tolist())
        return {"since": position, "text": text}
