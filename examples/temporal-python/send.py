"""Hands a message over with nothing but a Temporal client, and reads the answer over HTTP: send.py USER MESSAGE-ID TEXT"""

import asyncio
import json
import os
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import quote

from temporalio.client import Client

OPEN = ("queued", "running")
WAIT_SECONDS = 300
LOOK_SECONDS = 0.5


def encode(text: str) -> str:
    """As JavaScript's encodeURIComponent: workflow ids are compared byte by byte."""
    return quote(text, safe="!~*'()")


async def send(user: str, turn: str, prompt: str) -> None:
    """Starts the user's lane, or signals the one that runs. The same id again is the same turn."""
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
    )
    await client.start_workflow(
        "userMachine",
        id=f"user-machine/{encode(user)}",
        task_queue=os.environ.get("TEMPORAL_TASK_QUEUE", "innkeeper"),
        start_signal="enqueueTurn",
        start_signal_args=[{"turnId": turn, "prompt": prompt}],
    )


def read_turn(user: str, turn: str) -> dict | None:
    """The turn as it stands; None: it is not stored yet."""
    base = os.environ.get("INNKEEPER_URL", "http://127.0.0.1:7480")
    request = urllib.request.Request(
        f"{base}/v1/users/{encode(user)}/turns/{encode(turn)}",
        headers={"authorization": f"Bearer {os.environ['INNKEEPER_KEY']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        problem = json.load(refusal)
        if problem["code"] in ("USER_UNKNOWN", "TURN_UNKNOWN"):
            return None
        sys.exit(f"{problem['code']}: {problem['detail']} {problem['title']}")


def wait_for_end(user: str, turn: str) -> dict:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        found = read_turn(user, turn)
        if found is not None and found["state"] not in OPEN:
            return found
        time.sleep(LOOK_SECONDS)
    sys.exit(f"{turn} is not over. Was it refused? Look into rejected_messages. Does a worker run?")


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    user, turn, prompt = sys.argv[1:]
    asyncio.run(send(user, turn, prompt))
    ended = wait_for_end(user, turn)
    print(ended["answer"] or f"({ended['errorCode']})")
    print(f"[{ended['state']}]")


main()
# The Temporal client's threads may crash an interpreter that tears itself down beside them: it is over here.
sys.stdout.flush()
os._exit(0)
