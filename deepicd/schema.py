"""Every table and JSON document that passes from one stage to the next, column by column.

`code` columns hold ICD-10-CM codes without a dot, as MIMIC does; only `descriptions.code` (ICD-10-GM, as the site
writes it) has one. Parquet files carry their origin in the footer (see deepicd.storage).
"""

from typing import TypedDict

import pyarrow as pa

SPLITS = ("train", "validation", "test")

_TEXT, _COUNT = pa.string(), pa.int64()
_TEXTS = pa.list_(_TEXT)
_SECTIONS = pa.list_(pa.struct([("name", _TEXT), ("text", _TEXT)]))

# build → distill, assemble: one row per admission, OUT/{train,validation,test}.parquet, ordered by note_id
COHORT = pa.schema(
    [
        ("note_id", _TEXT),  # '<subject_id>-DS-<note_seq>'
        ("subject_id", _COUNT),  # the patient
        ("hadm_id", _COUNT),  # the stay
        ("admission_note", _TEXT),  # what was known at admission: 'Chief Complaint:\n…', template order
        ("icd_code", _TEXT),  # the first diagnosis: smallest seq_num
        ("icd_title", _TEXT),  # MIMIC's own dictionary, or the release tables where it has none
        ("category", _TEXT),  # first three characters
        ("chapter", pa.int8()),  # 1–22
        ("seq_num", _COUNT),  # usually 1; may have gaps
        ("flags", _TEXTS),  # reasons why a reader may want to exclude or inspect the row
    ]
)
# Behind the cohort's columns, those that only an analysis reads (evaluate --subgroups): they enter no prompt and no
# dataset. Null is unknown. Cohorts of earlier versions lack them.
ANALYSIS = pa.schema(
    [
        ("sex", _TEXT),  # 'F' or 'M'
        ("age_band", _TEXT),  # at admission: 'under 18', '18-29', '30-39', …, '80-89', '90+'
        ("race", _TEXT),  # as MIMIC's admissions has it
        ("admission_type", _TEXT),  # as MIMIC's admissions has it
        ("icd_codes", _TEXTS),  # all ICD-10 codes of the stay in billing order, each once
        ("icu", pa.bool_()),  # whether the stay is in icu/icustays; null if the copy lacks that table
    ]
)
COHORT_FILE = pa.schema([*COHORT, *ANALYSIS])

# build → verify: what became of each row of the cohort, OUT/outcome/<split>.parquet, in the same order. Sealed: only
# `deepicd.outcome` opens these files, for the stages named there.
OUTCOME = pa.schema(
    [
        ("note_id", _TEXT),  # as in the cohort
        ("hadm_id", _COUNT),  # the stay
        ("sections", _SECTIONS),  # what the note says of the time after admission, under the names of the template
        ("icd_codes", _TEXTS),  # all ICD-10-CM codes of the stay in billing order, each once
        ("days", pa.float64()),  # length of stay; null where the copy does not tell
        ("died", pa.bool_()),  # in hospital; null where the copy does not tell
        ("icu", pa.bool_()),  # whether the stay had time in an ICU; null where the copy has no table of ICU stays
    ]
)

# build → its user: one row per discharge note that is not in the cohort, OUT/excluded.parquet, ordered by note_id
EXCLUDED = pa.schema(
    [
        ("note_id", _TEXT),  # as MIMIC has it
        ("subject_id", _COUNT),  # the patient
        ("hadm_id", _COUNT),  # the stay; null where the note names none
        ("reason", _TEXT),  # the first criterion that it fails: 'no admission', 'not ICD-10', …
    ]
)

# build → its user: one row per header that the template does not know, and what became of the text under it,
# OUT/headers.parquet, most frequent first
HEADERS = pa.schema(
    [
        ("header", _TEXT),  # lower case, without colon
        ("place", _TEXT),  # the section that it stands under
        ("times_seen", _COUNT),  # in all notes that were read
        ("outcome", _TEXT),  # 'cut' or 'kept'
    ]
)

