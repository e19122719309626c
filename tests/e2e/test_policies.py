"""The story of a policy over plain HTTP, as the documents of its clients write it."""

from urllib.parse import quote

from tests.support.parties import Party
from tests.support.steps import SHARING, backup, gone, new_backup, new_volume, share
from tests.support.waiting import until

POLICIES = "/v2/{p}/backuppolicy"
KEPT = 2


def finished_runs(owner: Party, policy_id: str, number: int) -> list[dict[str, object]]:
    """The policy's tasks, the newest first, once that many have ended."""

    def ended() -> list[dict[str, object]] | None:
        found = owner.get(f"{POLICIES}/{policy_id}/backuptasks")
        done = [task for task in found["tasks"] if task["finished_at"]]
        return done if found["count"] == len(done) == number else None

    return until(ended, what=f"{number} runs have ended")


def test_a_policy_from_its_making_to_its_end(alpha: Party, beta: Party) -> None:
    volume_id = new_volume(alpha)
    by_hand = new_backup(alpha, volume_id, "by-hand")
    wanted = {
        "backup_policy_name": "nightly",
        "scheduled_policy": {
            "start_time": "21:00",
            "frequency": 1,
            "rentention_num": KEPT,
            "remain_first_backup_of_curMonth": "N",
            "status": "OFF",
        },
        "tags": [{"key": "team", "value": "core"}],
        "time_zone": "Europe/Berlin",
    }
    answer = alpha.send("POST", POLICIES, json_body=wanted)
    assert answer.status == 200, answer
    policy_id = answer.json()["backup_policy_id"]
    disk = {"resource_id": volume_id, "resource_type": "volume"}
    resources = {"backup_policy_id": policy_id, "resources": [disk]}
    answer = alpha.send("POST", "/v2/{p}/backuppolicyresources", json_body=resources)
    assert (answer.status, answer.json()["fail_resources"]) == (200, [])
    (listed,) = [row for row in alpha.get(POLICIES)["backup_policies"] if row["backup_policy_id"] == policy_id]
    assert listed["policy_resource_count"] == 1
    made = []
    for run in range(1, KEPT + 2):
        assert alpha.send("POST", f"{POLICIES}/{policy_id}/action").status == 204
        newest = finished_runs(alpha, policy_id, run)[0]
        assert newest["status"] == "EXECUTE_SUCCESS"
        (found,) = [b for b in alpha.get("/v2/{p}/backups/detail")["backups"] if b["name"] == newest["backup_name"]]
        made.append(found["id"])
        if run == 1:
            share(alpha, made[0], beta)
    gone(alpha, f"/v2/{{p}}/backups/{made[0]}")
    assert beta.get(f"{SHARING}/detail?share_to_me=true&backup_id={made[0]}") == {"shared": []}
    assert {backup(alpha, kept)["status"] for kept in (by_hand, *made[1:])} == {"available"}
    change = {"scheduled_policy": {"status": "ON"}}
    assert alpha.send("PUT", f"{POLICIES}/{policy_id}", json_body=change).status == 200
    preview = alpha.get(f"{POLICIES}/{policy_id}/retention-preview")
    ((shown,),) = [[disk["backups"] for disk in preview["resources"]]]
    assert [(row["backup_id"], row["action"]) for row in shown] == [
        (made[2], "keep"), (made[1], "delete"), (by_hand, "keep")
    ]  # fmt: skip
    _tags(alpha, policy_id)
    off = alpha.send(
        "POST", f"/v2/{{p}}/backuppolicyresources/{policy_id}/deleted_resources", json_body={"resources": [disk]}
    )
    assert (off.status, off.json()["fail_resources"]) == (200, [])
    assert alpha.send("DELETE", f"{POLICIES}/{policy_id}").status == 204
    assert backup(alpha, made[2])["status"] == "available", "its backups stay"


def _tags(owner: Party, policy_id: str) -> None:
    target = f"{POLICIES}/{policy_id}/tags"
    key = "what is left: #%"
    assert owner.send("POST", target, json_body={"tag": {"key": key, "value": ""}}).status == 204
    assert owner.get(target)["tags"] == [{"key": "team", "value": "core"}, {"key": key, "value": ""}]
    assert owner.send("DELETE", f"{target}/{quote(key, safe='')}").status == 204
    answer = owner.send("DELETE", f"{target}/a%2Fb")
    assert (answer.status, answer.code) == (404, "AutoBackup.0216")
    batch = {"action": "update", "tags": [{"key": "team", "value": "it"}]}
    assert owner.send("POST", f"{target}/action", json_body=batch).status == 204
    query = {"action": "filter", "tags": [{"key": "team", "values": ["it"]}]}
    found = owner.send("POST", f"{POLICIES}/resource_instances/action", json_body=query).json()
    assert [row["resource_id"] for row in found["resources"]] == [policy_id]
    assert {"key": "team", "values": ["it"]} in owner.get(f"{POLICIES}/tags")["tags"]
