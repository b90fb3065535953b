"""From when on a deployment is judged, which a process that continues it after a kill must know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.store.database import Database


@dataclass(frozen=True)
class EvidenceStart:
    """When the new release of a service first received traffic, and the exits of its containers until then, by name."""

    since: datetime
    exits: Mapping[str, int]


class DeploymentEvidence:
    """The start of the evidence of each service of a deployment. Only the first one that is stored counts.

    Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def start(self, deployment: int, service: str) -> EvidenceStart | None:
        """Return the start, None if the release has received no traffic yet."""
        row = self._db.row(
            "SELECT since, exits FROM deployment_evidence WHERE deployment=? AND service=?", deployment, service
        )
        return EvidenceStart(datetime.fromisoformat(row["since"]), json.loads(row["exits"])) if row else None

    def begin(self, deployment: int, service: str, start: EvidenceStart) -> None:
        """Store the start. On disk when this returns."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO deployment_evidence (deployment, service, since, exits) VALUES (?,?,?,?)",
                (deployment, service, start.since.isoformat(), json.dumps(dict(start.exits))),
            )