# A claim of a trace and the place in the note that decides it (deepicd.evidence); offsets count characters
EVIDENCE = pa.struct(
    [
        ("claim_start", pa.int32()),  # in `trace`
        ("claim_end", pa.int32()),  # one past its last character
        ("category", _TEXT),  # 'number', 'vital', 'lab', 'drug', 'finding' or 'quotation'
        ("kind", _TEXT),  # 'supported', 'inference', 'contradicted' or 'absent'
        ("note_start", pa.int32()),  # in the cohort's `admission_note`; null where the note has no such place
        ("note_end", pa.int32()),  # one past its last character
    ]
)

# distill → assemble, judge: one row per attempt, kept (kept/*.parquet) or rejected (rejected/*.parquet); among the
# rejected also one row per rollout without any completion, with nulls from `trace` on
TRACES = pa.schema(
    [
        ("note_id", _TEXT),  # as in the cohort
        ("split", _TEXT),  # train, validation, test
        ("icd_code", _TEXT),  # the true code that the teacher was given
        ("trace", _TEXT),  # reasoning without tags; null if the completion is malformed
        ("completion", _TEXT),  # everything that the teacher wrote, from <think> on
        ("words", _COUNT),  # of the trace; of the completion if there is no trace
        ("finish_reason", _TEXT),  # 'stop' or 'length'
        ("rejected_for", _TEXTS),  # reason codes of the checks; empty for a kept row
        ("rollout", pa.int16()),  # of the recipe's rollouts, 1 for the first; null where the row has no prompt
        ("attempt", pa.int16()),  # at this rollout, 1 for the first
        ("attempts", pa.int16()),  # made for this rollout
        ("row_kept", pa.bool_()),  # whether one of the row's attempts was kept
        # how it was generated
        ("recipe", _TEXT),  # name of the recipe
        ("recipe_digest", _TEXT),  # of its settings; the name of the folder
        ("teacher", _TEXT),  # the model that wrote it
        ("revision", _TEXT),  # of the teacher; '' if the recipe pins none
        ("engine", _TEXT),  # as `--engine` names it
        ("engine_version", _TEXT),  # of its library or its server
        ("temperature", pa.float64()),  # of sampling
        ("top_p", pa.float64()),  # 1 for all tokens
        ("top_k", pa.int32()),  # 0 for all tokens
        ("max_tokens", pa.int32()),  # of the completion
        ("seed", _COUNT),  # of this attempt
        # what the teacher was shown
        ("prompt", _TEXT),  # version of the wording of the prompt
        ("layout", _TEXT),  # 'prefix' or 'paper'
        ("prompt_sha256", _TEXT),  # of all messages and the start of the answer
        ("note_sha256", _TEXT),  # of the admission note
        ("description_code", _TEXT),  # of the description (ICD-10-GM); null for none
        ("description_sha256", _TEXT),  # of its text; null for none
        ("guideline_chapter", pa.int8()),  # of the guidelines; null for none
        ("guideline_text", _TEXT),  # 'full', 'relevant' or 'none'
        ("guidelines_sha256", _TEXT),  # of the text that was shown; null for none
        # what it cost; null if the engine does not report it
        ("prompt_tokens", pa.int32()),  # of this request
        ("completion_tokens", pa.int32()),  # that were written
        ("cached_tokens", pa.int32()),  # of the prompt's tokens, those from the prefix cache
        ("seconds", pa.float64()),  # from the request to the completion
        # what the checks measured
        ("checks", _TEXT),  # version of the measurements
        ("named_at", pa.float32()),  # where code or title first occur: 0 the start, 1 the end; null for nowhere
        ("giveaways", pa.int16()),  # phrases that show that the answer was known
        ("repeated", pa.float32()),  # share of words in runs of six that occurred before
        ("english", pa.float32()),  # share of English function words minus that of German ones
        ("other_script", pa.float32()),  # share of letters that are not Latin
        ("numbers", pa.int16()),  # in the trace
        ("numbers_in_note", pa.int16()),  # those of them that the note has, too
        ("drugs", pa.int16()),  # in the trace
        ("drugs_in_note", pa.int16()),  # those of them that the note has, too
        ("quotes", pa.int16()),  # in the trace
        ("quotes_in_note", pa.int16()),  # those of them that the note has, too
        ("verbatim", pa.int32()),  # words in the longest run copied verbatim from the note
        ("evidence", pa.list_(EVIDENCE)),  # its claims in order, without overlap; empty without a trace
    ]
)
# What traces of all versions have: earlier ones have no `evidence`, and one rollout per row without a column for it.
FIRST_TRACES = pa.schema([field for field in TRACES if field.name not in ("rollout", "evidence")])

