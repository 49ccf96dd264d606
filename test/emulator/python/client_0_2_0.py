"""dedalus-sdk 0.2.0 against profile g2: nested bodies, If-Match on every change."""

import dedalus_sdk as sdk
from common import *  # noqa: F403

client = strict_client(sdk)


def revision(machine_id):
    return client.machines.retrieve(machine_id=machine_id).status.revision


def fenced():
    return {"if_match": revision(machine_id)}


created = client.machines.create(**SIZES)
machine_id = created.machine_id
assert created.status.revision == "1" and created.desired_state == "running"
watched = [machine.status.phase for machine in client.machines.watch(machine_id=machine_id)]
assert watched[-1] == "running", watched
running = client.machines.retrieve(machine_id=machine_id)
raw = client.machines.with_raw_response.retrieve(machine_id=machine_id)
assert raw.headers["ETag"] == '"1"' and raw.parse() == running

check_auth_errors(sdk, machine_id)
check_executions(client, sdk, machine_id)
check_terminals(client, sdk, machine_id)
check_previews(client, sdk, machine_id)
check_ssh(client, sdk, machine_id)
check_artifacts(client, sdk, machine_id)

resized = client.machines.update(machine_id=machine_id, if_match="1", vcpu=2, memory_mib=4096, storage_gib=20)
assert (resized.vcpu, resized.memory_mib, resized.storage_gib, resized.status.revision) == (2, 4096, 20, "2")
stale = expect(
    sdk.ConflictError,
    409,
    "REVISION_MISMATCH",
    lambda: client.machines.sleep(machine_id=machine_id, if_match="1"),
)
assert stale.body["details"] == {"expected_revision": "2", "provided_revision": "1"} and stale.body["retryable"] is True
expect(sdk.BadRequestError, 400, None, lambda: client.machines.create(**{**SIZES, "memory_mib": 10_000_000}))
expect(
    sdk.UnprocessableEntityError,
    422,
    None,
    lambda: client.machines.create(**SIZES, extra_body={"image": "ubuntu-24.04"}),
)

assert client.machines.sleep(machine_id=machine_id, if_match="2").desired_state == "sleeping"
wait_for_phase(client, machine_id, "sleeping")
check_lifecycle_faults(client, sdk, machine_id, fenced)
wait_for_phase(client, machine_id, "running")

second = check_idempotency(client, sdk, lambda: str(uuid.uuid4()))
assert [item.machine_id for item in client.machines.list(limit=1)] == [machine_id, second]
for one in (machine_id, second):
    deleted = client.machines.delete(machine_id=one, if_match=revision(one))
    assert deleted.desired_state == "destroyed"
    until("the machine is gone", lambda: gone(client, sdk, one))
expect(sdk.NotFoundError, 404, None, lambda: client.machines.wake(machine_id=machine_id, if_match="9"))
print("ok")
