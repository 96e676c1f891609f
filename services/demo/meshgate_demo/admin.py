"""Everything but the chat itself: models, health, planned faults, the record of requests."""

import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from meshgate_demo.conversation import InvalidRequestError, JsonObject
from meshgate_demo.faults import FaultBoard, planned_fault_from
from meshgate_demo.openai_shape import error_body, models_body
from meshgate_demo.records import Records
from meshgate_demo.settings import DemoSettings


class Admin:
    """Thin handlers; the objects they serve belong to app.py."""

    def __init__(
        self,
        settings: DemoSettings,
        faults: FaultBoard,
        records: Records,
        monotonic_s: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._faults = faults
        self._records = records
        self._monotonic_s = monotonic_s
        self._started_s = int(unix_s())

    async def models(self, _: Request) -> Response:
        return JSONResponse(models_body(self._settings.models, self._started_s))

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def show_faults(self, _: Request) -> Response:
        return JSONResponse(self._planned())

    async def plan_faults(self, request: Request) -> Response:
        """Replaces all: one fault, or {"faults": [...]}; they are used in this order."""
        try:
            body = json.loads(await request.body())
            several = body.get("faults", [body]) if isinstance(body, dict) else [body]
            self._faults.plan([planned_fault_from(one) for one in several])
        except InvalidRequestError as problem:
            return JSONResponse(error_body(400, str(problem), 0, problem.parameter), 400)
        except ValueError:
            return JSONResponse(error_body(400, "the body is not JSON", 0), 400)
        return JSONResponse(self._planned())

    async def clear_faults(self, _: Request) -> Response:
        self._faults.plan([])
        return JSONResponse(self._planned())

    async def show_requests(self, _: Request) -> Response:
        return JSONResponse(self._records.as_json(self._monotonic_s()))

    async def clear_requests(self, _: Request) -> Response:
        self._records.clear()
        return JSONResponse(self._records.as_json(self._monotonic_s()))

    def _planned(self) -> JsonObject:
        planned = [
            {"fault": one.fault.name, "count": one.count, "model": one.fault.model}
            for one in self._faults.planned()
        ]
        return {"faults": planned}
