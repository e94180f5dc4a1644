"""Which family a model is of: a judge should be of another one than the teacher, since models favour their own kind."""

from deepicd.errors import DeepicdError
from distill.recipe import Recipe

# Family → what its models, and known descendants under other names, have in theirs.
FAMILIES = {
    "qwen": ("qwen", "qwq", "qvq", "deepicd-r1", "huatuogpt-o1-7b", "huatuogpt-o1-72b"),
    "llama": ("llama", "medreason", "huatuogpt-o1-8b", "huatuogpt-o1-70b", "nemotron", "tulu"),
    "mistral": ("mistral", "mixtral", "ministral", "magistral", "codestral"),
    "gemma": ("gemma", "gemini"),
    "phi": ("phi-",),
    "deepseek": ("deepseek-v", "deepseek-r1", "deepseek-llm", "deepseek-moe"),
    "gpt": ("gpt-",),
    "olmo": ("olmo",),
    "granite": ("granite",),
    "glm": ("glm-", "chatglm"),
    "command": ("command-r", "aya-"),
    "falcon": ("falcon",),
    "rehearsal": ("rehearsal",),
}


def families(model: str) -> frozenset[str]:
    """Families that a name or path tells of; a distilled model may have two; none where the name says nothing.

    >>> sorted(families("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B")), families("our-own/model")
    (['deepseek', 'qwen'], frozenset())
    """
    name = model.lower()
    return frozenset(family for family, parts in FAMILIES.items() if any(part in name for part in parts))


def compared(teacher: str, recipe: Recipe, *, allow_same: bool) -> str | None:
    """A sentence for the record where the judge's independence is in doubt; None where it is not.

    Raises DeepicdError for a judge of the teacher's family, unless that is allowed.
    """
    if not recipe.by_model:
        return "No model has read these traces: the scores are drawn by chance."
    judge = recipe.model
    shared = families(teacher) & families(judge)
    if judge == teacher or shared:
        if not allow_same:
            raise DeepicdError(
                f"The judge {judge!r} is of the teacher's family ({', '.join(sorted(shared)) or teacher}).",
                "Take a model of another family; or, knowing that models favour their own kind, add --same-family.",
            )
        return "The judge is of the teacher's own family."
    if not families(teacher) or not families(judge):
        return f"Whether {judge} and {teacher} are of one family cannot be told from their names."
    return None