# judge → assemble: one row per kept trace, OUT/<recipe digest>/scores/<split>-00000.parquet, in the cohort's order
SCORES = pa.schema(
    [
        ("note_id", _TEXT),  # as in the cohort
        ("split", _TEXT),  # train, validation, test
        ("icd_code", _TEXT),  # predicted by the trace; the judge saw its guidelines and description
        ("trace_sha256", _TEXT),  # of the trace that was scored
        ("score", pa.int8()),  # 1–5; null if the judge gave none
        ("why", _TEXT),  # the judge's own words
        ("unscored_for", _TEXT),  # why there is no score; null if there is one
        ("judge", _TEXT),  # the model
        ("revision", _TEXT),  # of the judge; '' if the recipe pins none
        ("engine", _TEXT),  # as `--engine` names it; null without an answer, as what else tells of one
        ("engine_version", _TEXT),  # of its library or its server
        ("rubric", _TEXT),  # version of the wording of the rubric
        ("prompt_sha256", _TEXT),  # of all messages
        ("seed", _COUNT),  # of the last attempt
        ("attempts", pa.int16()),  # that were answered
        ("prompt_tokens", pa.int32()),  # of the last attempt, as below; null if the engine does not report it
        ("completion_tokens", pa.int32()),  # that were written
        ("cached_tokens", pa.int32()),  # of the prompt's tokens, those from the prefix cache
    ]
)

# An expectation of a trace and whether it was borne out (deepicd.verification); offsets count characters of `trace`
FORECAST = pa.struct(
    [
        ("start", pa.int32()),  # of its words in `trace`
        ("end", pa.int32()),  # one past its last character
        ("category", _TEXT),  # 'disease', 'symptom', 'sign', 'procedure', 'drug'
        ("stance", _TEXT),  # 'asserted', 'weighed', 'excluded'
        ("verdict", _TEXT),  # 'confirmed', 'refuted', 'untouched'
        ("section", _TEXT),  # of the outcome, that decides it; '' where the outcome is silent
        ("by_model", pa.bool_()),  # whether a model decided, with a quotation, what the rules left untouched
    ]
)

# verify → assemble: one row per kept trace, OUT/<recipe digest>/verified/<split>-00000.parquet, in the cohort's order.
# What a check measures is null where the recipe does not ask for it. No column has words of the outcome, except that
# the questions of `points` are drawn from it.
VERIFIED = pa.schema(
    [
        ("note_id", _TEXT),  # as in the cohort
        ("split", _TEXT),  # train, validation, test
        ("rollout", pa.int16()),  # of the recipe's rollouts, 1 for the first
        ("icd_code", _TEXT),  # the true code
        ("trace_sha256", _TEXT),  # of the trace that was verified
        # borne out
        ("forecasts", pa.list_(FORECAST)),  # what the trace expects of the stay
        ("confirmed", pa.int16()),  # forecasts that the outcome bears out
        ("refuted", pa.int16()),  # forecasts that it contradicts
        ("untouched", pa.int16()),  # forecasts on which it is silent
        # weighing: other codes of the stay
        ("named", pa.int16()),  # distinct diseases among the first k that the trace names
        ("covered", pa.int16()),  # codes that one of them names
        ("nameable", pa.int16()),  # other codes of the stay that say a disease which the lexicon knows
        # answer: from the masked trace alone, and from the note alone
        ("from_trace", _TEXT),  # the code; null for none
        ("from_note", _TEXTS),  # of each answer; null for none
        ("trace_level", pa.int8()),  # 0 another chapter, 1 chapter, 2 category, 3 code; null without an answer
        ("note_level", pa.float32()),  # the mean level of its answers
        ("lift", pa.float32()),  # trace_level minus note_level
        ("overlap", pa.int8()),  # length of the common prefix of `from_trace` and the code
        ("easy", pa.float32()),  # share of answers from the note that have the category: how easy the row is
        # rubric: questions about the stay, drawn from the outcome, and whether the trace meets them
        ("points", pa.list_(pa.struct([("question", _TEXT), ("is_met", pa.bool_())]))),  # each question and the answer
        ("met", pa.float32()),  # the share of them that the trace meets
        ("failed_for", _TEXTS),  # reasons by the recipe's thresholds; empty for a verified trace
        # how it was verified
        ("recipe", _TEXT),  # of the verification
        ("recipe_digest", _TEXT),  # of its settings; the name of the folder
        ("verifier", _TEXT),  # the model; null where rules decided alone
        ("revision", _TEXT),  # of the verifier; null without one
        ("engine", _TEXT),  # as `--engine` names it; null where no model was asked, as below
        ("engine_version", _TEXT),  # of its library or its server
        ("checks", _TEXT),  # version of rules and wording
        ("prompt_tokens", pa.int32()),  # of all requests for this trace
        ("completion_tokens", pa.int32()),  # that were written in answer
    ]
)

