"""Where webhooks may be sent, and how many there are."""

from pydantic import BaseModel, ConfigDict, Field

from app.settings.units import Network


class WebhookSettings(BaseModel):
    """Where webhooks may be sent, how many a project may have, and how long deliveries are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow_http: bool = Field(
        default=False, description="Allow webhooks to http:// URLs, which anyone on the way reads."
    )
    allowed_networks: tuple[Network, ...] = Field(
        (),
        description="Private networks that webhooks may reach, such as 10.1.0.0/16. All public "
        "addresses may be reached; private, loopback and link-local ones only if listed here.",
    )
    per_project: int = Field(
        20, ge=0, le=1000, description="Maximum number of webhooks of a project; 0: no webhooks."
    )
    delivery_days: float = Field(
        14,
        ge=1,
        le=3650,
        description="Days for which a delivery is listed and can be sent again.",
    )
