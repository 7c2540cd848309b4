"""Settings of browser sessions, and limits on attempts to get in."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field


class AccountSettings(BaseModel):
    """How long browser sessions last, and how often callers may try to get in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_idle_days: float = Field(
        7, gt=0.02, le=365, description="Days after which an unused browser session ends."
    )
    session_days: float = Field(
        30, gt=0.02, le=365, description="Days after which every browser session ends."
    )
    sign_ins_per_minute: int = Field(
        10, ge=1, le=10_000, description="Sign-ins to one account from one address."
    )
    address_sign_ins_per_minute: int = Field(
        30, ge=1, le=10_000, description="Sign-ins from one address, to all accounts."
    )
    setups_per_minute: int = Field(
        30, ge=1, le=10_000, description="Uses of set-up links from one address."
    )
    logins_per_minute: int = Field(
        30,
        ge=1,
        le=10_000,
        description="Logins of programs that are begun, and short codes that are looked up, from "
        "one address.",
    )
    login_polls_per_minute: int = Field(
        240,
        ge=1,
        le=100_000,
        description="Questions whether a login was confirmed, from one address.",
    )
    wrong_keys_per_minute: int = Field(
        120,
        ge=1,
        le=1_000_000,
        description="Requests with a wrong key from one address that are answered with 401; "
        "further ones get 429. Right keys are not affected.",
    )
    writes_per_minute: int = Field(
        6000, ge=1, le=1_000_000, description="Writing requests of one key or one session."
    )

    @property
    def session_idle(self) -> timedelta:
        """`session_idle_days` as a duration."""
        return timedelta(days=self.session_idle_days)

    @property
    def session_lifetime(self) -> timedelta:
        """`session_days` as a duration."""
        return timedelta(days=self.session_days)
