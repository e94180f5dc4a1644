"""A MIMIC-IV 3.1 + Note 2.2 copy of made-up records, for anyone without the credentialed one.

    phrases → knowledge → conditions     what is known of diseases: hand-written YAML and its reader
    unlisted                             the same for any other code, from its relatives or its chapter
    stays, diagnoses                     patients, admissions and codes, drawn in batches
    admission, outcome, longer → notes   a discharge note as parts known at admission and parts that tell the diagnosis
    headers, oddities → gold             how notes depart from their template, and what a perfect reader finds in them
    making                               what one process makes of a batch of patients
    tables, hosp_copy, mark, generator   files: written, read, proven synthetic, made

Every sentence is ours, written from general medical knowledge; nothing comes from MIMIC or any other corpus.
This file imports nothing, so that asking `mark` about a copy loads no generator.
"""
