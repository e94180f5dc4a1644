"""`--preview` and `--dry-run`: what the teacher would read and what would not fit, without calling it."""

import sys
from contextlib import closing
from itertools import islice

from deepicd.engines import registry, tokens
from deepicd.engines.model import find_model
from deepicd.engines.openai_server import OpenAIServerEngine
from deepicd.engines.openai_servers import OpenAIServersEngine
from deepicd.errors import DeepicdError
from deepicd.prompts.template import choose_template
from distill import prompt, run
from distill.attempts import describe_plan
from distill.prompt_builder import Prompt, PromptBuilder
from distill.run import Job

RULE = "─" * 80


def preview_prompts(job: Job, count: int) -> str:
    """Return the first prompts of a run as the model reads them, each with its length in tokens.

    Raises DeepicdError where notes are credentialed and would go into a file or to another program.
    """
    sources = job.open_sources()
    if sources.origin == "mimic" and not sys.stdout.isatty():
        raise DeepicdError(
            "These notes are credentialed: a preview goes to a terminal only, not into a file or another program.",
            "Run the same command without redirecting its output.",
        )
    counter = tokens.find_counter(job.recipe)
    builder = PromptBuilder(job.recipe, sources.knowledge, counter, examples=sources.examples)
    built = (builder.build(row) for _, row in sources.read_rows())
    prompts = islice((row_prompt for row_prompt in built if isinstance(row_prompt, Prompt)), count)
    shown = [_format(row_prompt, number, builder) for number, row_prompt in enumerate(prompts, start=1)]
    return "\n".join([*builder.tokens.describe_template(job.recipe), *shown])


def _format(built: Prompt, number: int, builder: PromptBuilder) -> str:
    text = builder.tokens.render_chat(built.messages, builder.opening)
    template = "in the teacher's chat template"
    if text is None:
        template = "the chat template is not available, so messages are listed one below the other"
        turns = [f"[{message['role']}]\n{message['content']}" for message in built.messages]
        text = "\n\n".join([*turns, f"[assistant]\n{builder.opening}"])
    return "\n".join(
        [
            RULE,
            f"Prompt {number}: {builder.tokens.count(text):,} tokens by {builder.tokens.method}; {template};"
            f" guidelines: {built.guideline_text}; examples: {len(built.material.examples)};"
            " the teacher continues after the last line.",
            RULE,
            text,
        ]
    )


def check_readiness(job: Job) -> str:
    """Return which engine, model and server a run would use, once they have been found ready. Raises DeepicdError.

    A server is asked one question without a note, under all settings of the recipe. A model that this machine would
    load is looked up, not loaded.
    """
    job.prepare()
    recipe = job.recipe
    what = f"Engine {recipe.engine}, model {recipe.model}"
    if not recipe.uses_model:
        return f"{what}: no language model."
    if not registry.asks_server(recipe.engine):
        return f"{what}: found, with a context of {find_model(recipe).context:,} tokens; its weights were not loaded."
    with closing(registry.open_engine(recipe)) as engine:
        if isinstance(engine, OpenAIServerEngine | OpenAIServersEngine):
            template = choose_template(prompt.PROMPT, recipe.prompt, recipe.messages)
            engine.ask_probe(with_opening=prompt.find_opening(template))
        return f"{what}, server {recipe.base_url} ({engine.version or 'version unknown'}): answers."


def describe_job(job: Job) -> str:
    """Return what a run would have to do, and which prompts do not fit the context. Leaves nothing behind."""
    missing = [folder for folder in (job.out, *job.out.parents) if not folder.exists()]
    try:
        with run.open_plan(job, job.open_sources()) as (plan, history):
            return "\n".join(describe_plan(plan.counts, history.builder))
    finally:
        for folder in [job.out / "ledger", *missing]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
