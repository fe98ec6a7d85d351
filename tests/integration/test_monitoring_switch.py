"""Whether measurements are published."""

from __future__ import annotations

import httpx2
import pytest

from kaizen_nexus import Nexus


@pytest.mark.parametrize(
    ("options", "status"),
    [({}, 200), ({"enable_monitoring": True}, 200), ({"enable_monitoring": False}, 404)],
)
def test_measurements_can_be_kept_back(options: dict[str, bool], status: int) -> None:
    app = Nexus(api_port=0, **options)  # type: ignore[arg-type]
    app.start(blocking=False)
    try:
        with httpx2.Client(base_url=app.url, timeout=10) as http:
            assert http.get("/metrics.json").status_code == status
            paths = http.get("/openapi.json").json()["paths"]
            assert ("/metrics.json" in paths) == (status == 200)
            assert http.get("/health/ready").status_code == 200
    finally:
        app.close()
