"""Serve trained runs over HTTP: completions, predictions, and a session for every stream.

`throughtime serve` starts it. One thread for each model owns its states and moves all of them on in ticks
(scheduler.py); the store keeps what was acknowledged (store.py); everything above them is HTTP.
"""