# evaluate → evaluate, its user: one row per note of the split, OUT/predictions.parquet, ordered by note_id
PREDICTIONS = pa.schema(
    [
        ("note_id", _TEXT),  # as in the cohort
        ("icd_code", _TEXT),  # the true code
        ("predicted", _TEXT),  # the predicted code; null for none
        ("problem", _TEXT),  # why there is none: deepicd.answer_form.Problem, 'no answer', …; null if there is one
        ("overlap", pa.int8()),  # length of the common prefix of the two codes
        ("completion", _TEXT),  # the answer; null for none
    ]
)

# evaluate → its user: one row per note of the split of the config multi, OUT/lists.parquet, ordered by note_id
LISTS = pa.schema(
    [
        ("note_id", _TEXT),  # as in the cohort
        ("icd_codes", _TEXTS),  # the true codes, as in the config
        ("predicted", _TEXTS),  # the codes that the answer lists, in its order; null for a block without a code
    ]
)

# scrape → distill: one row per requested page, ordered by code and language
DESCRIPTIONS = pa.schema(
    [
        ("code", _TEXT),  # ICD-10-GM, dotted: the requested code
        ("language", _TEXT),  # de, en
        ("outcome", _TEXT),  # 'described', 'no text', …; without a page 'no answer' or 'forbidden by robots.txt'
        ("title", _TEXT),  # official title on the page
        ("text", _TEXT),  # paragraphs, separated by blank lines; null unless the outcome is 'described'
        ("words", _COUNT),  # of the text; 0 for none
        ("text_code", _TEXT),  # the code that the page assigns its text to; may differ from `code`
        ("marks", _TEXTS),  # letters of the additional indicators that the page explains: G, V, Z, A, L, R, B
        ("hints", _TEXTS),  # paragraphs of the page's notes, which are not part of the text
        ("url", _TEXT),  # of the page that was requested
        ("status", pa.int16()),  # HTTP status; 0 without an answer
        ("fetched_at", _TEXT),  # ISO 8601, UTC: the time of the download, not of a later read from the cache
        ("sha256", _TEXT),  # of the page as received
        ("extractor", _TEXT),  # version of the parser
    ]
)

_MESSAGES = pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))
_EXTRA_INFO = pa.struct([("split", _TEXT), ("index", _COUNT), ("note_id", _TEXT), ("note", _TEXT)])

# assemble → readers and trainers: dataset/<config>/<split>-00000-of-000NN.parquet
DATASET = {
    "traces": pa.schema(
        [
            ("note_id", _TEXT),
            ("subject_id", _COUNT),
            ("hadm_id", _COUNT),
            ("admission_note", _TEXT),
            ("icd_code", _TEXT),
            ("icd_title", _TEXT),
            ("category", _TEXT),
            ("chapter", pa.int8()),
            ("trace", _TEXT),
            ("words", _COUNT),
            ("judge_score", pa.float32()),  # 1–5; null until `deepicd judge` has scored the traces
            ("recipe", _TEXT),
            ("teacher", _TEXT),
            ("finish_reason", _TEXT),
        ]
    ),
    "sft": pa.schema(  # TRL: prompt and completion as messages
        [
            ("prompt", _MESSAGES),  # the student's chat: instructions and admission note
            ("completion", _MESSAGES),  # one turn of the assistant: the trace in <think>, the code in <diagnosis>
            ("note_id", _TEXT),
            ("icd_code", _TEXT),
        ]
    ),
    "grpo": pa.schema(  # verl's RLHFDataset; TRL reads `prompt` and passes the rest to the reward
        [
            ("data_source", _TEXT),  # 'mimic-reason', by which reward functions know the dataset
            ("prompt", _MESSAGES),  # as in `sft`
            ("ability", _TEXT),  # 'diagnosis'
            ("reward_model", pa.struct([("style", _TEXT), ("ground_truth", _TEXT)])),  # 'rule' and the true code
            ("extra_info", _EXTRA_INFO),  # the row: split, number in it from 0, note_id and admission note
        ]
    ),
}

