"""A trainer that does what run.json tells it: speak, fail, hang, or wait for SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    run = json.loads(Path(sys.argv[1]).read_text())
    Path(run["pid_file"]).write_text(str(os.getpid()))

    def watch() -> None:
        os.read(0, 1)  # not sys.stdin: a thread in its lock would crash the interpreter's exit
        os._exit(3)

    def stop(*_: object) -> None:
        Path(run["pid_file"]).with_name("asked").touch()
        if not run.get("stubborn"):
            if not run.get("keeps_nothing"):
                Path(run["pid_file"]).with_name("step-1").touch()
                print(json.dumps({"event": "log", "message": "checkpoint written"}), flush=True)
            os._exit(143)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.SIG_DFL if run.get("default") else stop)
    print("something a library prints", flush=True)
    print(json.dumps({"event": "log", "message": "hello"}), flush=True)
    for done in range(1, run.get("steps", 3) + 1):
        time.sleep(run.get("sleep", 0))
        event = {"event": "progress", "done": done, "total": 3, "unit": "step", "loss": 1 / done}
        print(json.dumps(event), flush=True)
    if run.get("error"):
        event = {"event": "error", "type": "NonFiniteLossError", "message": run["error"]}
        print(json.dumps(event), flush=True)
        sys.exit(1)
    if run.get("crash"):
        print("segmentation fault ahead", file=sys.stderr, flush=True)
        os.kill(os.getpid(), run["crash"])


if __name__ == "__main__":
    main()
