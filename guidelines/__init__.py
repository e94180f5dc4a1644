"""Turn the ICD-10-CM guideline PDF into structured text: verbatim, complete, of any fiscal year.

    deepicd guidelines icd-10-cm-guidelines.pdf out/guidelines

A document passes through `lines` (characters of a page → lines with their styles), `pdf_document` (front matter,
contents, body), `headings` (from bookmarks, or from fonts and numbering), `sections` (paragraphs and list items in
nested sections with ids), `completeness` (nothing is missing) and `parse` (files).
"""
