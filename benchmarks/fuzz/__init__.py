"""Odd, damaged and hostile inputs for everything that deepicd reads: each must end as a value or an error of ours."""
