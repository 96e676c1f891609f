"""Names of accounts; see migrations/0004_accounts.sql. Pure."""

GATEWAY = "gateway"
MODEL_MARK = "|model:"


def key_account(key_hash: str) -> str:
    return f"key:{key_hash}"


def user_account(user_id: str) -> str:
    return f"user:{user_id}"


def team_account(team_id: str) -> str:
    return f"team:{team_id}"


def member_account(team_id: str, user_id: str) -> str:
    """A user within a team."""
    return f"member:{team_id}/{user_id}"


def organization_account(organization_id: str) -> str:
    return f"organization:{organization_id}"


def customer_account(end_user: str) -> str:
    return f"customer:{end_user}"


def tag_account(tag: str) -> str:
    return f"tag:{tag}"


def model_account(account_id: str, model: str) -> str:
    """The part of an account that is for one model."""
    return f"{account_id}{MODEL_MARK}{model}"


def account_kind(account_id: str) -> str:
    """The value of ledger.accounts.kind."""
    return "model" if MODEL_MARK in account_id else account_id.partition(":")[0]


def split_account(account_id: str) -> tuple[str, str, str]:
    """Its kind, its id and the model it is for; the latter two may be empty."""
    owner, _, model = account_id.partition(MODEL_MARK)
    kind, _, identity = owner.partition(":")
    return kind, identity, model
