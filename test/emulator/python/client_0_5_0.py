"""dedalus-sdk 0.5.0 against profile g5: flat bodies; the client has executions and SSH only."""

import dedalus_sdk as sdk
from common import *  # noqa: F403

client = strict_client(sdk)
created = client.machines.create(**SIZES, autosleep="300")
machine_id = created.machine_id
assert created.phase == "accepted" and created.autosleep_seconds == 300
wait_for_phase(client, machine_id, "running")

check_auth_errors(sdk, machine_id)
check_executions(client, sdk, machine_id)
check_ssh(client, sdk, machine_id)

assert client.machines.update(machine_id=machine_id, memory_mib=4096).memory_mib == 4096
expect(sdk.BadRequestError, 400, None, lambda: client.machines.update(machine_id=machine_id, storage_gib=1))
assert client.machines.sleep(machine_id=machine_id).phase == "stopping"
wait_for_phase(client, machine_id, "sleeping")
check_lifecycle_faults(client, sdk, machine_id, dict)
wait_for_phase(client, machine_id, "running")

second = check_idempotency(client, sdk, lambda: str(uuid.uuid4()))
listed = list(client.machines.list(limit=1))
assert [item.machine_id for item in listed] == [machine_id, second] and listed[0].phase == "running"
for one in (machine_id, second):
    assert client.machines.delete(machine_id=one).phase == "destroying"
    until("the machine is gone", lambda: gone(client, sdk, one))
expect(sdk.NotFoundError, 404, None, lambda: client.machines.wake(machine_id=machine_id))
print("ok")
