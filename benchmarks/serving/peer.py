"""What a user would write otherwise: FastAPI around torch.nn.LSTM, a request at a time.

    python peer.py RUN PORT

Two ways: the state of a stream in a dictionary and a request for every token, or all tokens of a request in
one stream of events. Both sample with torch.multinomial.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from throughtime.run import Run

torch.set_num_threads(1)


def build(folder: str) -> FastAPI:
    run = Run.open(folder)
    weights = run.read_weights()
    config = run.config.model  # type: ignore[attr-defined]
    tokenizer: Any = run.tokenizer  # type: ignore[attr-defined]
    V = tokenizer.vocabulary_size
    inputs = weights["embedding.weight"].shape[1]
    lstm = torch.nn.LSTM(inputs, config.hidden, config.layers, batch_first=True).eval()
    head = torch.nn.Linear(config.hidden, V).eval()
    embedding = torch.from_numpy(weights["embedding.weight"].copy())
    states: dict[str, Any] = {}
    lock = threading.Lock()
    with torch.no_grad():
        for layer in range(config.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                values = weights[f"recurrent.cells.{layer}.{name}"].copy()
                getattr(lstm, f"{name}_l{layer}").copy_(torch.from_numpy(values))
        head.weight.copy_(torch.from_numpy(weights["output.weight"].copy()))
        head.bias.copy_(torch.from_numpy(weights["output.bias"].copy()))
    app = FastAPI()

    def step(token: int, state: Any) -> tuple[torch.Tensor, Any]:
        with torch.inference_mode():
            output, state = lstm(embedding[token][None, None], state)
            return head(output[0, -1]), state

    @app.post("/v1/completions")
    def completions(body: dict[str, Any]) -> StreamingResponse:
        def events() -> Iterator[str]:
            state, logits = None, torch.zeros(V)
            for token in tokenizer.encode(body["prompt"]).tolist():
                with lock:
                    logits, state = step(token, state)
            for left in range(body["max_tokens"], 0, -1):
                with lock:
                    token = int(torch.multinomial(torch.softmax(logits, -1), 1))
                    logits, state = step(token, state)
                reason = "length" if left == 1 else None
                choice = {"index": 0, "text": tokenizer.token_text(token), "finish_reason": reason}
                yield f"data: {json.dumps({'choices': [choice]})}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.post("/step")
    def one_step(body: dict[str, Any]) -> dict[str, Any]:
        with lock:
            logits, states[body["id"]] = step(body["token"], states.get(body["id"]))
            return {"token": int(torch.multinomial(torch.softmax(logits, -1), 1))}

    return app


if __name__ == "__main__":
    uvicorn.run(build(sys.argv[1]), port=int(sys.argv[2]), log_level="warning", access_log=False)
