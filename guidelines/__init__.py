"""Turn the ICD-10-CM guideline PDF into structured text: verbatim, complete, of any fiscal year.

    deepicd guidelines icd-10-cm-guidelines.pdf out/guidelines

A document passes through `characters` (what is printed where), `running_lines` (headers, footers and stamps are taken
out), `text_layer` (nothing is illegible or added), `lines` (with their styles), `pdf_document` (front matter, contents,
body), `headings` (from bookmarks, or from fonts and numbering), `sections` (paragraphs and list items, nested, with
ids), `completeness` (nothing is missing), `audit` (a second library reads the same words) and `parse` (files).
"""
