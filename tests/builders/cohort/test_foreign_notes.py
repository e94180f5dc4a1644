"""Notes as transcription services and other hospitals write them: words with K stay, words with L are cut.

Every note is made up; each is a way to write that MIMIC's template does not have.
"""

import re

import pytest

from builders.cohort.sections import extract_admission_note

SUMMARIES = {
    "reason for admission, course in hospital": """
REASON FOR ADMISSION:  Chest pain K1.

HISTORY OF PRESENTING COMPLAINT:  Two hours of pressure K2.

COURSE IN HOSPITAL:  He was stented L1.

DISPOSITION:  Home L2.
""",
    "numbers in brackets": """
[I. Presenting Complaint] Fever K1.

[II. Progress in Hospital]
Drained L1.

[C. Multidisciplinary Rounds] Agreed to go on L2.
""",
    "unknown headers whose text counts the days of the stay": """
1. CHIEF COMPLAINT
Wheeze K1.
==========
Dietetics: Supplements from day 2 L1.
==========
3. PRESENT ILLNESS
Wheeze for a week K4.

Ward round
decisions: Day 2: change to oral L4.
==========
2. REVIEW OF SYMPTOMS
Eyes: no change K2

Pathology:
Final report of day 5 L2.

3. SOCIAL HISTORY
Lives alone K3. Made voluntary on day 10 L3.
""",
    "the course on top, no empty line": """
Hospital Course:
Vancomycin L1.
HPI:
Redness of the shin for 3 days K1.
Exam on admission:
Warm to the knee K2.
Exam on discharge:
Pale L2.
Labs on admission:
WBC 17 L3
""",
    "a code status on top": """
CODE STATUS:
Full L1.
CHIEF COMPLAINT
Weakness K1
MEDICATIONS
Sevelamer K2.
PHYSICAL EXAMINATION
General: tired K3
DIALYSIS
Two sessions L2
""",
    "a header below a line of text": """
Discharge Diagnosis:
Urosepsis L1
History and Reason for Hospitalization:
Drowsy since yesterday K1.
Menstrual history:
Regular cycles K2
Obstetric History:
One child K3
""",
    "the diagnosis of an operation behind the history": """
HISTORY OF THE PRESENT ILLNESS:
Knee pain for years K1.
PREOPERATIVE DIAGNOSIS:
Osteoarthritis L1.
POSTOPERATIVE COURSE:
Walking L2.
""",
    "abbreviations of British notes": """
PC: SOB K1

HxPC: Worse for 3/52 K2

PHx: Gout K3

O/E: Creps K4

Ix: CXR wet L1

Mx: Furosemide L2
""",
    "events before the admission": """
Narrative of events leading to hospitalization:
Out of insulin K1.

Co-existing conditions:
Gout K2.

HPI on admission:
Thirst K3.

Inpatient narrative:
On the drip L1.
""",
    "Indian notes": """
Brief History and Clinical Findings :
Breathless since 5 days K1.

PAST H/O :
Nil K2

SYSTEMIC EXAMINATION :
CVS S1 S2 heard K3

Operative notes:
AVF made L1.

ADVICE :
Fluids L2
""",
    "diagnoses and procedures on top": """
DATE OF ADMISSION:  MM/DD/YYYY

DATE OF DISCHARGE:  MM/DD/YYYY

ADMITTING DIAGNOSIS:  Sepsis L1.

DISCHARGE DIAGNOSES:
1.  Urosepsis L2.
2.  Diabetes L3.

PROCEDURES PERFORMED:  Cystoscopy L4.

CONSULTATIONS:  Urology L5.

BRIEF HISTORY:  An 80-year-old with fever K1.

PAST MEDICAL HISTORY:  Diabetes K2.

MEDICATIONS ON ADMISSION:  Metformin K3.

PHYSICAL EXAMINATION ON ADMISSION:  VITAL SIGNS:  Temperature 39 K4.  ABDOMEN:  Soft K5.

LABORATORY DATA:  White count 20 L6.

HOSPITAL COURSE AND TREATMENT:  Ceftriaxone L7.

CONDITION ON DISCHARGE:  Good L8.

DISCHARGE MEDICATIONS:  Cefpodoxime L9.

FOLLOWUP:  In a week L10.
""",
    "history after the course": """
HOSPITAL COURSE:  Antibiotics L1.

HISTORY OF PRESENT ILLNESS:  Cough K1.

PAST HISTORY:  Asthma K2.

ALLERGIES:  None K3.

PHYSICAL EXAMINATION:  He looks well L2.

DISCHARGE INSTRUCTIONS:  Rest L3.
""",
    "history after results": """
CHIEF COMPLAINT:  Weakness K1.

LABORATORY STUDIES:  Sodium 115 L1.

DIAGNOSTIC STUDIES:  Chest x-ray with a mass L2.

HISTORY OF PRESENT ILLNESS:  Weak for a month K2.

PHYSICAL EXAMINATION:  Thin K3.

HOSPITAL COURSE:  Salt L3.
""",
    "every header and text on one line, without empty lines": """
CHIEF COMPLAINT: Fall K1.
HISTORY OF PRESENT ILLNESS: She slipped K2.
PAST MEDICAL HISTORY: Osteoporosis K3.
FAMILY HISTORY: Noncontributory K4.
SOCIAL HISTORY: No tobacco K5.
PHYSICAL EXAM: Left leg short K6.
X-RAYS: Hip fracture L1.
IMPRESSION: Hip fracture L2.
PLAN: Pinning L3.
HOSPITAL COURSE: Pinned L4.
""",
    "two sections in one header": """
CHIEF COMPLAINT AND HISTORY OF PRESENT ILLNESS:  Cough K1.

PAST MEDICAL/SURGICAL HISTORY:  Asthma K2.

FAMILY AND SOCIAL HISTORY:  Farmer K3.

ALLERGIES AND MEDICATIONS:  Penicillin K4.

ASSESSMENT AND PLAN:  Pneumonia L1.
""",
    "a history and the course in one header": """
REASON FOR HOSPITALIZATION:  Syncope K1.

HISTORY OF PRESENT ILLNESS AND HOSPITAL COURSE:  She fainted and got a pacemaker L1.

DISCHARGE DIAGNOSIS:  Heart block L2.
""",
    "headers over two lines": """
HISTORY OF PRESENT
ILLNESS:  Headache K1.

PAST MEDICAL
HISTORY:  Migraine K2.

LABORATORY AND
DIAGNOSTIC DATA:  CT shows blood L1.

HOSPITAL
COURSE:  Clipped L2.
""",
    "headers inside one paragraph": (
        "CHIEF COMPLAINT: Cough K1. HISTORY OF PRESENT ILLNESS: Three days of cough K2. PAST MEDICAL HISTORY: Asthma "
        "K3. HOSPITAL COURSE: Antibiotics L1. DISCHARGE DIAGNOSIS: Pneumonia L2."
    ),
    "headers with commas for line breaks": (
        "REASON FOR ADMISSION:,  Fever K1.,HISTORY OF PRESENT ILLNESS:,  Ten days K2.,PAST MEDICAL HISTORY:,  HIV K3.,"
        "HOSPITAL COURSE:,  Treated L1.,DISCHARGE DIAGNOSES:,1.  Pneumocystis L2."
    ),
    "headers in lower case with capitals": """
Admitting complaint: Dizziness K1.

History of present illness: Since Monday K2.

Home medication list: Aspirin K3.

Summary of stay: A stroke was found L1.

Recommendations: Aspirin L2.
""",
    "headers in lower case, each alone on a line": """
Presenting complaint
Dizziness K1.

Present illness
Since Monday K2.

Outpatient medications
Aspirin K3.

Summary of ICU stay
A stroke was found L1.

Ward round
Aphasia resolved L2.
""",
    "underlined headers": """
Reason for visit
----------------
Dyspnea K1.

History
-------
Worse at night K2.

Kardex
------
Diuretics given L1.

Discharge plan
--------------
Home L2.
""",
    "numbered headers": """
1. Reason for Admission
Jaundice K1.

2. History of Present Illness
Two weeks K2.

3. Past Medical History
1. Gallstones K3.
2. Gout K4.

4. Gastroenterology Input
Stone at the papilla L1.

5. Hospital Course
ERCP L2.
""",
    "headers with dashes": """
REASON FOR ADMISSION - Jaundice K1.

HISTORY OF PRESENT ILLNESS - Two weeks K2.

PAST MEDICAL HISTORY - Gallstones K3.

GASTROENTEROLOGY INPUT - Stone at the papilla L1.

HOSPITAL COURSE - ERCP L2.
""",
    "abbreviations": """
CC: Jaundice K1.
HPI: Two weeks K2.
PMHx: Gallstones K3.
PSHx: Hernia K4.
SHx: Baker K5.
FHx: None K6.
ROS: Itching K7.
O/E: Yellow K8.
A/P: Cholangitis L1.
Dispo: Home L2.
""",
    "abbreviations with dots": """
C.C.: Jaundice K1.

H.P.I.: Two weeks K2.

P.M.H.: Gallstones.

HOSPITAL COURSE: ERCP L1.
""",
    "psychiatry": """
IDENTIFYING DATA:  A 30-year-old man K1.

CHIEF COMPLAINT:  "I want to sleep" K2.

PSYCHIATRIC HISTORY:  Two earlier stays K3.

SUBSTANCE ABUSE HISTORY:  Alcohol K4.

MENTAL STATUS EXAMINATION:  Pressured speech K5.

FORMULATION:  Mania L1.

AXIS I:  Bipolar L2.

AXIS II:  Deferred L3.

COURSE OF TREATMENT:  Lithium L4.

MENTAL STATUS EXAMINATION ON DISCHARGE:  Calm L5.

PROGNOSIS:  Fair L6.
""",
    "obstetrics": """
REASON FOR ADMISSION:  Labor K1.

OBSTETRIC HISTORY:  Two births K2.

PRENATAL COURSE:  Uneventful.

PHYSICAL EXAMINATION:  CERVIX:  4 cm K3.

DELIVERY SUMMARY:  Cesarean for breech L1.

POSTPARTUM COURSE:  Fever L2.

NEWBORN COURSE:  Jaundice L3.
""",
    "newborn": """
HISTORY OF PRESENT ILLNESS:  Born at 34 weeks, grunting K1.

BIRTH HISTORY:  Vaginal K2.

PHYSICAL EXAMINATION:  Weight 2000 g K3.

HOSPITAL COURSE BY SYSTEM:
RESPIRATORY:  Surfactant L1.
CARDIOVASCULAR:  Ductus L2.

DISCHARGE MEASUREMENTS:  2500 g L3.

CONDITION AT DISCHARGE:  Good L4.
""",
    "surgery": """
CHIEF COMPLAINT:  Belly pain K1.

HISTORY OF PRESENT ILLNESS:  Since yesterday K2.

OPERATIVE FINDINGS:  Perforated appendix L1.

OPERATIONS:  Appendectomy L2.

ESTIMATED BLOOD LOSS:  Minimal L3.

PATHOLOGY:  Appendicitis L4.

POSTOPERATIVE COURSE:  Ileus L5.
""",
    "exams of several days": """
HISTORY OF PRESENT ILLNESS:  Belly pain K1.

PHYSICAL EXAMINATION:
GENERAL:  In pain K2.
ABDOMEN:  Rigid K3.

POD 3 EXAM:  Soft L1.

PHYSICAL EXAMINATION AT DISCHARGE:
GENERAL:  Well L2.
ABDOMEN:  Soft L3.
""",
    "an exam dated inside": """
HISTORY OF PRESENT ILLNESS:  Belly pain K1.

PHYSICAL EXAMINATION:
Vital signs on admission: pulse 120 K2; on discharge: pulse 70 L1.
Abdomen: rigid K3.
On the day of discharge, the abdomen was soft L2.

HOSPITAL COURSE:  Operated L3.
""",
    "an exam of the discharge alone": """
HISTORY OF PRESENT ILLNESS:  Belly pain K1.

HOSPITAL COURSE:  Operated L1.

PHYSICAL EXAMINATION:
GENERAL:  Well L2.
""",
    "a pronouncement": """
HISTORY OF PRESENT ILLNESS:  Found down K1.

PHYSICAL EXAMINATION:  Cold K2.

PRONOUNCEMENT EXAM:  No pulse L1.

CAUSE OF DEATH:  Arrhythmia L2.
""",
    "medications before and after": """
HISTORY OF PRESENT ILLNESS:  Seizure K1.

CURRENT MEDICATIONS:  Phenytoin K2.

PHYSICAL EXAMINATION:  Drowsy K3.

HOSPITAL COURSE:  Loaded L1.

MEDICATIONS:  Levetiracetam L2.

NEW MEDICATIONS:  Levetiracetam L3.
""",
    "home medications before the history": """
FINAL DIAGNOSIS:  Epilepsy L1.

HOME MEDICATIONS:
1.  Phenytoin K1.

HISTORY:  Seizure K2.

CLINICAL COURSE:  Loaded L2.
""",
    "medications among the discharge lists": """
DISCHARGE DIAGNOSIS:  Epilepsy L1.

MEDICATIONS:  Levetiracetam L2.

HISTORY OF PRESENT ILLNESS:  Seizure K1.
""",
    "a history that runs on": """
HISTORY OF PRESENT ILLNESS:  Cough for a month K1.  He was admitted last year for the same and discharged on day 3 K2.
On hospital day 2 a biopsy showed lymphoma L1.  He remained afebrile during this hospitalization L2.

DISCHARGE DIAGNOSIS:  Lymphoma L3.
""",
    "code status, activity, diet": """
CHIEF COMPLAINT:  Fall K1.

CODE STATUS:  DNR L1.

ACTIVITY:  Bed L2.

DIET:  Soft L3.
""",
    "unknown headers in capitals": """
CHIEF COMPLAINT:  Fall K1.

HISTORY OF PRESENT ILLNESS:  Slipped K2.

BRACING:  A brace for the fracture was made L1.

PHYSICAL EXAMINATION:  Pain K3.

THEATRE NOTE:  Plate L2.

HOSPITAL COURSE:  Plated L3.
""",
    "unknown headers between lines of an exam": """
PHYSICAL EXAM:
GENERAL: Pale K1.
LUNGS: Clear K2.
CARDIAC CATHETERIZATION: Three vessels L1.
INTERVENTIONS: Stent L2.
""",
    "diagnosis in the middle": """
CHIEF COMPLAINT:  Fall K1.

DIAGNOSIS:  Fracture L1.

PAST MEDICAL HISTORY:  Gout K2.

HOSPITAL COURSE:  Cast L2.
""",
    "carriage returns": "CHIEF COMPLAINT:\r\r\nFall K1.\r\r\n\r\r\nHOSPITAL COURSE:\r\r\nCast L1.\r\r\n",
    "addendum": """
HISTORY OF PRESENT ILLNESS:  Fall K1.

HOSPITAL COURSE:  Cast L1.

ADDENDUM:  The culture grew L2.

PAST MEDICAL HISTORY:  L3.
""",
}
ADMISSIONS = {
    "a reference with a summary": """
ADMITTING HISTORY AND PHYSICAL:
Please see the dictated H&P. Briefly, a 38-year-old with cramps K1.

PAST HEALTH:
Crohn disease K2.
""",
    "history and physical": """
CHIEF COMPLAINT:  Shortness of breath K1.

HISTORY OF PRESENT ILLNESS:  Since Monday K2.

REVIEW OF SYSTEMS:
CONSTITUTIONAL:  Tired K3.
CARDIOVASCULAR:  Orthopnea K4.

PAST MEDICAL HISTORY:  Hypertension K5.

PAST SURGICAL HISTORY:  None K6.

MEDICATIONS:  Lisinopril K7.

ALLERGIES:  None K8.

SOCIAL HISTORY:  Smoker K9.

FAMILY HISTORY:  Heart disease K10.

PHYSICAL EXAMINATION:
VITAL SIGNS:  Pulse 110 K11.
HEENT:  Normal K12.
EXTREMITIES:  Edema K13.

LABORATORY DATA:  BNP 2000 L1.

EKG:  Sinus L2.

IMPRESSION:  Heart failure L3.

PLAN:  Diuretics L4.
""",
    "soap": """
SUBJECTIVE:  A man with a cough K1.

OBJECTIVE:  Lungs with crackles K2.

ASSESSMENT:  Pneumonia L1.

PLAN:  Antibiotics L2.
""",
    "consultation": """
REASON FOR CONSULTATION:  Chest pain K1.

HISTORY OF PRESENT ILLNESS:  Pressure K2.

CARDIAC RISK FACTORS:  Smoking K3.

CURRENT MEDICATIONS:  Aspirin K4.

PHYSICAL EXAM:  Normal K5.

DIAGNOSTIC DATA:  Troponin 5 L1.

ASSESSMENT AND RECOMMENDATIONS:  Infarction L2.
""",
    "emergency": """
CHIEF COMPLAINT:  Rash K1.

HISTORY OF PRESENT ILLNESS:  After shrimp K2.

PAST MEDICAL HISTORY:  Denies K3.

PHYSICAL EXAMINATION:  Hives K4.

EMERGENCY DEPARTMENT COURSE:  Epinephrine L1.

MEDICAL DECISION MAKING:  Anaphylaxis L2.

DIFFERENTIAL DIAGNOSIS:  Drug L3.
""",
    "child": """
CHIEF COMPLAINT:  Fever K1.

HISTORY OF PRESENT ILLNESS:  Two days K2.

BIRTH HISTORY:  Term K3.

DEVELOPMENTAL HISTORY:  Walks K4.

IMMUNIZATIONS:  Up to date K5.

PHYSICAL EXAMINATION:  Red ear K6.

IMPRESSION:  Otitis L1.
""",
    "admission diagnosis": """
ADMISSION DIAGNOSIS:  Appendicitis L1.

HISTORY OF PRESENT ILLNESS:  Pain K1.

PHYSICAL EXAMINATION:  Tender K2.

TREATMENT PLAN:  Surgery L2.
""",
    "title case without empty lines": """
Chief Complaint: Back pain K1.
History of Present Illness: Lifting K2.
Past Medical History: None K3.
Current Medications: None K4.
Physical Examination: Spasm K5.
Radiographs: Fracture L1.
Assessment: Fracture L2.
Plan: Brace L3.
""",
    "eye": """
CHIEF COMPLAINT:  Blurred vision K1.

PAST OCULAR HISTORY:  Cataract K2.

VISUAL ACUITY:  20/200 K3.

IMPRESSION:  Retinal detachment L1.
""",
}


@pytest.mark.parametrize("kind", [*SUMMARIES, *ADMISSIONS])
def test_a_note_of_other_hands_keeps_what_was_known_at_admission_and_nothing_else(kind: str) -> None:
    note = (SUMMARIES | ADMISSIONS)[kind]
    kept = re.findall(r"\b[KL]\d+", extract_admission_note(note))
    assert sorted(kept) == sorted(re.findall(r"\bK\d+", note))
