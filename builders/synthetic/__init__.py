"""Make up a copy of MIMIC-IV 3.1 and Note 2.2, for anyone without access to the credentialed one.

    phrases, generator_knowledge, unlisted_codes    what the generator knows of diseases: hand-written YAML, and what
                                                    stands in for a code that the YAML does not list
    diagnosis_sampling, admissions, patients        diagnoses, stays and patients, drawn in batches
    clinical_case → note_admission_sections,        a note's parts: those known at admission, those that name the
        note_discharge_sections, note_filler        diagnosis, and what makes it long
    note_layout → discharge_note                    the parts under their headers, with the irregularities of real notes
    foreign_style, foreign_sections → foreign_note  the same case as another hospital writes it (--style foreign)
    mimic_csv, synthesize                           the tables as files, the command (the proof that all is made up is
                                                    deepicd.synthetic_proof)

Every sentence was written for this project from general medical knowledge; nothing comes from MIMIC or another corpus.
"""
