from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kaizen_nexus.compat.names import PACKAGE_NAMES, SUBMODULES

Run = Callable[..., str]

CONTRACT_NAMES = [
    "NEXUS_AVAILABLE",
    "Nexus",
    "NexusConnection",
    "NexusDeploymentMixin",
    "deploy_as_api",
    "deploy_as_cli",
    "deploy_as_mcp",
    "deploy_multi_channel",
    "deploy_with_sessions",
    "ParameterMapper",
    "CrossChannelSession",
    "NexusSessionManager",
    "DeploymentCache",
    "get_deployment_cache",
    "clear_deployment_cache",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "get_global_metrics",
    "reset_global_metrics",
]

OWN_NAMES = [
    "Auth",
    "JwtSettings",
    "LatencyHistogram",
    "SessionTable",
    "SlidingLatencyHistogram",
    "VersionConflictError",
    "Quarantine",
    "cache_key",
    "Workflow",
    "BaseAgent",
    "install",
    "uninstall",
    "IMPLEMENTATION",
    "__version__",
]


def test_without_kaizen_everything_resolves_to_ours(run: Run) -> None:
    output = run(
        f"""
        import kaizen_nexus
        kaizen_nexus.install()
        kaizen_nexus.install()
        import kaizen.integrations.nexus as package
        for name in {CONTRACT_NAMES!r}:
            assert getattr(package, name) is getattr(kaizen_nexus, name), name
        from kaizen.integrations.nexus import *
        assert deploy_as_api is kaizen_nexus.deploy_as_api
        from nexus import Nexus
        assert Nexus is kaizen_nexus.Nexus
        import kaizen.integrations
        assert kaizen.integrations.nexus is package
        try:
            from kaizen.integrations.nexus import missing
        except ImportError as error:
            print("ok")
        """,
        hide=True,
    )
    assert output == "ok\n"


@pytest.mark.parametrize("submodule", SUBMODULES)
def test_every_submodule_of_the_original_resolves(run: Run, submodule: str) -> None:
    run(
        f"""
        import importlib, kaizen_nexus
        kaizen_nexus.install()
        module = importlib.import_module("kaizen.integrations.nexus.{submodule}")
        for name, home in {SUBMODULES[submodule]!r}.items():
            origin, _, attribute = home.partition(":")
            assert getattr(module, name) is getattr(importlib.import_module(origin), attribute)
        """
    )


def test_beside_kaizen_only_the_integration_is_replaced(run: Run, kaizen: Path) -> None:
    run(
        """
        import warnings
        warnings.simplefilter("error")
        import kaizen_nexus
        kaizen_nexus.install()
        import kaizen, kaizen.integrations
        assert (kaizen.core, kaizen.integrations.other) == ("theirs", "theirs")
        from kaizen.integrations.nexus import deploy_as_api
        from kaizen.integrations.nexus.deployment import deploy_as_api as same
        assert deploy_as_api is same is kaizen_nexus.deploy_as_api
        from kaizen.integrations.nexus.models import register_session_models
        assert register_session_models(None) == "theirs"
        """,
    )


def test_who_imported_the_original_keeps_it_and_a_warning_says_so(run: Run, kaizen: Path) -> None:
    output = run(
        """
        import warnings
        import kaizen.integrations
        from kaizen.integrations.nexus import deploy_as_api as before
        import kaizen_nexus
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kaizen_nexus.install()
        (warning,) = caught
        assert warning.filename == "<string>", warning.filename
        assert before() == "theirs"
        from kaizen.integrations.nexus import deploy_as_api as after
        assert after is kaizen.integrations.nexus.deploy_as_api is kaizen_nexus.deploy_as_api
        print(warning.category.__name__, warning.message)
        """,
    )
    assert output.startswith("RuntimeWarning kaizen.integrations.nexus was imported before")
    assert "first thing at start-up" in output


def test_their_nexus_stays_theirs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nexus.py").write_text("Nexus = 'theirs'\n")
    run(
        """
        import kaizen_nexus
        kaizen_nexus.install()
        from nexus import Nexus
        assert Nexus == "theirs"
        """
    )


def test_the_public_names_are_those_of_the_contract() -> None:
    import kaizen_nexus

    assert set(CONTRACT_NAMES) | set(OWN_NAMES) == set(kaizen_nexus.__all__)
    assert set(CONTRACT_NAMES) <= set(PACKAGE_NAMES)
    for name in kaizen_nexus.__all__:
        assert getattr(kaizen_nexus, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        kaizen_nexus.missing


def test_importing_the_package_imports_nothing_slow(run: Run) -> None:
    output = run(
        """
        import sys
        before = set(sys.modules)
        import kaizen_nexus
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        slow = {"numpy", "msgspec", "starlette", "uvicorn", "mcp", "click", "asyncio"}
        print(sorted(loaded & slow))
        """
    )
    assert output == "[]\n"
