"""A session exists for its owner alone: every user, session, verb and channel."""

from __future__ import annotations

import pytest

from kaizen_nexus.access.keyfile import revoke_key
from tests.integration.access.people import VERBS, Place, User, Verb, change, show

NOBODYS = "0" * 32
"""An id that no session has."""


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_a_session_exists_for_its_owner_alone(place: Place, users: list[User], verb: Verb) -> None:
    for owner in users:
        session = owner.session()
        for other in users:
            if other is not owner:
                missing, _ = verb(place.http, other.headers, NOBODYS)
                foreign, succeeded = verb(place.http, other.headers, session)
                assert not succeeded
                assert foreign == missing, (other.id, owner.id)
        _, succeeded = verb(place.http, owner.headers, session)
        assert succeeded


def test_what_others_try_does_not_touch_a_session(place: Place, users: list[User]) -> None:
    owner, other = users[:2]
    session = owner.session()
    held = place.app.session_manager.sessions[session]
    before = held.expires_at, dict(held.state), dict(held.channel_activity)
    for verb in VERBS:
        verb(place.http, other.headers, session)
    assert (held.expires_at, held.state, dict(held.channel_activity)) == before


def test_a_session_is_whose_credentials_made_it(place: Place, users: list[User]) -> None:
    ada, bob = users[:2]
    post = place.http.post
    assert post("/api/sessions", headers=ada.headers).json()["user_id"] == "key:ada"
    own = post("/api/sessions", headers=ada.headers, json={"user_id": "key:ada"})
    assert own.status_code == 201
    other = post("/api/sessions", headers=bob.headers, json={"user_id": "key:ada"})
    assert other.status_code == 422
    new = {"X-Session-ID": "new"}
    answer = post("/api/workflows/whose/execute", headers={**bob.headers, **new})
    assert answer.json()["result"] == "key:bob"


def test_keys_of_one_name_are_one_users(place: Place) -> None:
    before, after = place.key_user("dora"), place.key_user("dora")
    session = before.session()
    assert revoke_key(place.keys, before.credential.split("_")[1])
    assert place.http.get("/api/workflows", headers=before.headers).status_code == 401
    assert show(place.http, after.headers, session)[1]


def test_a_session_gets_another_id_and_keeps_the_rest(place: Place, users: list[User]) -> None:
    ada = users[0]
    session = ada.session()
    change(place.http, ada.headers, session)
    answer = place.http.post(f"/api/sessions/{session}/rotate", headers=ada.headers)
    assert answer.status_code == 200
    successor = answer.json()
    assert successor["session_id"] != session
    assert (successor["state"], successor["user_id"]) == ({"a": 1}, "key:ada")
    assert not show(place.http, ada.headers, session)[1]
    assert answer.headers["location"] == f"/api/sessions/{successor['session_id']}"
    read = place.http.get(answer.headers["location"], headers=ada.headers).json()
    assert read["state"] == {"a": 1}
    assert read["created_at"] == successor["created_at"]
