"""What the serving side says that it runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentNotice:
    """What a serving system says.

    Attributes:
        name: of the serving system, as the operator calls it.
        deployed_at: since when it serves these weights.
    """

    request_id: str
    weights_digest: str
    name: str
    deployed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What was made of it.

    Attributes:
        closed_ticket_ids: tickets that succeeded by it.
    """

    tenant: str
    request_id: str
    lineage: str
    name: str
    weights_digest: str
    release_number: int
    deployed_at: datetime
    acknowledged_at: datetime
    closed_ticket_ids: tuple[str, ...] = ()

    @property
    def notice(self) -> DeploymentNotice:
        """Return what the serving system had said."""
        return DeploymentNotice(
            request_id=self.request_id,
            weights_digest=self.weights_digest,
            name=self.name,
            deployed_at=self.deployed_at,
        )


def newest_served(deployments: Iterable[Deployment]) -> int:
    """Return the newest release that any of these has served; 0 where there is none."""
    return max((deployment.release_number for deployment in deployments), default=0)
