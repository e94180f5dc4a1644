"""What a publication would do, in lines, before it does it: files, sizes, visibility, gate.

out/dataset → clinic/mimic-reason at huggingface.co
  what        card (synthetic)
  repository  new, private
"""

from pathlib import Path
from urllib.parse import urlsplit

from cards.hub import upload
from cards.hub.client import HubRepository, RepositoryState
from cards.hub.dataset_files import Contents
from cards.hub.policy import Wish

SHOWN = 40  # names of files, of each kind


def describe_plan(
    contents: Contents, hub: HubRepository, before: RepositoryState | None, wish: Wish, out: Path
) -> list[str]:
    """What would be done, in lines: files, sizes, visibility, gate."""
    wanted = upload.find_changes(contents, before.files if before else {})
    becomes = "public, once verified" if wish.public and (before is None or before.private) else ""
    gate = "opened by hand" if wish.gated or (before and before.gated == "manual") else "none"
    lines = [
        f"{out} → {hub.repo} at {urlsplit(hub.endpoint).netloc}",
        f"  what        {contents.what}{' of a model' if contents.kind == 'model' else ''} ({contents.origin})",
        f"  repository  {before.visibility if before else 'new, private'}{f'; {becomes}' if becomes else ''}",
        f"  gate        {gate}",
        f"  files       {len(contents.files):,}, {contents.size / 1e6:,.1f} MB: {wanted}",
    ]
    for word, names in (("new", wanted.new), ("changed", wanted.changed), ("removed", wanted.gone)):
        for name in names[:SHOWN]:
            size = f"{contents.files[name].stat().st_size / 1e3:>12,.1f} kB" if name in contents.files else " " * 15
            lines.append(f"    {word:<8}{size}  {name}")
        if len(names) > SHOWN:
            lines.append(f"    {word:<8}{' ' * 15}  and {len(names) - SHOWN:,} more")
    if contents.not_sent:
        lines.append(f"  not sent    {', '.join(contents.not_sent)}")
    return lines
