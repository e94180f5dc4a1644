"""The extraction that DeepICD-R1 builds on, rewritten from a description of what it does, faults included.

For comparison only: `deepicd audit` shows what it leaks, the benchmark what it costs. It looks for a header anywhere in
the note, in any case, and takes all text up to an empty line that is followed by words without brackets, bars,
backslashes, full stops or digits, and a colon. So a colon in a paragraph ends a section, a discharge exam in brackets
does not, and a section at the end of the note is not found. Line breaks become spaces.
"""

import re

from builders.cohort.criteria import PRESETS

HEADERS = {
    "Allergies": "allergies:",
    "Chief Complaint": "chief complaint:",
    "History of Present Illness": "present illness:",
    "Past Medical History": "medical history:",
    "Social History": "social history:",
    "Family History": "family history:",
    "Physical Exam": "physical exam:",
    "Medications on Admission": "medications on admission:",
}
_SECTIONS = {
    name: re.compile(rf"{header}(.*?)\n\s*\n[^()|\\.\d:]+:", re.IGNORECASE | re.DOTALL)
    for name, header in HEADERS.items()
}


def extract_published_sections(note: str) -> dict[str, str]:
    """Return section → text, in the order of the paper's admission notes; {} if the three main ones are absent."""
    sections = {
        name: text
        for name, pattern in _SECTIONS.items()
        if (match := pattern.search(note)) and (text := " ".join(match[1].split()))
    }
    return sections if any(name in sections for name in PRESETS["paper"].required) else {}
