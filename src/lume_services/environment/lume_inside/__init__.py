"""What runs in the environment of a packaged model: a program, and its protocol.

It is started with the Python of that environment and imports nothing of LUME-services: the standard
library alone, and numpy where arrays are sent. The package goes by two names, hence its relative
imports: ``lume_inside`` there, and ``lume_services.environment.lume_inside`` here, where the other
end of the protocol is.

Messages go both ways through pipes. One is a line of JSON, and then the bytes of what JSON has no
word for; where these are more than 1 MiB, they are in a file, which who receives it deletes::

    {"inputs": {"k1": 0.7, "beam": {"%array": ["<f8", [6, 100], 0]}}, "bytes": 4800}
    {"outputs": {"emittance": {"%scalar": ["<f8", [], 0]}}, "file": "/dev/shm/lume-…/1", "bytes": 0}

The first message names the model, ``{"entry_point": "ring.model:Ring", "path": [folder, …]}``, and
the answer says what it is: ``variables``, ``held``, ``python``, ``packages``. Each further one has
``inputs`` and is answered by ``outputs``, ``started`` and ``duration_s``. In the place of any
answer there may be ``error``: ``type``, ``message`` and ``traceback``. The program ends when its
input does, or the pipe whose number is its last argument.
"""
