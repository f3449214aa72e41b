"""Malformed inputs for every way in which bytes from outside reach Throughtime; benchmarks/fuzz.py runs them.

seeds_*    small valid files: of every format, and of the sequences that people bring; run folders
damage_*   what can be wrong with them: bytes, text, archives, tars and arrays, pictures, sounds and video
damage     the table of these, by format
targets    which file is damaged, and the command that reads it
execution  one input in this process, judged as a user would see it
workers    processes that execute inputs, and what happens when one of them dies, hangs or grows
report     the table at the end
"""
