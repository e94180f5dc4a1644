"""Which setting a server refuses, where it answers nobody: found by leaving out one after the other.

raise await explain_refusal(client, body, refusal)      # a DeepicdError that names it and what to do
"""

from deepicd.engines import replies
from deepicd.engines.openai_client import OpenAIClient
from deepicd.engines.outage import build_probe
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.replies import Json, RefusedError
from deepicd.errors import DeepicdError
from deepicd.http import TransientError

# Names that a parameter has on newer servers (OpenAI's since its reasoning models)
OTHER_NAMES = {"max_tokens": "max_completion_tokens"}


async def explain_refusal(client: OpenAIClient, body: Json, refusal: RefusedError) -> DeepicdError:
    """Return the error that names the setting without which the server answers."""
    where = f"The server at {client.url} refuses every request, also one without a note."
    if (setting := await _find_setting(client, body, refusal)) is not None:
        value = "" if isinstance(body[setting], dict) else f" ({body[setting]})"
        return DeepicdError(f"{where} It does not accept {setting!r}{value}.", _advise(setting))
    if await _is_answered(client, build_probe(body, with_system=False)):
        return DeepicdError(
            f"{where} Its model's chat template accepts no system message.", "Choose a model whose template has one."
        )
    return DeepicdError(where, "Look for the reason in its own log, and change the recipe's setting that it names.")


async def _find_setting(client: OpenAIClient, body: Json, refusal: RefusedError) -> str | None:
    settings = [name for name in body if name not in ("model", "messages")]
    if (named := replies.find_setting(refusal.param, settings)) is not None:
        return named
    for name in settings:
        if await _is_answered(client, build_probe({key: value for key, value in body.items() if key != name})):
            return name
    return None


def _advise(setting: str) -> str:
    ways = [f"leave it out: --set 'drop_parameters=[{setting}]'"]
    if other := OTHER_NAMES.get(setting):
        ways.insert(0, f"give its other name: --set 'rename_parameters={{{setting}: {other}}}'")
    if setting in ModelRecipe.model_fields:
        ways.insert(0, f"change it in the recipe: --set {setting}=…")
    return f"Ask another server, or {'; or '.join(ways)}."


async def _is_answered(client: OpenAIClient, body: Json) -> bool:
    try:
        await client.ask(body)
    except (RefusedError, TransientError):
        return False
    return True
