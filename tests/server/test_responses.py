"""Turns of a conversation, each answer of which is a state that never changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.server.conftest import Server
from throughtime.run import Run


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def turn(client: openai.OpenAI, text: str, before: str | None = None, **options: Any) -> Any:
    return client.responses.create(
        model="bytes",
        input=text,
        previous_response_id=before,
        max_output_tokens=20,
        extra_body={"seed": 3},
        **options,
    )


def test_a_turn_begins_behind_the_answer_before_it(client: openai.OpenAI, text_run: Path) -> None:
    first = turn(client, "again")
    second = turn(client, "or", first.id)
    session = Run.open(text_run).session(seed=3)
    session.read("again")
    assert first.output_text == session.write(20)
    assert second.previous_response_id == first.id
    assert (first.usage.input_tokens, first.usage.output_tokens, first.status) == (5, 20, "incomplete")
    # The same turn behind the same answer: the first call has changed nothing there.
    again = turn(client, "or", first.id)
    assert again.output_text == second.output_text and again.id != second.id
    # A network that has learned little soon forgets what was before: only one of several texts has to differ.
    answers = {
        one.id: [turn(client, text, one.id, temperature=2.0).output_text for text in "orag"]
        for one in (first, second, again)
    }
    assert answers[first.id] != answers[second.id] == answers[again.id]
    assert client.responses.retrieve(second.id).output_text == second.output_text


def test_streamed_it_is_the_same_answer(client: openai.OpenAI) -> None:
    whole = turn(client, "again")
    pieces, last = "", None
    for event in turn(client, [{"role": "user", "content": "again"}], stream=True):
        if event.type == "response.output_text.delta":
            pieces += event.delta
        last = event
    assert pieces == whole.output_text
    assert last.type == "response.incomplete" and last.response.output_text == whole.output_text
    assert turn(client, "h", last.response.id).output_text


def test_answers_that_are_not_kept_deleted_or_unknown_have_no_next_turn(client: openai.OpenAI) -> None:
    unkept = turn(client, "again", store=False)
    deleted = turn(client, "again")
    client.responses.delete(deleted.id)
    for id, error in ((unkept.id, openai.APIStatusError), (deleted.id, openai.APIStatusError)):
        with pytest.raises(error) as refused:
            turn(client, "h", id)
        assert refused.value.status_code == 410
    with pytest.raises(openai.NotFoundError):
        turn(client, "h", "resp-0-0")
    with pytest.raises(openai.UnprocessableEntityError, match="instructions"):
        turn(client, "h", instructions="be kind")
