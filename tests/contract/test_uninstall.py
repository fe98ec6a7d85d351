"""`uninstall` leaves everything as it was before `install`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]

SNAPSHOT = """
        import sys

        def snapshot():
            ours = ("kaizen.", "nexus.", "kailash.")
            modules = {
                name: module
                for name, module in sys.modules.items()
                if (name + ".").startswith(ours)
            }
            attributes = {
                f"{name}.{attribute}": value
                for name, module in modules.items()
                for attribute, value in vars(module).items()
                if f"{name}.{attribute}" in modules
            }
            return list(sys.meta_path), modules, attributes

        def same(one, other):
            return all(
                first.keys() == second.keys() and all(first[key] is second[key] for key in first)
                for first, second in zip(one[1:], other[1:])
            ) and one[0] == other[0]
"""


def test_where_kaizen_is_missing_nothing_is_left(run: Run) -> None:
    run(
        SNAPSHOT
        + """
        import importlib.util
        import kaizen_nexus, kaizen_nexus.compat

        before = snapshot()
        kaizen_nexus.uninstall()
        assert same(before, snapshot())
        for _ in range(2):
            kaizen_nexus.install()
            import kaizen.integrations.nexus.deployment as held
            from nexus import Nexus
            kaizen_nexus.uninstall()
            kaizen_nexus.uninstall()
            assert same(before, snapshot())
            assert importlib.util.find_spec("kaizen") is None
            assert importlib.util.find_spec("nexus") is None
            assert held.deploy_as_api is kaizen_nexus.deploy_as_api
            assert Nexus is kaizen_nexus.Nexus
        """,
        hide=True,
    )


def test_the_modules_imported_before_come_back(run: Run, kaizen: Path) -> None:
    run(
        SNAPSHOT
        + """
        import warnings
        import kaizen_nexus
        import kaizen.integrations
        import kaizen.integrations.nexus.models
        from kaizen.integrations import nexus as theirs

        before = snapshot()
        for _ in range(2):
            with warnings.catch_warnings(record=True):
                kaizen_nexus.install()
            assert kaizen.integrations.nexus is not theirs
            import kaizen.integrations.nexus.deployment as ours
            import kaizen.integrations.nexus.monitoring
            assert ours.deploy_as_api is kaizen_nexus.deploy_as_api
            kaizen_nexus.uninstall()
            assert same(before, snapshot())
        import kaizen.integrations.nexus.deployment as again
        assert again is theirs.deployment and again.deploy_as_api() == "theirs"
        assert "kaizen.integrations.nexus.monitoring" not in sys.modules
        """
    )


def test_what_was_not_imported_before_is_found_afterwards(run: Run, kaizen: Path) -> None:
    run(
        SNAPSHOT
        + """
        import kaizen_nexus
        import kaizen.integrations

        before = snapshot()
        kaizen_nexus.install()
        from kaizen.integrations.nexus import deploy_as_api as ours
        kaizen_nexus.uninstall()
        assert same(before, snapshot())
        assert not hasattr(kaizen.integrations, "nexus")
        from kaizen.integrations.nexus import deploy_as_api, marker
        assert deploy_as_api() == "theirs" and marker == 1
        assert ours is kaizen_nexus.deploy_as_api
        """
    )


def test_what_others_put_there_stays(run: Run, kaizen: Path) -> None:
    run(
        """
        import sys
        import kaizen_nexus
        kaizen_nexus.install()
        import kaizen.integrations.nexus.deployment
        sys.modules["kaizen.integrations.nexus.deployment"] = "somebody's"
        kaizen.integrations.nexus = "somebody's"
        kaizen_nexus.uninstall()
        assert sys.modules["kaizen.integrations.nexus.deployment"] == "somebody's"
        assert kaizen.integrations.nexus == "somebody's"
        """
    )


def test_finders_that_somebody_took_away_are_put_back(run: Run, kaizen: Path) -> None:
    run(
        SNAPSHOT
        + """
        import kaizen_nexus
        finders = list(sys.meta_path)
        before = snapshot()
        kaizen_nexus.install()
        sys.meta_path[:] = finders
        kaizen_nexus.install()
        from kaizen.integrations.nexus import deploy_as_api
        assert deploy_as_api is kaizen_nexus.deploy_as_api
        sys.meta_path[:] = finders
        kaizen_nexus.uninstall()
        from kaizen.integrations.nexus import deploy_as_api
        assert deploy_as_api() == "theirs"
        """
    )


def test_modules_that_only_the_installed_version_has_are_found(run: Run, kaizen: Path) -> None:
    run(
        """
        import kaizen_nexus
        kaizen_nexus.install()
        import kaizen.integrations.nexus.latest as latest
        assert latest.used is kaizen_nexus.deploy_as_api
        """
    )


def test_the_storage_is_the_originals_on_our_sessions(run: Run, kaizen: Path) -> None:
    run(
        """
        import kaizen_nexus
        kaizen_nexus.install()
        from kaizen.integrations.nexus.storage import SessionStorage
        from kaizen.integrations.nexus import SessionStorage as same, _DATAFLOW_AVAILABLE
        assert SessionStorage is same and _DATAFLOW_AVAILABLE
        assert SessionStorage.session is kaizen_nexus.CrossChannelSession
        assert SessionStorage.__module__ == "kaizen.integrations.nexus.storage"
        """
    )


def test_without_kaizen_the_storage_is_our_protocol(run: Run) -> None:
    run(
        """
        import kaizen_nexus, kaizen_nexus.sessions
        kaizen_nexus.install()
        import kaizen.integrations.nexus as package
        assert package.storage.SessionStorage is kaizen_nexus.sessions.SessionStorage
        assert package.register_session_models is None and not package._DATAFLOW_AVAILABLE
        """,
        hide=True,
    )


def test_threads_may_install_and_uninstall_at_will(run: Run, kaizen: Path) -> None:
    run(
        SNAPSHOT
        + """
        import importlib, threading, warnings
        import kaizen_nexus, kaizen_nexus.deployment.functions
        import kaizen.integrations.nexus

        warnings.simplefilter("ignore")
        kaizen_nexus.install()
        kaizen_nexus.uninstall()
        before = snapshot()
        errors = []
        gate = threading.Barrier(8)

        def work(number):
            try:
                gate.wait()
                for _ in range(200):
                    (kaizen_nexus.install if number % 2 else kaizen_nexus.uninstall)()
            except BaseException as error:
                errors.append(error)

        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kaizen_nexus.uninstall()
        assert errors == [], errors
        assert same(before, snapshot())
        """
    )


@pytest.mark.parametrize("imported", ["kaizen.integrations.nexus.storage, nexus", "kaizen.core"])
def test_the_real_kaizen_comes_back_as_it_was(run: Run, original: None, imported: str) -> None:
    run(
        SNAPSHOT
        + f"""
        import {imported}
        import logging, warnings
        import kaizen.integrations, nexus as kailash_nexus
        import kaizen_nexus, kaizen_nexus.nexus, kaizen_nexus.compat
        from unittest.mock import patch

        logging.disable()
        before = snapshot()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kaizen_nexus.install()
        assert len(caught) == ("storage" in {imported!r})
        from kaizen.integrations.nexus import deploy_as_api
        import kaizen.integrations.nexus.session_manager
        assert deploy_as_api is kaizen_nexus.deploy_as_api
        with patch("kaizen.integrations.nexus.deployment.deploy_as_cli"):
            pass
        from nexus import Nexus
        assert Nexus is kailash_nexus.Nexus is not kaizen_nexus.Nexus
        kaizen_nexus.uninstall()
        assert same(before, snapshot())
        from kaizen.integrations.nexus import deploy_as_api
        assert deploy_as_api.__module__ == "kaizen.integrations.nexus.deployment"
        """
    )
