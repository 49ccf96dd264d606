"""Runs Python lines from standard input with `client`, a connected Temporal client, as the README shows them."""

import asyncio
import os
import sys
import textwrap

from temporalio.client import Client


async def main() -> None:
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    scope: dict = {}
    exec("async def snippet(client):\n" + textwrap.indent(sys.stdin.read(), "    "), scope)
    await scope["snippet"](client)
    print("ok")


asyncio.run(main())
# The client's native threads may crash an interpreter that tears itself down beside them (seen on a busy machine): it is over here.
sys.stdout.flush()
os._exit(0)
