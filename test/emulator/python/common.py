"""What the scripts for the vendor's Python clients share.

Each script runs one unmodified client against the emulator, calls every method that the client has, and lets the client validate
every answer strictly against its own models. A failed expectation ends the script with a traceback and a non-zero code.
"""

import base64
import json
import os
import time
import urllib.request
import uuid

URL = os.environ["EMULATOR_URL"]
API_KEY = os.environ["EMULATOR_API_KEY"]
SIZES = {"vcpu": 1, "memory_mib": 2048, "storage_gib": 10}
DEADLINE_S = 20
POLL_S = 0.02


def admin(method, path, body=None):
    """Calls an admin route of the emulator."""
    request = urllib.request.Request(
        URL + "/_emulator" + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + API_KEY, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def until(what, condition):
    """Polls until the condition answers something true."""
    end = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain: " + what
        time.sleep(POLL_S)


def expect(error_class, status, code, call):
    """Expects the client's own error class, with this status and, unless None, this error_code in the body."""
    try:
        call()
    except error_class as error:
        assert error.status_code == status, (error.status_code, status)
        if code is not None:
            assert error.body["error_code"] == code, error.body
        return error
    raise AssertionError(f"expected {error_class.__name__} {status} {code}")


def compact_uuid7():
    return f"{time.time_ns() // 1_000_000:012x}7{uuid.uuid4().hex[13:]}"


def phase_of(client, machine_id):
    return client.machines.retrieve(machine_id=machine_id).status.phase


def wait_for_phase(client, machine_id, phase):
    until(f"phase {phase}", lambda: phase_of(client, machine_id) == phase)
    return client.machines.retrieve(machine_id=machine_id)


def check_executions(client, sdk, machine_id):
    """Every method of the executions resource, the same in all generations."""
    executions = client.machines.executions
    created = executions.create(
        machine_id=machine_id,
        command=["/bin/bash", "-c", "echo out; echo err >&2; cat; pwd; echo $WORD; exit 7"],
        cwd="/tmp",
        env={"WORD": "given"},
        stdin="from stdin\n",
        timeout_ms=10_000,
    )
    assert created.status in ("queued", "running", "wake_in_progress"), created.status

    def retrieve():
        return executions.retrieve(machine_id=machine_id, execution_id=created.execution_id)

    done = until("the execution ends", lambda: retrieve() if retrieve().completed_at else None)
    assert (done.status, done.exit_code, done.error_code) == ("failed", 7, None), done
    assert done.env_keys == ["WORD"] and done.cwd == "/tmp"
    output = executions.output(machine_id=machine_id, execution_id=created.execution_id)
    assert output.stdout == "out\nfrom stdin\n/tmp\ngiven\n", output.stdout
    assert output.stderr == "err\n" and output.stderr_bytes == 4 and output.stdout_truncated is False
    events = list(executions.events(machine_id=machine_id, execution_id=created.execution_id, limit=2))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].status == "failed" and events[-1].exit_code == 7
    assert {event.type for event in events} == {"lifecycle", "stdout", "stderr"}

    slow = executions.create(machine_id=machine_id, command=["sleep", "60"])
    cancelled = executions.delete(machine_id=machine_id, execution_id=slow.execution_id)
    until(
        "the execution is cancelled",
        lambda: executions.retrieve(machine_id=machine_id, execution_id=slow.execution_id).status == "cancelled",
    )
    assert cancelled.execution_id == slow.execution_id
    expired = executions.create(machine_id=machine_id, command=["sleep", "60"], timeout_ms=50)
    until(
        "the execution expires",
        lambda: executions.retrieve(machine_id=machine_id, execution_id=expired.execution_id).status == "expired",
    )
    listed = [item.execution_id for item in executions.list(machine_id=machine_id, limit=1)]
    assert listed == [created.execution_id, slow.execution_id, expired.execution_id], listed

    admin("POST", "/faults", {"kind": "execution-refusal", "code": "machine_not_routable"})
    refused = executions.create(machine_id=machine_id, command=["/bin/true"])

    def refusal():
        return executions.retrieve(machine_id=machine_id, execution_id=refused.execution_id)

    document = until("the refusal", lambda: refusal() if refusal().completed_at else None)
    assert (document.status, document.exit_code, document.error_code) == ("failed", None, "machine_not_routable")
    expect(sdk.NotFoundError, 404, None, lambda: executions.retrieve(machine_id=machine_id, execution_id="wexec-none"))
    return created.execution_id


