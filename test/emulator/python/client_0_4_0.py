"""dedalus-sdk 0.4.0 against profile g3: nested bodies, no If-Match, autosleep, usage."""

import dedalus_sdk as sdk
from common import *  # noqa: F403

client = strict_client(sdk)
created = client.machines.create(**SIZES, autosleep="1h30m")
machine_id = created.machine_id
assert created.autosleep_seconds == 5400 and created.status.phase == "accepted"
watched = [machine.status.phase for machine in client.machines.watch(machine_id=machine_id)]
assert watched[-1] == "running", watched

check_auth_errors(sdk, machine_id)
check_executions(client, sdk, machine_id)
check_terminals(client, sdk, machine_id)
check_previews(client, sdk, machine_id)
check_ssh(client, sdk, machine_id)
check_artifacts(client, sdk, machine_id)

resized = client.machines.update(machine_id=machine_id, vcpu=2, autosleep="never")
assert (resized.vcpu, resized.autosleep_seconds, resized.status.revision) == (2, 0, "2")
expect(
    sdk.ConflictError,
    409,
    "REVISION_MISMATCH",
    lambda: client.machines.sleep(machine_id=machine_id, extra_headers={"If-Match": "1"}),
)
expect(
    sdk.UnprocessableEntityError,
    422,
    None,
    lambda: client.machines.update(machine_id=machine_id, autosleep="soon"),
)
client.machines.sleep(machine_id=machine_id)
wait_for_phase(client, machine_id, "sleeping")
check_lifecycle_faults(client, sdk, machine_id, dict)
wait_for_phase(client, machine_id, "running")

admin("POST", "/clock", {"advanceMs": 60_000})
usage = client.usage.retrieve()
assert usage.billed_awake_seconds >= 60 and usage.provisioned_storage_gib == 10, usage
compute = client.usage.machine_compute(granularity="day", machine_id=machine_id)
assert compute.rows[0].requested_vcpu == 2 and compute.rows[0].machine_id == machine_id
assert client.usage.machine_storage(machine_id=machine_id).rows[0].storage_mib_seconds > 0
expect(sdk.UnprocessableEntityError, 422, None, lambda: client.usage.retrieve(period_start="yesterday"))

second = check_idempotency(client, sdk, lambda: str(uuid.uuid4()))
assert [item.machine_id for item in client.machines.list(limit=1)] == [machine_id, second]
for one in (machine_id, second):
    assert client.machines.delete(machine_id=one).desired_state == "destroyed"
    until("the machine is gone", lambda: gone(client, sdk, one))
expect(sdk.NotFoundError, 404, None, lambda: client.machines.wake(machine_id=machine_id))
print("ok")
