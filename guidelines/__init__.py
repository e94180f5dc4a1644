"""The ICD-10-CM guideline PDF becomes structured text: verbatim, complete, any fiscal year.

    deepicd guidelines icd-10-cm-guidelines.pdf out/guidelines

The way of a document: `lines` (characters of a page → lines with their marks) → `document` (what is front matter,
contents, body) → `headings` (from bookmarks, or from fonts and numbering) → `blocks` (paragraphs and list items) →
`tree` (sections in sections, with ids) → `completeness` (nothing is missing) → `parse` (files).
"""