def check_ssh(client, sdk, machine_id):
    ssh = client.machines.ssh
    session = ssh.create(machine_id=machine_id, public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA test")
    found = ssh.retrieve(machine_id=machine_id, session_id=session.session_id)
    assert (found.status, found.error_code) == ("failed", "SSH_NOT_EMULATED")
    assert [item.session_id for item in ssh.list(machine_id=machine_id)] == [session.session_id]
    assert ssh.delete(machine_id=machine_id, session_id=session.session_id).status == "closed"
    expect(sdk.NotFoundError, 404, None, lambda: ssh.retrieve(machine_id=machine_id, session_id=session.session_id))


def check_previews(client, sdk, machine_id):
    previews = client.machines.previews
    preview = previews.create(machine_id=machine_id, port=3000, protocol="http", visibility="private")
    assert previews.retrieve(machine_id=machine_id, preview_id=preview.preview_id).status == "ready"
    assert [item.port for item in previews.list(machine_id=machine_id)] == [3000]
    assert previews.delete(machine_id=machine_id, preview_id=preview.preview_id).status == "closed"
    expect(sdk.NotFoundError, 404, None, lambda: previews.retrieve(machine_id=machine_id, preview_id="prev-none"))


def check_artifacts(client, sdk, machine_id):
    artifacts = client.machines.artifacts
    assert list(artifacts.list(machine_id=machine_id)) == []
    admin("POST", f"/machines/{machine_id}/artifacts", {"name": "report.txt", "sizeBytes": 5})
    (artifact,) = list(artifacts.list(machine_id=machine_id))
    assert artifacts.retrieve(machine_id=machine_id, artifact_id=artifact.artifact_id).name == "report.txt"
    artifacts.delete(machine_id=machine_id, artifact_id=artifact.artifact_id)
    expect(
        sdk.NotFoundError,
        404,
        None,
        lambda: artifacts.retrieve(machine_id=machine_id, artifact_id=artifact.artifact_id),
    )


def check_terminals(client, sdk, machine_id):
    """The whole life of a terminal, its socket by the client's own connection class."""
    terminals = client.machines.terminals
    terminal = terminals.create(machine_id=machine_id, width=100, height=30, shell="/bin/bash", cwd="/tmp", env={"A": "b"})
    assert (terminal.width, terminal.height, terminal.protocol) == (100, 30, "websocket")
    assert terminals.retrieve(machine_id=machine_id, terminal_id=terminal.terminal_id).status == "ready"
    assert [item.terminal_id for item in terminals.list(machine_id=machine_id)] == [terminal.terminal_id]
    typed = base64.b64encode(b"stty size; pwd; echo $A$((6*7)); exit\n").decode()
    seen, kinds = b"", []
    # This client sends no credentials of its own on the socket; its callers hand them in.
    bearer = {"Authorization": "Bearer " + API_KEY}
    opening = {"machine_id": machine_id, "terminal_id": terminal.terminal_id, "extra_headers": bearer}
    with terminals.connect(**opening) as connection:
        connection.send({"type": "resize", "width": 90, "height": 20})
        connection.send({"type": "input", "data": typed})
        for event in connection:
            kinds.append(event.type)
            if event.type == "output":
                seen += base64.b64decode(event.data)
            if event.type == "closed":
                break
    assert kinds[-1] == "closed", kinds
    assert b"20 90" in seen and b"/tmp" in seen and b"b42" in seen, seen
    closed = until(
        "the terminal is closed",
        lambda: terminals.retrieve(machine_id=machine_id, terminal_id=terminal.terminal_id).status == "closed",
    )
    assert closed
    other = terminals.create(machine_id=machine_id, width=80, height=24)
    assert terminals.delete(machine_id=machine_id, terminal_id=other.terminal_id).status == "closed"
    try:
        with terminals.connect(**{**opening, "terminal_id": other.terminal_id}):
            raise AssertionError("a closed terminal let somebody in")
    except Exception as error:  # the websocket library's own class
        assert "409" in str(error), error
    expect(sdk.NotFoundError, 404, None, lambda: terminals.retrieve(machine_id=machine_id, terminal_id="term-none"))


def check_auth_errors(sdk, machine_id):
    """A missing and a wrong key, as the client sees them; and the x-api-key scheme."""
    wrong = sdk.Dedalus(base_url=URL, api_key="wrong", max_retries=0)
    expect(sdk.AuthenticationError, 401, "AUTH_INVALID", lambda: wrong.machines.retrieve(machine_id=machine_id))
    other_scheme = sdk.Dedalus(base_url=URL, x_api_key=API_KEY, max_retries=0)
    assert other_scheme.machines.retrieve(machine_id=machine_id)
    beta = sdk.Dedalus(
        base_url=URL,
        api_key=API_KEY,
        max_retries=0,
        default_headers={"X-Dedalus-Org-Id": "org-without-beta"},
    )
    expect(sdk.PermissionDeniedError, 403, "BETA_ACCESS_REQUIRED", lambda: beta.machines.retrieve(machine_id=machine_id))


def check_idempotency(client, sdk, make_key):
    """The same key and body answers the same machine; another body is refused."""
    key = make_key()
    first = client.machines.create(**SIZES, extra_headers={"Idempotency-Key": key})
    again = client.machines.create(**SIZES, extra_headers={"Idempotency-Key": key})
    assert first.machine_id == again.machine_id
    bigger = {**SIZES, "vcpu": 2}
    error = expect(
        sdk.ConflictError,
        409,
        "IDEMPOTENCY_KEY_REUSED",
        lambda: client.machines.create(**bigger, extra_headers={"Idempotency-Key": key}),
    )
    assert set(error.body["details"]) == {"expected_request_hash", "provided_request_hash"}
    return first.machine_id


def check_lifecycle_faults(client, sdk, machine_id, kwargs):
    """Injected failures as the client's own error classes, and its own retry of a 429."""
    def inject(kind, **fields):
        admin("POST", "/faults", {"kind": kind, "match": {"route": "machines.wake"}, **fields})

    wake = lambda: client.machines.wake(machine_id=machine_id, **kwargs())  # noqa: E731
    inject("internal-signature")
    expect(sdk.AuthenticationError, 401, None, wake)
    inject("status", status=503)
    expect(sdk.InternalServerError, 503, "DEPENDENCY_UNAVAILABLE", wake)
    inject("revision-conflict")
    expect(sdk.ConflictError, 409, "REVISION_MISMATCH", wake)
    inject("status", status=429, retryAfterMs=5, retryAfterHeaderMs=5)
    expect(sdk.RateLimitError, 429, "RATE_LIMITED", wake)
    inject("status", status=429, retryAfterHeaderMs=5)
    patient = client.with_options(max_retries=2)
    assert patient.machines.wake(machine_id=machine_id, **kwargs()).machine_id == machine_id


def strict_client(sdk):
    return sdk.Dedalus(base_url=URL, api_key=API_KEY, max_retries=0, _strict_response_validation=True)


def gone(client, sdk, machine_id):
    try:
        client.machines.retrieve(machine_id=machine_id)
        return False
    except sdk.NotFoundError:
        return True