# A code and the place in the admission note that supports it; offsets count characters
SUPPORT = pa.struct(
    [
        ("icd_code", _TEXT),  # one of `icd_codes`
        ("by", _TEXT),  # 'finding', 'drug', 'value'
        ("note_start", pa.int32()),  # in the admission note
        ("note_end", pa.int32()),  # one past its last character
    ]
)

# Configs that only some datasets have: assemble --verified, --config multi
_OF_VERIFIED = (
    *("forecasts", "confirmed", "refuted", "untouched", "named", "covered", "nameable"),
    *("trace_level", "note_level", "lift", "easy", "points", "met", "failed_for", "verifier", "checks"),
)
FURTHER_CONFIGS = {
    "verified": pa.schema(  # the rows of `traces`, with all that is known of each trace
        [
            *(DATASET["traces"].field(name) for name in (
                "note_id", "subject_id", "hadm_id", "admission_note", "icd_code", "icd_title", "category", "chapter",
                "trace", "words", "judge_score", "recipe", "teacher",
            )),
            ("rollout", pa.int16()),  # the chosen one
            ("rollouts", pa.int16()),  # kept for this row
            ("chosen_by", _TEXT),  # the criterion that set it apart from the next: 'lift', 'judge', …
            ("evidence", pa.list_(EVIDENCE)),  # the claims of the trace, in order
            *(VERIFIED.field(name) for name in _OF_VERIFIED),
        ]
    ),
    "multi": pa.schema(  # verl and TRL: several diagnoses; one row per row of `grpo`, in the same order
        [
            *(DATASET["grpo"].field(name) for name in ("data_source", "prompt", "ability")),
            ("reward_model", pa.struct([("style", _TEXT), ("ground_truth", _TEXT)])),  # 'rule' and `icd_codes`: 'A, B'
            ("extra_info", _EXTRA_INFO),
            ("completion", _MESSAGES),  # the trace in <think>, each code in a <diagnosis>; null without a kept trace
            ("note_id", _TEXT),
            ("icd_codes", _TEXTS),  # the first diagnosis, then the stay's other codes that the note supports, as billed
            ("not_supported", _TEXTS),  # the stay's other codes, as billed
            ("support", pa.list_(SUPPORT)),  # of `icd_codes`, in their order; the first may have none
        ]
    ),
}  # fmt: skip
CONFIGS = DATASET | FURTHER_CONFIGS


# bundle → rehydrate: one row per row of `grpo`, DIR/rows/<split>.parquet, in the same order, without the note;
# from subject_id on null without a kept trace
BUNDLE = pa.schema(
    [
        ("note_id", _TEXT),
        ("icd_code", _TEXT),
        ("note_sha256", _TEXT),  # of the admission note, which `deepicd rehydrate` restores
        *((DATASET["traces"].field(name).name, DATASET["traces"].field(name).type) for name in (
            "subject_id", "hadm_id", "icd_title", "category", "chapter", "trace", "words", "judge_score", "recipe",
            "teacher", "finish_reason",
        )),
    ]
)  # fmt: skip

# Columns, of any table, whose values no row may lack: readers refuse a file with nulls there, or within
NEVER_NULL = frozenset(
    {
        *(
            "note_id",
            "split",
            "admission_note",
            "icd_code",
            "icd_title",
            "icd_codes",
            "trace",
            "rejected_for",
            "rollout",
        ),
        *("giveaways", "repeated", "english", "other_script", "numbers", "numbers_in_note", "drugs", "drugs_in_note"),
        *("quotes", "quotes_in_note", "failed_for", "code", "codes", "outcome", "prompt", "reward_model", "extra_info"),
    }
)
BUNDLE_NULLABLE = frozenset(BUNDLE.names[3:])


