"""Do the work of `deepicd build` in the simplest way, as its peer in benchmarks/build.py.

DuckDB reads, joins and writes; a ProcessPoolExecutor with a bounded queue runs the same section code. It does not hash
or check anything, balance the splits, or record the notes that it drops.
Run: python -m benchmarks.simplest_build COPY OUT.parquet
"""

import sys
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor

import duckdb
import pyarrow as pa

from builders.cohort.parallel import count_cores
from builders.cohort.sections import extract_admission_sections, join_sections

ROWS = 400

FIRST_CODES = """
create table first_codes as
select hadm_id, arg_min(icd_code, seq_num) as icd_code
from read_csv('{copy}/hosp/diagnoses_icd.csv.gz', types = {{'icd_code': 'varchar'}})
group by hadm_id
having min(icd_version) = 10 and max(icd_version) = 10
"""
NOTES = """
select n.note_id, n.subject_id, n.hadm_id, c.icd_code, n.text
from read_csv('{copy}/note/discharge.csv.gz') n
join first_codes c using (hadm_id)
"""
SPLIT = """
case when hash(subject_id) % 10 < 7 then 'train' when hash(subject_id) % 10 < 9 then 'test' else 'validation' end
"""


def extract(batch: pa.RecordBatch) -> pa.Table:
    notes = [join_sections(extract_admission_sections(text)) for text in batch["text"].to_pylist()]
    return pa.Table.from_batches([batch.drop_columns("text").append_column("admission_note", pa.array(notes))])


def main(copy: str, out: str) -> None:
    with duckdb.connect(config={"memory_limit": "1GB"}) as db, ProcessPoolExecutor(count_cores()) as pool:
        db.execute("set enable_progress_bar = false")
        db.execute(FIRST_CODES.format(copy=copy))
        under_way, extracted = deque[Future[pa.Table]](), list[pa.Table]()
        for batch in db.sql(NOTES.format(copy=copy)).to_arrow_reader(ROWS):
            under_way.append(pool.submit(extract, batch))
            if len(under_way) > 2 * count_cores():
                extracted.append(under_way.popleft().result())
        extracted += [future.result() for future in under_way]
        db.register("extracted", pa.concat_tables(extracted))
        db.execute(
            f"copy (select *, {SPLIT} as split from extracted where admission_note <> '' order by note_id)"
            f" to '{out}' (format parquet, compression zstd)"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
