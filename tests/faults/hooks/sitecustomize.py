"""Python imports this at the start of every process of a cluster: it arms the crash point that the environment asks for, if any."""

import os

if os.environ.get("PYTHON_CRASH"):
    import crashpoints

    crashpoints.arm(os.environ["PYTHON_CRASH"])