class Mark(TypedDict):
    """Characters `start` up to `end` of a text are printed in a style, which the front page explains. In FY2025, bold
    text has changed, underlined text has moved, and a heading in italics was revised."""

    start: int  # of the first character, from 0
    end: int  # one past the last
    style: str  # 'bold', 'underline', 'italics'


class Block(TypedDict):
    """A part of a guideline section's text, in reading order."""

    kind: str  # 'paragraph' or 'item' (one entry of a list, without its bullet)
    text: str  # verbatim
    marks: list[Mark]  # in `text`


class CodeReference(TypedDict):
    """Codes that a section names: those that start with `first`, with `last`, or sort between the two."""

    text: str  # as printed: 'E11.-', 'T36-T50', 'A00.0 through T88.9'
    first: str  # without dot: 'E11', 'T36', 'A000'
    last: str  # equal to `first` unless it is a range


class Section(TypedDict):
    """A guideline section and the sections below it."""

    id: str  # 'I.C.4.a.3.b': unique in a fiscal year
    label: str  # as printed: 'a.', '3)', '(b)'
    title: str  # as printed, without its label
    title_marks: list[Mark]  # underlines and italics; headings are bold anyway
    pages: list[int]  # first and last page of the PDF, counted from 1
    blocks: list[Block]  # its own text
    codes: list[CodeReference]  # named in its title and blocks, not in its children
    see: list[str]  # ids of the sections that it refers to
    children: list["Section"]  # the sections below it, in reading order


class GuidelinePart(Section):
    """guidelines → readers: OUT/fy2025/section_I_A.json, a top-level section and everything below it.

    section_I.json and section_I_C.json have their own blocks only, as the sections below them have files of their own.
    """

    fiscal_year: int  # of the guidelines
    effective: list[str]  # first and last day, ISO 8601; empty if the front page names none


class ChapterGuidelines(TypedDict):
    """guidelines → distill: OUT/fy2025/chapter_04.json."""

    fiscal_year: int  # of the guidelines
    effective: list[str]  # first and last day, ISO 8601; empty if the front page names none
    id: str  # 'I.C.4'
    number: int  # 1–22
    roman: str  # the number in Roman numerals
    title: str  # without the codes: 'Endocrine, Nutritional, and Metabolic Diseases'
    heading: str  # as printed: '4. Chapter 4: Endocrine, Nutritional, and Metabolic Diseases (E00-E89)'
    heading_marks: list[Mark]  # in `heading`
    ranges: list[list[str]]  # [['A00', 'B99'], ['U07.1', 'U07.1']]
    reserved: bool  # 'Reserved for future guideline expansion', and nothing else
    pages: list[int]
    blocks: list[Block]  # text before the first section
    codes: list[CodeReference]
    see: list[str]
    sections: list[Section]  # the sections of the chapter, in reading order


# guidelines → readers: OUT/fy2025/sections.parquet, one row per section in reading order
SECTIONS = pa.schema(
    [
        ("fiscal_year", pa.int16()),  # of the guidelines
        ("id", _TEXT),  # 'I.C.4.a.3.b': unique in a fiscal year
        ("parent", _TEXT),  # its id; null for the front matter, Sections I to IV and the appendix
        ("level", pa.int8()),  # 0 for those, 1 for 'A.', 2 for '1.', 3 for 'a.', …
        ("chapter", pa.int8()),  # 1–22, null outside Section I.C
        ("label", _TEXT),  # as printed: 'a.', '3)', '(b)'
        ("title", _TEXT),  # of the section
        ("text", _TEXT),  # its own blocks, one per line, '- ' before an item; '' if it has children only
        ("codes", pa.list_(pa.struct([("text", _TEXT), ("first", _TEXT), ("last", _TEXT)]))),  # see CodeReference
        ("see", _TEXTS),  # ids of the sections that it refers to
        ("first_page", pa.int16()),  # of the PDF, counted from 1
        ("last_page", pa.int16()),  # of the PDF, counted from 1
        ("marks", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("style", _TEXT)]))),  # in `text`
    ]
)
