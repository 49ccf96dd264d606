"""dedalus-sdk 0.6.0 against profile g6: bare ids, optional sizes, reboot, autoresizing, log records."""

import dedalus_sdk as sdk
from common import *  # noqa: F403

client = strict_client(sdk)
created = client.machines.create()
machine_id = created.machine_id
assert str(uuid.UUID(machine_id)) == machine_id
assert (created.vcpu, created.memory_mib, created.storage_gib, created.autosleep_seconds) == (1, 4096, 10, 300)
running = wait_for_phase(client, machine_id, "running")
assert running.status.memory_configured_mib == 4096 and running.status.memory_resize_state == "stable"

check_auth_errors(sdk, machine_id)
execution_id = check_executions(client, sdk, machine_id)
logs = client.machines.executions.logs
status = logs.retrieve(machine_id=machine_id, execution_id=execution_id)
assert status.publication.state == "closed" and status.capture.state == "unavailable"
assert logs.reauthorize(machine_id=machine_id, execution_id=execution_id).execution_id == execution_id
assert logs.create_token(machine_id=machine_id, execution_id=execution_id).token_type == "Bearer"
check_ssh(client, sdk, machine_id)

autoresizing = client.machines.autoresizing
assert autoresizing.retrieve(machine_id=machine_id).enabled is True
assert autoresizing.update(machine_id=machine_id, enabled=False).enabled is False
assert autoresizing.retrieve(machine_id=machine_id).enabled is False
organization = client.organization.autoresizing
assert organization.update(enabled=False).enabled is False
assert organization.retrieve().enabled is False
assert organization.update(enabled=True).enabled is True

boot_before = admin("GET", f"/machines/{machine_id}")["bootId"]
assert client.machines.reboot(machine_id=machine_id, force=False).phase == "starting"
wait_for_phase(client, machine_id, "running")
assert admin("GET", f"/machines/{machine_id}")["bootId"] != boot_before

assert client.machines.update(machine_id=machine_id, vcpu=2, autosleep="never").autosleep_seconds == 0
client.machines.sleep(machine_id=machine_id)
wait_for_phase(client, machine_id, "sleeping")
expect(sdk.ConflictError, 409, "INVALID_STATE", lambda: client.machines.reboot(machine_id=machine_id))
check_lifecycle_faults(client, sdk, machine_id, dict)
wait_for_phase(client, machine_id, "running")

second = check_idempotency(client, sdk, compact_uuid7)
expect(
    sdk.UnprocessableEntityError,
    422,
    None,
    lambda: client.machines.create(extra_headers={"Idempotency-Key": "not-a-uuid"}),
)
listed = list(client.machines.list(limit=1))
assert [item.machine_id for item in listed] == [machine_id, second] and listed[0].phase == "running"
for one in (machine_id, second):
    assert client.machines.delete(machine_id=one).phase == "destroying"
    until("the machine is gone", lambda: gone(client, sdk, one))
expect(sdk.NotFoundError, 404, None, lambda: client.machines.wake(machine_id=machine_id))
print("ok")
